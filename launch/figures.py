"""What a search may aim at or bound: figures of a detector, their direction and scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator

from searchspace.words import TIMES

Figure = Literal[
    "ap",
    "ap50",
    "ap_small",
    "ar_small",
    "fps",
    "params",
    "macs",
    "latency_ms",
    "latency_p99",
    "memory_mb",
    "energy_mj",
]
"""Figures of a finished trial."""


class Sense(NamedTuple):
    """How a figure is compared.

    Attributes:
        up: more of it is better.
        log: ratios count, not differences.
    """

    up: bool
    log: bool


SENSES: dict[str, Sense] = {
    "ap": Sense(up=True, log=False),
    "ap50": Sense(up=True, log=False),
    "ap_small": Sense(up=True, log=False),
    "ar_small": Sense(up=True, log=False),
    "fps": Sense(up=True, log=True),
    "params": Sense(up=False, log=True),
    "macs": Sense(up=False, log=True),
    "latency_ms": Sense(up=False, log=True),
    "latency_p99": Sense(up=False, log=True),
    # A call may allocate nothing, and 0 has no logarithm.
    "memory_mb": Sense(up=False, log=False),
    "energy_mj": Sense(up=False, log=True),
}

ENERGY: Figure = "energy_mj"
"""Not every device lets it be read."""

DEFAULT: tuple[Figure, ...] = ("ap_small", "fps")


def if_known(values: Iterable[float | None]) -> tuple[float, ...] | None:
    """All of some values; None where one is not known."""
    found = tuple(values)
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(found) else None


def scaled(name: str, value: float) -> float:
    """A figure on the scale on which its differences count."""
    return math.log(value) if SENSES[name].log else value


def height(name: str, value: float) -> float:
    """A figure on the scale on which its differences count, and more is better."""
    return scaled(name, value) if SENSES[name].up else -scaled(name, value)


def heights(names: Sequence[str], values: Sequence[float]) -> tuple[float, ...]:
    """`height` of several figures."""
    return tuple(height(name, value) for name, value in zip(names, values, strict=True))


Direction = Literal["maximize", "minimize"]


def directions(names: Sequence[str]) -> list[Direction]:
    """As Optuna calls them."""
    return ["maximize" if SENSES[name].up else "minimize" for name in names]


def _two_or_more_once(names: tuple[Figure, ...]) -> tuple[Figure, ...]:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"objectives {', '.join(names) or 'none'}: give at least two, and each once, from "
            f"{', '.join(get_args(Figure))}"
        )
    return names


Objectives = Annotated[tuple[Figure, ...], AfterValidator(_two_or_more_once)]
"""What a search aims at, the most important first: reports draw the first against the second."""


MISSING = "\N{EN DASH}"


LABELS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP_small",
    "ap_medium": "AP_medium",
    "ap_large": "AP_large",
    "ar_small": "AR_small",
    "fps": "FPS",
    "latency_ms": "Latency, ms",
    "params": "Params",
    "macs": "MACs",
    "latency_p99": "Latency p99, ms",
    "memory_mb": "Memory, MB",
    "energy_mj": "Energy, mJ",
}
"""Metrics and costs by name, as a heading shows them."""


RARE = ("latency_p99", "memory_mb", "energy_mj")
"""Figures that are shown where they are objectives."""


COLUMNS = ("ap_small", "ap", "fps", "params", "macs")
"""The figures of a trial that a table has room for."""


RATIOS = ("fps", "latency_ms", "latency_p99", "params", "macs", "memory_mb", "energy_mj")
"""Figures whose change is shown as a factor; others show a difference."""


def show(name: str, value: float | None) -> str:
    """A metric or cost in the digits that mean something; a dash where there is none."""
    if value is None:
        return MISSING
    if name in ("params", "macs"):
        return _count(value)
    if name == "fps":
        return f"{value:.1f}"
    fine = ("latency_ms", "latency_p99", "memory_mb", "energy_mj")
    return f"{value:.2f}" if name in fine else f"{value:.3f}"


def with_name(name: str, value: float | None) -> str:
    """A figure with its name, e.g. `AP_small 0.123`, `50.0 FPS` or `Memory 12.50 MB`."""
    if name == "fps":
        return f"{show(name, value)} FPS"
    label, _, unit = LABELS[name].partition(", ")
    return " ".join(filter(None, (label, show(name, value), unit)))


def columns(objectives: Sequence[str]) -> tuple[str, ...]:
    """The figures of a trial that a table shows: `COLUMNS`, and the objectives."""
    return tuple(dict.fromkeys([*COLUMNS, *objectives]))


def show_change(name: str, before: float | None, after: float | None) -> str:
    """How a figure changed: a factor for costs, a signed difference for metrics."""
    if before is None or after is None:
        return MISSING
    return factor(after, before) if name in RATIOS else f"{after - before:+.3f}"


def factor(value: float, base: float) -> str:
    """`value` as a multiple of a `base` above 0."""
    return f"{value / base:.2f}{TIMES}"


def _count(value: float) -> str:
    """Three significant digits and the unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # Half a last digit below the unit, rounding would reach it: 999,996 is 1.00 M.
        if value >= 0.9995 * size:
            digits = max(0, 2 - math.floor(math.log10(max(1, value / size))))
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f}"
