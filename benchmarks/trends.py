"""The papers' claims, tested on another data set with several seeds::

    python -m benchmarks.trends examples/bccd.json --data FOLDER [--set PATH=VALUE]

Each claim compares a detector with a control that lacks one thing; both are trained for as many
epochs, on the same data, with the same seeds. The detectors have the width, input size and recipe
of the given trial, and the neck, strides or teacher that a claim is about. What is claimed of a
recipe is tried on S1L6: SSD finds hardly any small object at a small input. Prints a table in
Markdown: AP_small and AP of both, averaged over the seeds, the changes seed by seed, and the MACs.
A claim holds on the data if all seeds agree. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.compression import Bench, Row
from detectors.describe import describe
from detectors.detector import Detector
from detectors.evaluate import Metrics
from launch.cli.names import read_trial
from launch.figures import FIGURES, FigureName
from launch.trial.data import TrialData
from launch.trial.run import pick_device
from searchspace.augmentation import CopyPaste
from searchspace.backbones import MobileNetV1
from searchspace.compression import CompressConfig, Slimming, Unpruned
from searchspace.distillation import ChannelWise
from searchspace.neck_forms.dual_path import DualPathSplit
from searchspace.neck_forms.form import NeckForm
from searchspace.neck_forms.fused import FusedNeck
from searchspace.neck_forms.ssd import SSDNeck
from searchspace.overrides import overridden
from searchspace.training import SmallObjects
from searchspace.trial import TrialConfig

COMPARED: tuple[FigureName, ...] = ("ap_small", "ap")
TAPS = ("layer11", "layer13")
TEACHER = "the teacher"
"""S1L6 at one and a half times the width, so that the weights of the base's start still fit it."""


@dataclass(frozen=True)
class Claim:
    """A claim about a detector, and the control that it is compared with.

    Attributes:
        paper: the paper and what it claims.
        control, changed: names of detectors of `detectors_of`.
    """

    paper: str
    control: str
    changed: str


CLAIMS = (
    Claim("stride elimination: a removed stride finds more small objects", "SSD", "S1L6"),
    Claim("stride elimination: the earlier the removed stride, the more", "S1L6", "S1L0"),
    Claim("stride elimination: the second path brings context back", "S1L0", "S1L0, dual path"),
    Claim("FSSD: fused maps beat single ones", "SSD", "FSSD"),
    Claim("MFSSD: slimming by a third costs little", "S1L6, trained on", "S1L6, slimmed by 1/3"),
    Claim("thesis: pasted copies help small objects", "S1L6", "S1L6, copies pasted"),
    Claim("thesis: a loss weight of 0.95 helps small objects", "S1L6", "S1L6, weight 0.95"),
    Claim("small objects weighted up instead", "S1L6", "S1L6, weight 2"),
    Claim("thesis: a larger teacher helps", "S1L6", "S1L6, taught"),
)


def detectors_of(base: TrialConfig, finetune: int) -> dict[str, TrialConfig]:
    """The detectors that the claims are about, by name; the teacher's folder is put in later.

    Args:
        base: width, input size, priors and recipe; its backbone and neck are not used.
        finetune: epochs after slimming; its control is trained for as many more.
    """
    recipe = base.train
    slimmed = Slimming(target="params", ratio=1 / 3, finetune_epochs=finetune)
    return {
        "SSD": _with_neck(base, SSDNeck()),
        "S1L6": _with_neck(base, SSDNeck(), (6,)),
        "S1L0": _with_neck(base, SSDNeck(), (0,)),
        "S1L0, dual path": _with_neck(base, SSDNeck(dual_path=DualPathSplit()), (0,)),
        "FSSD": _with_neck(base, FusedNeck()),
        "S1L6, trained on": _compressed(base, Unpruned(finetune_epochs=finetune)),
        "S1L6, slimmed by 1/3": _compressed(base, slimmed),
        "S1L6, copies pasted": _trained(base, copy_paste=CopyPaste(copies=1, pastes=1)),
        "S1L6, weight 0.95": _trained(base, small_objects=SmallObjects(weight=0.95, offset=0.05)),
        "S1L6, weight 2": _trained(base, small_objects=recipe.small_objects.changed(weight=2.0)),
        TEACHER: _with_neck(_wider(base), SSDNeck(), (6,)),
        "S1L6, taught": _trained(base, distillation=ChannelWise(teacher=TEACHER)),
    }


def _with_neck(base: TrialConfig, neck: NeckForm, eliminated: tuple[int, ...] = ()) -> TrialConfig:
    """The detector with a neck, on MobileNetV1 with some strides eliminated."""
    detector = base.detector
    backbone = MobileNetV1(taps=TAPS, eliminated_strides=eliminated)
    steps = neck.write(backbone, detector.size)
    backbone = backbone.with_second_path(any(step.reads_side for step in steps))
    return base.changed(detector=detector.changed(backbone=backbone, neck=steps))


def _compressed(base: TrialConfig, pruning: Unpruned | Slimming) -> TrialConfig:
    return _with_neck(base, SSDNeck(), (6,)).changed(compress=CompressConfig(pruning=pruning))


def _trained(base: TrialConfig, **recipe: object) -> TrialConfig:
    return _with_neck(base, SSDNeck(), (6,)).changed(train=base.train.changed(**recipe))


def _wider(base: TrialConfig) -> TrialConfig:
    return base.changed(detector=base.detector.changed(width=1.5 * base.detector.width))


def run(base: TrialConfig, bench: Bench, finetune: int, seeds: Sequence[int]) -> dict[str, Row]:
    """Train every detector with every seed. A student learns from the teacher of the first."""
    rows: dict[str, Row] = {}
    for name, config in detectors_of(base, finetune).items():
        if isinstance(config.train.distillation, ChannelWise):
            taught = ChannelWise(teacher=str(rows[TEACHER].folder))
            config = config.changed(train=config.train.changed(distillation=taught))
        rows[name] = bench.row(name, [config.changed(seed=seed) for seed in seeds])
    return rows


def table(rows: Mapping[str, Row]) -> str:
    """Markdown: one line for each claim."""
    macs = {name: describe(Detector.load(row.folder)).macs for name, row in rows.items()}
    heading = [
        "claim",
        "control",
        "compared",
        "MACs",
        *(f"{FIGURES[f].heading}, change" for f in COMPARED),
    ]
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    for claim in CLAIMS:
        control, changed = rows[claim.control], rows[claim.changed]
        cells = [claim.paper, claim.control, claim.changed]
        cells.append(f"{macs[claim.changed] / macs[claim.control]:.2f} x")
        cells += [_change(control, changed, figure) for figure in COMPARED]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _change(control: Row, changed: Row, figure: FigureName) -> str:
    """Both means, the change seed by seed, and whether the seeds agree."""
    before, after = (
        [_value(scores, figure) for scores in row.scores] for row in (control, changed)
    )
    changes = [b - a for a, b in zip(before, after, strict=True)]
    by_seed = ", ".join(f"{one:+.3f}" for one in changes)
    agreed = "up" if min(changes) > 0 else "down" if max(changes) < 0 else "seeds differ"
    return f"{fmean(before):.3f} to {fmean(after):.3f} ({by_seed}): {agreed}"


def _value(scores: Metrics, figure: FigureName) -> float:
    value = getattr(scores, figure)
    if value is None:
        raise SystemExit(f"the validation data have no objects for {FIGURES[figure].heading}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a trial as JSON, on MobileNetV1")
    parser.add_argument("--data", type=Path, required=True, help="a folder of data")
    parser.add_argument("--out", type=Path, default=Path("runs/trends"))
    parser.add_argument("--set", action="append", default=[], help="PATH=VALUE, as of a trial")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    arguments = parser.parse_args()
    base = overridden(read_trial(arguments.config), arguments.set).started()
    data = TrialData.of(arguments.data)
    base = base.with_classes(data.train.num_classes)
    bench = Bench(data, arguments.out / arguments.config.stem, pick_device())
    rows = run(base, bench, max(1, base.train.epochs // 2), range(arguments.seeds))
    print(f"{base.train.epochs} epochs; seeds 0 to {arguments.seeds - 1}")
    print(table(rows))


if __name__ == "__main__":
    main()
