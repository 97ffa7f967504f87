from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import launch.trial.stages
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.runtimes import RuntimeUnavailable, deploy, load_detector
from detectors.runtimes.deployment import deploy_as
from detectors.training.train import TrainingFailed
from launch.files import final_folder, trained_folder
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import Int8, Slimming

pytestmark = pytest.mark.xdist_group("trial")
"""One worker has the fixtures of a module; each of several would make them for itself."""

CPU = torch.device("cpu")


def pruned(config: TrialConfig) -> TrialConfig:
    slim = Slimming(sparsity=1e-4, ratio=0.4, finetune_epochs=1)
    return config.changed(compress=CompressConfig(pruning=slim))


@pytest.fixture(scope="module")
def finished(
    shapes: TrialData, space, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrialResult, Path]:
    out = tmp_path_factory.mktemp("trial")
    config = pruned(space.baseline())
    return run_trial(config, shapes, out), out


def test_every_stage_leaves_its_artefact(finished: tuple[TrialResult, Path]) -> None:
    result, out = finished
    left = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    left = {path for path in left if not path.startswith("stages/")}
    assert left == {
        "trial.json", "predicted.json", "dense.json", "plan.json", "compact.json", "result.json",
        "dense/detector.json", "dense/weights.safetensors",
        "compact/detector.json", "compact/weights.safetensors", "progress.jsonl",
    }  # fmt: skip
    assert TrialResult.model_validate_json((out / "result.json").read_text()) == result


def test_the_compact_detector_is_the_smaller_one(finished: tuple[TrialResult, Path]) -> None:
    result, _ = finished
    assert result.final == result.compact
    assert 0.3 < result.removed_share <= 0.4
    assert result.compact.cost.params < result.dense.cost.params
    assert result.compact.cost.macs < result.dense.cost.macs


def test_saved_detectors_score_what_the_result_says(
    finished: tuple[TrialResult, Path], shapes: TrialData
) -> None:
    result, out = finished
    for name, outcome in (("dense", result.dense), ("compact", result.compact)):
        detector = Detector.load(out / name)
        assert detector.classes == shapes.classes
        deployed = deploy_as(result.config.measure, detector, CPU, None)
        assert evaluate(deployed, shapes.val, CPU) == outcome.metrics


def test_the_same_seed_gives_the_same_metrics(
    finished: tuple[TrialResult, Path], shapes: TrialData, tmp_path: Path
) -> None:
    again = run_trial(finished[0].config, shapes, tmp_path)
    assert again.dense.metrics == finished[0].dense.metrics
    assert again.compact.metrics == finished[0].compact.metrics


def test_stages_that_are_there_are_not_run_again(
    finished: tuple[TrialResult, Path], shapes: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = finished
    (out / "result.json").unlink()
    monkeypatch.setattr(launch.trial.stages, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = run_trial(result.config, shapes, out)
    assert (again.dense, again.compact) == (result.dense, result.compact)


def test_an_interrupted_training_goes_on_and_ends_the_same(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    train = tiny.train.model_copy(update={"epochs": 3})
    config = tiny.changed(train=train)
    whole = run_trial(config, shapes, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(stage: str, epoch: int, losses: dict[str, float]) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run_trial(config, shapes, tmp_path / "cut", on_epoch=kill)
    epochs = []
    cut = run_trial(
        config, shapes, tmp_path / "cut", on_epoch=lambda stage, epoch, _: epochs.append(epoch)
    )
    assert epochs == [3]
    assert cut.dense.metrics == whole.dense.metrics


def test_a_trial_stopped_at_a_rung_continues_after_it(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    train = tiny.train.model_copy(update={"epochs": 3})
    config = tiny.changed(train=train)
    told: list[tuple[int, Metrics]] = []

    class Stopped(Exception):
        pass

    def stop(epochs: int, metrics: Metrics) -> None:
        told.append((epochs, metrics))
        if len(told) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run_trial(config, shapes, tmp_path, rungs=(1, 3), on_rung=stop)
    assert [epoch for epoch, _ in told] == [1]
    epochs = []
    result = run_trial(
        config,
        shapes,
        tmp_path,
        on_epoch=lambda stage, epoch, _: epochs.append(epoch),
        rungs=(1, 3),
        on_rung=stop,
    )
    assert epochs == [2, 3]
    # Whoever stopped it is asked once more, about the same score.
    assert [epoch for epoch, _ in told] == [1, 1, 3]
    assert told[0] == told[1]
    # After the last epoch a snapshot is the detector, which the trial runs with its batch norms
    # folded: on some processors that rounds differently.
    assert told[2][1].ap == pytest.approx(result.dense.metrics.ap, abs=0.01)
    assert told[1][1] != told[2][1]


def test_epochs_are_reported_by_stage(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> None:
    told = []
    config = pruned(tiny)
    run_trial(config, shapes, tmp_path, on_epoch=lambda *report: told.append(report))
    assert [(stage, epoch) for stage, epoch, _ in told] == [("dense", 1), ("compact", 1)]
    assert set(told[0][2]) == {"classes", "boxes", "sparsity"}
    assert set(told[1][2]) == {"classes", "boxes"}


def test_the_cost_is_predicted_before_training(
    finished: tuple[TrialResult, Path], shapes: TrialData
) -> None:
    result, _ = finished
    predicted, final, dense = result.predicted, result.compact.cost, result.dense.cost
    assert predicted.params == pytest.approx(final.params, rel=0.2)
    assert max(predicted.macs, final.macs) < dense.macs
    assert predicted.candidates == final.candidates == 300
    assert predicted.device == final.device


def test_an_unavailable_form_ends_a_trial_before_training(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch.trial.stages, "fit", lambda *a, **k: pytest.fail("trained"))
    measure = tiny.measure.model_copy(update={"runtime": "cudagraphs"})
    config = tiny.changed(measure=measure)
    with pytest.raises(RuntimeUnavailable, match="cudagraphs"):
        run_trial(config, shapes, tmp_path, device="cpu")


def test_accuracy_is_that_of_the_form_that_is_measured(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    measure = tiny.measure.model_copy(update={"runtime": "channels_last", "precision": "bfloat16"})
    config = tiny.changed(measure=measure)
    result = run_trial(config, shapes, tmp_path, device="cpu")
    detector = Detector.load(tmp_path / "dense")
    deployed = deploy(detector, "channels_last", "bfloat16", CPU)
    assert (result.final.cost.runtime, result.final.cost.precision) == deployed.form
    assert evaluate(deployed, shapes.val, CPU) == result.final.metrics


@pytest.mark.slow
def test_a_quantised_trial_is_scored_and_measured_in_eight_bits_and_leaves_its_model(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    int8 = Int8(runtime="onnxruntime", images=4)
    config = tiny.changed(compress=CompressConfig(quantisation=int8))
    result = run_trial(config, shapes, tmp_path, device="cpu")
    for cost in (result.predicted, result.final.cost):
        assert (cost.runtime, cost.precision) == ("onnxruntime", "int8")
    loaded = load_detector(tmp_path / "int8")
    assert evaluate(loaded, shapes.val, CPU) == result.final.metrics
    assert (final_folder(config), trained_folder(config)) == ("int8", "dense")
    refused = r"onnxruntime int8, which can only be run .*; give the float32 detector"
    with pytest.raises(ValueError, match=refused):
        Detector.load(tmp_path / "int8")


def test_a_folder_of_another_trial_is_refused(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    (tmp_path / "trial.json").write_text(TrialConfig().model_dump_json())
    with pytest.raises(TrialError, match="holds another trial"):
        run_trial(tiny, shapes, tmp_path)


def test_a_wrong_number_of_classes_names_the_fix(shapes: TrialData, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"num_classes is 80, but .* 4 categories .* set it to 4"):
        run_trial(TrialConfig(), shapes, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_loss_that_explodes_ends_with_advice(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    train = tiny.train.model_copy(
        update={"learning_rate": 1e30, "optimizer": "sgd", "epochs": 5, "warmup_epochs": 0}
    )
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        run_trial(tiny.changed(train=train), shapes, tmp_path)


def test_a_trial_needs_no_ray(tmp_path: Path) -> None:
    code = "import sys; from launch import run_trial, search; assert 'ray' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_result_is_strict_json(finished: tuple[TrialResult, Path]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = (finished[1] / "result.json").read_text()
    assert json.loads(text, parse_constant=refuse)["removed_share"] > 0
