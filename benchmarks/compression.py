"""What pruning costs in AP_small, what it brings in FPS, and whether a teacher helps::

    python -m benchmarks.compression examples/shapes.json [--data FOLDER] [--out runs/compression]

One detector is trained. At each share of its parameters it is pruned by Taylor's criterion and
fine-tuned: without a teacher, and taught by its own unpruned parent through class maps or through
class probabilities. Beside these stands slimming, whose parent is trained with its sparsity. All
frames per second are measured at the end, in turns. Prints a table in Markdown. An interrupted run
goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detectors.cost import Cost
from detectors.data.shapes import generate_shapes
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.speed import Candidate, hardware_name, measure_together
from launch.inputs import TrialData
from launch.systems import read_trial
from launch.trial import STAGES, TrialResult, pick_device, run_trial
from searchspace.compression import (
    ChannelPruning,
    CompressConfig,
    ImportancePruning,
    Slimming,
)
from searchspace.distillation import ChannelWise, Logits
from searchspace.trial import TrialConfig

RATIOS = (0.3, 0.5, 0.7)
WAYS: dict[str, ChannelPruning] = {
    "Taylor": ImportancePruning(),
    "Taylor, taught class maps": ImportancePruning(
        distillation=ChannelWise(location="classes", temperature=1.0, weight=5.0)
    ),
    "Taylor, taught probabilities": ImportancePruning(
        distillation=Logits(temperature=2.0, weight=1.0)
    ),
    "slimming": Slimming(),
}


@dataclass(frozen=True)
class Row:
    """One detector of the table."""

    name: str
    metrics: Metrics
    folder: Path


def variants(base: TrialConfig, finetune: int) -> Iterator[tuple[str, TrialConfig]]:
    """Each share of the parameters that goes, in each way."""
    for ratio in RATIOS:
        for name, way in WAYS.items():
            amount = {"target": "params", "ratio": ratio, "finetune_epochs": finetune}
            pruning = way.changed(**amount)
            config = base.changed(compress=CompressConfig(pruning=pruning))
            yield f"{100 * ratio:.0f} % pruned, {name}", config


def run(base: TrialConfig, data: TrialData, out: Path, finetune: int) -> list[Row]:
    """Train once, compress in every way."""
    rows: list[Row] = []
    for name, config in variants(base, finetune):
        folder = out / name.replace(" ", "-").replace(",", "").replace("%", "percent")
        result: TrialResult = run_trial(config, data, folder, stages=out / STAGES)
        if not rows:
            rows.append(Row("dense", result.dense.metrics, folder / "dense"))
        rows.append(Row(name, result.compact.metrics, folder / "compact"))
        print(f"{name}: AP_small {result.compact.metrics.ap_small:.3f}", flush=True)
    return rows


def table(rows: list[Row], costs: list[Cost]) -> str:
    """Markdown; changes are against the dense detector."""
    first, before = rows[0], costs[0]
    lines = ["| | parameters | MACs | AP_small | change | AP | FPS | speed-up |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row, cost in zip(rows, costs, strict=True):
        change = row.metrics.ap_small - first.metrics.ap_small
        cells = (
            row.name,
            f"{cost.params / before.params:.0%}",
            f"{cost.macs / before.macs:.0%}",
            f"{row.metrics.ap_small:.3f}",
            f"{change:+.3f}",
            f"{row.metrics.ap:.3f}",
            f"{cost.fps:.0f}{'' if cost.trusted else ' ?'}",
            f"{cost.fps / before.fps:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a trial as JSON; its pruning is not used")
    parser.add_argument("--data", type=Path, help="COCO folder; generated shapes by default")
    parser.add_argument("--out", type=Path, default=Path("runs/compression"))
    parser.add_argument("--finetune", type=int, help="epochs; half of the training's by default")
    arguments = parser.parse_args()
    base, device = read_trial(arguments.config), pick_device()
    data = TrialData.of(arguments.data or generate_shapes(Path("runs/shapes")))
    finetune = arguments.finetune or max(1, base.train.epochs // 2)
    rows = run(base, data, arguments.out / arguments.config.stem, finetune)
    candidates = [Candidate(Detector.load(row.folder)) for row in rows]
    costs = measure_together(candidates, base.measure, device)
    form = f"{costs[0].runtime} {costs[0].precision}"
    print(f"{hardware_name(device)}, {form}; {base.train.epochs} epochs, {finetune} behind pruning")
    print(table(rows, costs))


if __name__ == "__main__":
    main()
