"""The steps between the trained detector and the compact one, by configuration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import launch.trial.stages
from compress import read_plan, replay
from detectors.detector import Detector
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import ImportancePruning, Slimming, Unpruned
from searchspace.distillation import Logits

pytestmark = pytest.mark.slow

Pruning = Unpruned | Slimming | ImportancePruning


def run(
    tiny: TrialConfig, data: TrialData, pruning: Pruning, out: Path, **train: Any
) -> tuple[TrialResult, Counter[str]]:
    fields = {
        **dict(tiny),
        "compress": CompressConfig(pruning=pruning),
        "train": tiny.train.model_copy(update=train),
    }
    epochs: Counter[str] = Counter()
    result = run_trial(
        TrialConfig(**fields),
        data,
        out,
        device="cpu",
        on_epoch=lambda stage, epoch, losses: epochs.update([stage]),
    )
    return result, epochs


@pytest.mark.parametrize("criterion", ["taylor", "lamp"])
def test_channels_are_removed_by_importance(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, criterion: str
) -> None:
    pruning = ImportancePruning(
        criterion=criterion, steps=2, ratio=0.4, round_to=4, finetune_epochs=1
    )
    result, epochs = run(tiny, shapes, pruning, tmp_path)
    assert epochs == {"dense": 1, "compact": 1}
    assert 0.2 < result.removed_share <= 0.4
    assert result.compact.cost.params < result.dense.cost.params
    plan = read_plan(tmp_path / "plan.json")
    assert (plan.before.params, plan.after.params) == (
        result.dense.cost.params,
        result.compact.cost.params,
    )
    assert all((plan.channels[root] - len(gone)) % 4 == 0 for root, gone in plan.removed.items())


def test_a_share_of_the_parameters_is_removed(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    pruning = Slimming(target="params", ratio=0.4, finetune_epochs=1)
    result, _ = run(tiny, shapes, pruning, tmp_path)
    left = result.compact.cost.params / result.dense.cost.params
    assert left == pytest.approx(0.6, rel=0.005)


def test_without_fine_tuning_only_the_statistics_are_taken_anew(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    result, epochs = run(tiny, shapes, Slimming(ratio=0.3, finetune_epochs=0), tmp_path)
    assert epochs == {"dense": 1}
    assert result.compact.cost.params < result.dense.cost.params
    pruned = Detector.load(tmp_path / "dense")
    replay(pruned, read_plan(tmp_path / "plan.json"))
    compact = Detector.load(tmp_path / "compact").state_dict()
    other = {n for n, t in pruned.state_dict().items() if not torch.equal(t, compact[n])}
    other = {n for n in other if not n.endswith("num_batches_tracked")}
    assert other == {n for n in compact if n.endswith(("running_mean", "running_var"))}


def test_a_fine_tuning_warms_up_briefly(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = []
    fit = launch.trial.stages.fit

    def noting(detector: Detector, loader: Any, recipe: Any, *args: Any, **options: Any) -> Any:
        recipes.append(recipe)
        return fit(detector, loader, recipe, *args, **options)

    monkeypatch.setattr(launch.trial.stages, "fit", noting)
    pruning = Slimming(ratio=0.3, finetune_epochs=2, finetune_rate=0.1)
    run(tiny, shapes, pruning, tmp_path, warmup_epochs=1.0, warmup_steps=9)
    dense, compact = recipes
    assert (dense.warmup(100), compact.warmup(100)) == (9, 20)
    assert compact.epochs == 2
    assert compact.learning_rate == pytest.approx(0.1 * dense.learning_rate)


def test_an_unpruned_detector_is_trained_on_as_a_pruned_one_is(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    def runs(pruning: Pruning, name: str) -> tuple[TrialResult, Counter[str]]:
        config = tiny.changed(compress=CompressConfig(pruning=pruning))
        epochs: Counter[str] = Counter()
        result = run_trial(
            config,
            shapes,
            tmp_path / name,
            device="cpu",
            stages=tmp_path / "stages",
            on_epoch=lambda stage, epoch, losses: epochs.update([stage]),
        )
        return result, epochs

    left, first = runs(Unpruned(), "left")
    control, second = runs(Unpruned(finetune_epochs=2), "control")
    pruned, third = runs(ImportancePruning(criterion="l2", finetune_epochs=2), "pruned")
    # The training is shared; what follows it is each trial's own, and as long.
    assert (first, second, third) == ({"dense": 1}, {"compact": 2}, {"compact": 2})
    assert left.trained == control.trained == pruned.trained
    assert (left.compact, left.final) == (None, left.dense)
    assert control.dense.metrics == left.dense.metrics
    assert (control.final, control.removed_share) == (control.compact, 0.0)
    assert control.compact.cost.params == control.dense.cost.params > pruned.compact.cost.params
    names = {path.name for path in (tmp_path / "control").iterdir()}
    assert names >= {"dense", "dense.json", "compact", "compact.json"}
    assert "plan.json" not in names
    dense, compact = (Detector.load(tmp_path / "control" / name) for name in ("dense", "compact"))
    assert dense.config == compact.config
    changed = [
        name
        for name, tensor in dense.state_dict().items()
        if not torch.equal(tensor, compact.state_dict()[name])
    ]
    assert len(changed) > len(dense.state_dict()) / 2


def test_a_pruning_that_cannot_be_is_refused_before_training(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    for pruning, message in (
        (Slimming(floor=1.0), r"slimming: nothing can be pruned in this detector"),
        (ImportancePruning(round_to=64), r"round_to is 64, but backbone\.layer0\.0 has 8"),
        (Slimming(target="macs", ratio=0.9, floor=0.9), r"slimming\.ratio: .*cannot be reached"),
    ):
        with pytest.raises(TrialError, match=message):
            run(tiny, shapes, pruning, tmp_path)
    assert not any(tmp_path.iterdir())


def test_distillation_needs_an_epoch() -> None:
    with pytest.raises(ValueError, match=r"distillation has no effect with finetune_epochs 0"):
        Slimming(finetune_epochs=0, distillation=Logits(teacher="x"))
