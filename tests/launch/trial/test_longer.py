"""A found detector is trained for long: from its weights or anew, at its widths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compress import Plan, plan_by_widths, prune, replay
from detectors.describe import skeleton
from detectors.detector import Detector
from launch.trial.data import TrialData, TrialError
from launch.trial.initial_weights import fill
from launch.trial.longer import Trainable
from launch.trial.run import run_trial
from launch.trial.widths import plan_beside, recorded_plan
from searchspace import Space, TrialConfig
from searchspace.compression import ImportancePruning, Slimming, Unpruned
from searchspace.distillation import ChannelWise
from searchspace.training import TrainConfig

HALF = ImportancePruning(criterion="l2", steps=1, ratio=0.5, floor=0.25, finetune_epochs=1)


@pytest.fixture(scope="module")
def half(space: Space, shapes: TrialData) -> tuple[Detector, Plan]:
    """The detector of the smallest trial without half of its channels."""
    torch.manual_seed(1)
    config = space.baseline().detector.model_copy(update={"input_size": 64})
    detector = Detector(config, shapes.classes)
    return detector, prune(detector, HALF)


def shapes_of(detector: Detector) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}


def saved_trial(folder: Path, config: TrialConfig, name: str, detector: Detector) -> Path:
    """A trial's folder with one of its detectors; returns the detector's."""
    detector.save(folder / name)
    (folder / "trial.json").write_text(config.model_dump_json())
    return folder / name


def test_a_schedule_is_spread_over_the_new_number_of_epochs() -> None:
    recipe = TrainConfig(epochs=10, warmup_epochs=1, plain_epochs=2)
    long = recipe.lasting(100)
    assert (long.epochs, long.warmup_epochs, long.plain_epochs) == (100, 1, 20)
    assert long.schedule == recipe.schedule
    short = recipe.lasting(5)
    assert (short.warmup_epochs, short.plain_epochs) == (0.5, 1)
    assert recipe.shortened(0.5) == short


def test_from_its_weights_the_rate_is_that_of_a_fine_tuning(tiny: TrialConfig) -> None:
    pruning = Slimming(finetune_epochs=3, finetune_rate=0.25)
    config = tiny.changed(
        train=tiny.train.changed(weights="shapes"),
        compress=tiny.compress.changed(pruning=pruning),
    )
    found = Trainable(config, folder=Path("/run/trials/0003-x/compact"))
    long = found.longer(50)
    assert long.train.weights == "/run/trials/0003-x/compact"
    assert long.train.learning_rate == pytest.approx(0.25 * tiny.train.learning_rate)
    assert long.epochs == (50, 0)
    assert long.compress.pruning == Unpruned(finetune_rate=0.25)
    anew = found.longer(50, anew=True)
    assert (anew.train.weights, anew.train.learning_rate) == ("shapes", tiny.train.learning_rate)
    assert (anew.epochs, anew.compress) == ((50, 0), long.compress)
    # What was never trained is trained, pruned and fine-tuned as a whole.
    whole = Trainable(config).longer(50)
    assert (whole.epochs, whole.compress, whole.train.weights) == (
        (50, 3),
        config.compress,
        "shapes",
    )


def test_the_teacher_is_that_of_its_last_training(tiny: TrialConfig) -> None:
    first = ChannelWise(teacher="big", weight=3.0)
    last = ChannelWise(temperature=2.0)
    config = tiny.changed(
        train=tiny.train.changed(distillation=first),
        compress=tiny.compress.changed(pruning=HALF.changed(distillation=last)),
    )
    folder = Path("/run/trials/0003-x")
    compact = Trainable(config, folder / "compact", folders={"big": Path("/elsewhere/big")})
    assert compact.longer(9).train.distillation == last.changed(teacher=str(folder / "dense"))
    dense = Trainable(config, folder / "dense", folders={"big": Path("/elsewhere/big")})
    assert dense.longer(9).train.distillation == first.changed(teacher="/elsewhere/big")
    given = Path("/other/dense")
    assert compact.longer(9, teacher=given).train.distillation == last.changed(teacher=str(given))
    untaught = Trainable(tiny, folder / "dense")
    assert untaught.longer(9, teacher=given).train.distillation == ChannelWise(teacher=str(given))


def test_widths_alone_give_a_plan(tiny: TrialConfig, half: tuple[Detector, Plan]) -> None:
    detector, _ = half
    plan = plan_by_widths(detector)
    assert plan is not None
    whole = skeleton(tiny.detector)
    replay(whole, plan)
    assert shapes_of(whole) == shapes_of(detector)
    assert plan.after.params == sum(p.numel() for p in detector.parameters())
    assert plan_by_widths(Detector(tiny.detector)) is None


def test_kept_channels_keep_their_published_weights(
    tiny: TrialConfig, half: tuple[Detector, Plan]
) -> None:
    _, plan = half
    recipe = tiny.train.changed(weights="shapes")
    torch.manual_seed(0)
    whole = Detector(tiny.detector)
    fill(whole, recipe, None, None, None)
    torch.manual_seed(0)
    narrow = Detector(tiny.detector)
    placed = fill(narrow, recipe, None, None, None, plan)
    assert placed["train.weights"]["unplaced"] == ()
    head = whole.get_submodule("head.boxes.0")
    inputs = head.in_channels
    replay(whole, plan)
    states = whole.state_dict(), narrow.state_dict()
    for name in states[0]:
        if name.startswith("backbone."):
            assert torch.equal(states[0][name], states[1][name]), name
    # Random weights give outputs of the same variance as before, from fewer inputs.
    factor = (inputs / head.in_channels) ** 0.5
    assert factor > 1
    torch.testing.assert_close(narrow.get_submodule("head.boxes.0").weight, head.weight * factor)


@pytest.mark.parametrize("from_weights", [True, False])
def test_a_pruned_detector_is_trained_at_its_widths(
    tiny: TrialConfig,
    shapes: TrialData,
    half: tuple[Detector, Plan],
    tmp_path: Path,
    from_weights: bool,
) -> None:
    detector, plan = half
    parent = tiny.changed(compress=tiny.compress.changed(pruning=HALF))
    folder = saved_trial(tmp_path / "trial", parent, "compact", detector)
    (tmp_path / "trial/plan.json").write_text(plan.model_dump_json())
    assert recorded_plan(folder) == plan
    assert plan_beside(tmp_path / "trial/trial.json") is None
    found = Trainable(parent, folder, shapes.classes, plan)
    config, out = found.longer(1, anew=not from_weights), tmp_path / "long"
    result = run_trial(config, shapes, out, device="cpu", plan=plan)
    assert shapes_of(Detector.load(out / "dense")) == shapes_of(detector)
    assert result.removed_share == plan.share > 0.2
    assert result.predicted.params == result.final.cost.params == plan.after.params
    start = json.loads((out / "stages" / result.trained / "start.json").read_text())
    if from_weights:
        assert start["train.weights"]["untouched"] == start["train.weights"]["unplaced"] == []
    # It says itself which channels it never had, and is the same trial with these alone.
    assert recorded_plan(out / "dense") == plan_beside(out / "trial.json") == plan
    assert run_trial(config, shapes, out, device="cpu", plan=plan) == result
    with pytest.raises(TrialError, match="holds another trial"):
        run_trial(config.changed(train=config.train.changed(weights="none")), shapes, out, "cpu")


def test_what_was_pruned_is_not_pruned_again(
    tiny: TrialConfig, shapes: TrialData, half: tuple[Detector, Plan], tmp_path: Path
) -> None:
    _, plan = half
    again = tiny.changed(compress=tiny.compress.changed(pruning=HALF))
    with pytest.raises(TrialError, match=r"removed already.*set compress.pruning.kind to none"):
        run_trial(again, shapes, tmp_path, device="cpu", plan=plan)
    other = tiny.changed(detector=tiny.detector.changed(width=0.5))
    with pytest.raises(TrialError, match="the plan of another detector"):
        run_trial(other, shapes, tmp_path, device="cpu", plan=plan)


def test_classes_are_compared_by_name(tiny: TrialConfig, shapes: TrialData) -> None:
    names = ("moon", *shapes.classes[1:])
    found = Trainable(tiny, Path("/run/x/dense"), names)
    with pytest.raises(TrialError, match=r"finds 4 classes \(moon, .*--set detector.num_classes=4"):
        found.check_classes(shapes)
    Trainable(tiny, Path("/run/x/dense"), shapes.classes).check_classes(shapes)
    Trainable(tiny, Path("/run/x/dense")).check_classes(shapes)
    Trainable(tiny).check_classes(shapes)
