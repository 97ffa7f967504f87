"""How do the speeds of the papers' systems compare, here and in the papers?::

    python -m benchmarks.fps_papers [--runtime eager] [--precision auto] [--seconds 12] [--all]

Measures each family in turns, untrained, from image to boxes and the network alone. Each system's
frames per second, as a multiple of its family's first, are shown next to the ratio by the papers'
figures. The stride elimination paper times networks alone; its ratios are compared with those of
our networks. By default only the systems whose speeds the papers compare, in three to five minutes
on one core; `--all` measures all distinct architectures, which take as long each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from detectors.timing.cost import Cost
from launch.cli.fps import Row, measure_rows, notes
from launch.cli.models import find_detector
from launch.figures import MISSING, show
from launch.trial.run import pick_device
from searchspace import Published, papers
from searchspace.measuring import AUTO, MeasureConfig
from searchspace.words import TIMES

FAMILIES = (
    ("ssd300_vgg16_11620", "fssd300_11620", "mfssd", "mdssd300"),
    (
        "ssdmnetv1", "ssdmnetv1_s1l6", "ssdmnetv1_s1l4", "ssdmnetv1_s1l0",
        "ssdmnetv1_s1l0_dualpath19_10_s",
    ),
)  # fmt: skip
"""Systems whose speeds are compared in their papers, the one with ratio 1 first."""

NETWORK_ALONE = "network alone"
"""Part of the hardware of a published figure that does not include NMS."""


TOGETHER = 5
"""Systems measured in turns with the first one; more would fill the memory."""


def families(everything: bool) -> list[tuple[str, ...]]:
    """Systems that are measured together, the one with ratio 1 first."""
    if not everything:
        return list(FAMILIES)
    distinct: dict[str, str] = {}
    for name in (*sum(FAMILIES, ()), *papers):
        distinct.setdefault(papers[name].trial.detector.model_dump_json(), name)
    others = [name for name in distinct.values() if name not in sum(FAMILIES, ())]
    mobile = [name for name in others if name.startswith(FAMILIES[1][0])]
    rest = [name for name in others if name not in mobile]
    chunks = ((FAMILIES[0][0], rest), (FAMILIES[1][0], mobile))
    return [
        *FAMILIES,
        *((base, *part) for base, names in chunks for part in _parts(names)),
    ]


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER))


def alone(published: Published) -> bool:
    """Whether a paper's figure is that of the network alone."""
    return NETWORK_ALONE in (published.hardware or "")


def ratios(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    """A row of the table for each system: ours, the paper's, and both relative to the first."""
    base = next(row for row in rows if isinstance(row.outcome, Cost))
    for row in rows:
        if not isinstance(row.outcome, Cost):
            continue
        published, first = papers[row.name].published, papers[base.name].published
        figure = "network_fps" if alone(published) else "fps"
        ours = getattr(row.outcome, figure) / getattr(base.outcome, figure)
        comparable = published.fps and first.fps and alone(published) == alone(first)
        yield (
            row.name,
            show("fps", row.outcome.fps),
            show("fps", row.outcome.network_fps),
            f"{ours:.2f}{TIMES}",
            f"{published.fps / first.fps:.2f}{TIMES}" if comparable else MISSING,
            show("fps", published.fps),
            published.hardware or (MISSING if published.fps is None else "not stated"),
        )


def table(rows: Sequence[Row], cost: Cost) -> Table:
    """The table of a family; `cost` is that of any system, for device and form."""
    table = Table(title=f"{cost.device}, {cost.runtime} {cost.precision}", header_style="bold")
    for heading in ("System", "FPS", "Network FPS", "Ours", "Paper", "Paper's FPS", "on"):
        table.add_column(heading, justify="left" if heading in ("System", "on") else "right")
    for cells in ratios(rows):
        table.add_row(*cells)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default=AUTO)
    parser.add_argument("--precision", default=AUTO)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=12.0, help="timed calls of each system")
    parser.add_argument("--device")
    parser.add_argument("--all", action="store_true")
    options = vars(parser.parse_args())
    device, everything = pick_device(options.pop("device")), options.pop("all")
    form, console = MeasureConfig(**options), Console()
    for family in families(everything):
        rows = measure_rows({name: find_detector(name) for name in family}, [form], device)
        costs = [row.outcome for row in rows if isinstance(row.outcome, Cost)]
        if costs:
            console.print(table(rows, costs[0]))
        for note in notes(rows):
            console.print(note, markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
