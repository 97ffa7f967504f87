"""Files of a real trial that are damaged on disk: noticed, named and made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from detectors.detector import Detector
from detectors.training.run import Run
from launch.trial.ancestor import load_ancestor
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import Space, TrialConfig


def flip(file: Path) -> None:
    """Change a bit in the middle, so that the size and all else stays."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.fixture(scope="module")
def pruned(space: Space) -> TrialConfig:
    """A trial with every stage but int8."""
    baseline = space.baseline()
    detector = baseline.detector.model_copy(update={"input_size": 64})
    ladder = space.fix("compress.pruning.kind", "slimming").baseline().compress
    return baseline.changed(detector=detector, compress=ladder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial") / "t"


@pytest.fixture(scope="module")
def whole(pruned: TrialConfig, shapes: TrialData, folder: Path) -> TrialResult:
    """The trial, before anything was damaged."""
    return run_trial(pruned, shapes, folder, device="cpu")


FILES = {
    "train": "detector/weights.safetensors",
    "prune": "record.json",
    "finetune": "detector/weights.safetensors",
    "evaluate": "record.json",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "damage"),
    [("train", flip), ("train", cut), ("prune", flip), ("finetune", empty), ("evaluate", cut)],
)
def test_a_damaged_artefact_is_named_and_made_again(
    stage: str,
    damage: Callable[[Path], None],
    whole: TrialResult,
    pruned: TrialConfig,
    shapes: TrialData,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[int] = []
    step = Run.step
    monkeypatch.setattr(Run, "step", lambda *args: taken.append(1) or step(*args))
    artefact = next(iter(sorted((folder / "stages").glob(f"{stage}-*"))))
    before = {file: file.read_bytes() for file in (folder / "stages").rglob("*.safetensors")}
    damage(artefact / FILES[stage])
    (folder / "result.json").unlink()
    again = run_trial(pruned, shapes, folder, device="cpu")
    assert again.dense.metrics == whole.dense.metrics
    assert again.final.metrics == whole.final.metrics
    assert f"{artefact} is damaged and will be made again" in caplog.text
    assert len(taken) == (2 if stage in ("train", "finetune") else 0)  # nothing else is trained
    assert {file: file.read_bytes() for file in before} == before
    # What is given to users is whole, too.
    for name in ("dense", "compact"):
        assert Detector.load(folder / name)


def test_weights_that_changed_unnoticed_are_refused(
    whole: TrialResult, folder: Path, tmp_path: Path
) -> None:
    saved = Detector.load(folder / "dense").save(tmp_path / "saved")
    flip(saved / "weights.safetensors")
    assert load_file(saved / "weights.safetensors")  # safetensors itself notices nothing
    words = r"weights\.safetensors: not what was saved with detector\.json.*save the detector again"
    with pytest.raises(ValueError, match=words):
        Detector.load(saved)
    with pytest.raises(TrialError, match=words):
        load_ancestor(saved, whole.config.detector)
    # Earlier versions wrote no sum.
    facts = json.loads((saved / "detector.json").read_text())
    del facts["weights"]
    (saved / "detector.json").write_text(json.dumps(facts))
    assert Detector.load(saved)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, empty])
def test_a_damaged_checkpoint_is_named_and_training_starts_over(
    damage: Callable[[Path], None],
    tiny: TrialConfig,
    shapes: TrialData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = tiny.changed(train=tiny.train.changed(epochs=2))

    def end(stage: str, epoch: int, losses: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(config, shapes, tmp_path / "t", device="cpu", on_epoch=end)
    (checkpoint,) = (tmp_path / "t").rglob("scratch/checkpoint")
    damage(checkpoint)
    run_trial(config, shapes, tmp_path / "t", device="cpu")
    run_trial(config, shapes, tmp_path / "whole", device="cpu")
    assert "checkpoint is damaged (" in caplog.text
    assert "): training starts over" in caplog.text
    states = [Detector.load(tmp_path / name / "dense").state_dict() for name in ("t", "whole")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("damage", ["", "{", '{"config": 1}'])
def test_a_cut_result_is_written_again(
    damage: str, tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    first = run_trial(tiny, shapes, tmp_path / "t", device="cpu")
    (tmp_path / "t" / "result.json").write_text(damage)
    again = run_trial(tiny, shapes, tmp_path / "t", device="cpu")
    assert again.model_copy(update={"seconds": 0}) == first.model_copy(update={"seconds": 0})


def test_a_damaged_cause_is_named(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text('{"detector": ')
    with pytest.raises(TrialError, match=r"trial\.json: .*the JSON is cut off"):
        run_trial(tiny, shapes, tmp_path, device="cpu")
