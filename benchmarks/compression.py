"""The cost of pruning in AP_small, its gain in FPS, and whether a teacher helps::

    python -m benchmarks.compression examples/shapes.json [--data FOLDER] [--out runs/compression]

One detector is trained. At several shares of its parameters it is pruned by the Taylor criterion
and fine-tuned: without a teacher, and with its unpruned parent as the teacher, by class maps or by
class probabilities. Slimming is compared with these; its parent is trained with sparsity. The
control is the unpruned detector, trained for as many more epochs as the fine-tuning: changes are
relative to it, since a pruned detector has had more training than its parent. With several seeds,
figures are means. All frames per second are measured at the end, in turns; `--no-speed` skips that.
Prints a table in Markdown. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from detectors.data.shapes import generate_shapes
from detectors.describe import describe
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from detectors.timing.measure import Candidate, hardware_name, measure_together
from launch.cli.names import read_trial
from launch.files import DETECTOR, SPEEDS, STAGES
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.run import pick_device
from launch.trial.stages import Stages
from launch.trial.store import Artefact, Store
from launch.trial.teachers import load_teacher
from searchspace.compression import (
    ChannelPruning,
    CompressConfig,
    ImportancePruning,
    Slimming,
    Unpruned,
)
from searchspace.distillation import ChannelWise, Logits
from searchspace.trial import TrialConfig

DENSE, CONTROL = "dense", "dense, trained on"
RATIOS = (0.3, 0.5, 0.7)
WAYS: dict[str, ChannelPruning] = {
    "Taylor": ImportancePruning(),
    "slimming": Slimming(),
    "Taylor, taught class maps": ImportancePruning(
        distillation=ChannelWise(location="classes", temperature=1.0, weight=5.0)
    ),
    "Taylor, taught probabilities": ImportancePruning(
        distillation=Logits(temperature=2.0, weight=1.0)
    ),
}


@dataclass(frozen=True)
class Row:
    """One detector of the table.

    Attributes:
        scores: its metrics with each seed.
        folder: the folder of the first seed's detector, for `Detector.load`.
    """

    name: str
    scores: tuple[Metrics, ...]
    folder: Path


@dataclass(frozen=True)
class Bench:
    """Trains, prunes and scores; nothing is repeated."""

    data: TrialData
    out: Path
    device: torch.device

    def row(self, name: str, configs: Sequence[TrialConfig]) -> Row:
        """One detector, with the seed of each configuration."""
        scores, folders = [], []
        for config in configs:
            stages = self._stages(config)
            final = _final(stages)
            scores.append(stages.evaluate(final))
            folders.append(final.folder / DETECTOR)
            print(f"{name}, seed {config.seed}: AP_small {scores[-1].ap_small:.3f}", flush=True)
        return Row(name, tuple(scores), folders[0])

    def _stages(self, config: TrialConfig) -> Stages:
        store = Store(self.out / STAGES)
        meter = LocalMeter(self.data, self.device, store.folder / SPEEDS)
        return Stages(config, self.data, store, self.device, meter, load_teacher)


def _final(stages: Stages) -> Artefact:
    """The final detector of a configuration."""
    dense, compress = stages.train(), stages.config.compress
    if compress.leaves_dense:
        return dense
    if not compress.prunes:
        return stages.train_on(dense)
    return stages.finetune(dense, *stages.prune(dense))


def variants(base: TrialConfig, finetune: int) -> dict[str, TrialConfig]:
    """The trained detector, the control, and each method at each pruning ratio."""
    found = {DENSE: Unpruned(), CONTROL: Unpruned(finetune_epochs=finetune)}
    for name, way in WAYS.items():
        for ratio in RATIOS:
            amount = {"target": "params", "ratio": ratio, "finetune_epochs": finetune}
            found[f"{100 * ratio:.0f} % pruned, {name}"] = way.changed(**amount)
    return {
        name: base.changed(compress=CompressConfig(pruning=pruning))
        for name, pruning in found.items()
    }


def run(
    base: TrialConfig,
    data: TrialData,
    out: Path,
    finetune: int,
    seeds: Sequence[int],
    device: torch.device,
) -> list[Row]:
    """Train once for each seed, and compress by every method; rows ordered by ratio."""
    bench, rows = Bench(data, out, device), []
    for name, config in variants(base, finetune).items():
        rows.append(bench.row(name, [config.changed(seed=seed) for seed in seeds]))
    whole, pruned = rows[:2], rows[2:]
    return whole + sorted(pruned, key=lambda row: row.name.split(" ")[0])


def table(rows: Sequence[Row], costs: Sequence[Cost] | None) -> str:
    """Markdown; parameters and speeds are relative to the dense detector, AP to the control."""
    sizes = [describe(Detector.load(row.folder)) for row in rows]
    control = next(row for row in rows if row.name == CONTROL)
    names = ["", "parameters", "MACs", "AP_small", "change", "AP", "change"]
    names += ["FPS", "speed-up"] if costs else []
    lines = [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    for place, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        cells = [row.name, f"{100 * size.params / sizes[0].params:.0f} %"]
        cells.append(f"{100 * size.macs / sizes[0].macs:.0f} %")
        for figure in ("ap_small", "ap"):
            cells += _against(control, row, figure)
        if costs:
            cost = costs[place]
            cells.append(f"{cost.fps:.0f}{'' if cost.trusted else ' ?'}")
            cells.append(f"{cost.fps / costs[0].fps:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _against(control: Row, row: Row, figure: str) -> list[str]:
    """A figure's mean over the seeds, its change from the control, and the change for each seed."""
    values = [getattr(metrics, figure) for metrics in row.scores]
    before = [getattr(metrics, figure) for metrics in control.scores]
    changes = [value - other for value, other in zip(values, before, strict=True)]
    change = f"{fmean(changes):+.3f}"
    if len(changes) > 1:
        change += f" ({', '.join(f'{one:+.3f}' for one in changes)})"
    return [f"{fmean(values):.3f}", "" if row is control else change]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a trial as JSON; its pruning is not used")
    parser.add_argument("--data", type=Path, help="COCO folder; generated shapes by default")
    parser.add_argument("--out", type=Path, default=Path("runs/compression"))
    parser.add_argument("--finetune", type=int, help="epochs; by default half of the training's")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--no-speed", action="store_true", help="do not measure FPS")
    arguments = parser.parse_args()
    base, device = read_trial(arguments.config).started(), pick_device()
    data = TrialData.of(arguments.data or generate_shapes(Path("runs/shapes")))
    finetune = arguments.finetune or max(1, base.train.epochs // 2)
    seeds, out = range(arguments.seeds), arguments.out / arguments.config.stem
    rows = run(base, data, out, finetune, seeds, device)
    costs = None
    if not arguments.no_speed:
        candidates = [Candidate(Detector.load(row.folder)) for row in rows]
        costs = measure_together(candidates, base.measure, device)
    form = f", {costs[0].runtime} {costs[0].precision}" if costs else ""
    print(f"{hardware_name(device)}{form}; {base.train.epochs} + {finetune} epochs")
    print(table(rows, costs))


if __name__ == "__main__":
    main()
