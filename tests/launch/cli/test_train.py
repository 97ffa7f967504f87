"""`sparrow train` as a user types it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compress import Plan
from detectors.detector import Detector
from detectors.locks import held
from detectors.thresholds import read_thresholds
from launch import run_trials
from launch.cli.long_training import LongTraining
from launch.trial.data import TrialError
from launch.trial.log import TrialLog
from launch.trial.result import read_result
from searchspace import TrialConfig, plugins
from searchspace.compression import ImportancePruning
from searchspace.distillation import ChannelWise
from tests.detectors.deployable import needs_extra
from tests.launch.cli.test_given import SMALL

Run = Callable[..., tuple[int, str]]


def test_an_interrupted_training_goes_on_from_its_last_epoch(
    run: Run, trial: Path, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    note = TrialLog.note_epoch

    def interrupted(log: TrialLog, stage: str, epoch: int, losses: dict[str, float]) -> None:
        note(log, stage, epoch, losses)
        raise KeyboardInterrupt

    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugin = tmp_path / "trained_with.py"
    plugin.touch()
    command = ("train", "trial", "--data", shapes_folder, "--epochs", 2, "--to", "none",
               "--device", "cpu", "--plugin", plugin)  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(TrialLog, "note_epoch", interrupted)
        code, text = run(*command)
    [out] = (tmp_path / "runs/trained").iterdir()
    assert code == 130
    assert f"Interrupted. Go on with: sparrow train --resume runs/trained/{out.name}" in text
    assert not (out / "result.json").exists()
    (trial / "dense").rename(trial / "gone")
    code, text = run("train", "--resume", out)
    assert code == 1
    assert f"put its detector back into {trial / 'dense'}" in text
    assert "Traceback" not in text
    (trial / "gone").rename(trial / "dense")
    plugins._loaded.clear()
    code, text = run("train", "--resume", out, "--json", "--device", "cpu")
    assert code == 0, text
    assert plugins._loaded == {"trained_with": str(plugin)}
    del sys.modules["trained_with"]
    assert re.findall(r"dense, epoch (\d)", (out / "log.txt").read_text()) == ["1", "2"]
    # Standard output has the tree alone, and standard error follows it here.
    tree = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]
    assert (tree["epochs"], tree["front"], tree["export"]) == (2, None, None)
    assert tree["before"]["cost"]["params"] == tree["after"]["cost"]["params"]
    assert {"ap", "ap_small"} <= tree["changes"].keys()
    assert tree["changes"]["ap"]["low"] <= tree["changes"]["ap"]["high"]
    detector = Detector.load(out / "dense")
    assert read_thresholds(out / "dense", detector.classes).images == 8
    assert (out / "evaluation/evaluation.html").exists()
    assert json.loads((out / "trained.json").read_text()) == {
        name: value for name, value in tree.items() if name != "export"
    }
    # The same command names the same training, and no other may use its folder.
    training = LongTraining.read(out)
    training.claim(out)
    with held(out / "training.lock", "training in it"):
        code, text = run("train", "--resume", out)
    assert (code, "another process trains in it: process" in text) == (1, True), text
    with pytest.raises(TrialError, match="holds another trial or training"):
        training.model_copy(update={"val": training.train}).claim(out)
    # Its data are those of the next training.
    assert training.source.val.images == (shapes_folder / "val").resolve()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "give either a model to train, or --resume FOLDER"),
        (("trial", "--resume", "trial"), 2, "give either a model to train, or --resume FOLDER"),
        (("x.onnx",), 1, "x.onnx was exported, and an exported file gives no weights back; give"),
        (("trial", "--epochs", 0), 2, "'--epochs': must be 1 or more"),
        (("trial", "--set", "train.epochs=3"), 2, "--set: --epochs sets train.epochs"),
        (("trial", "--weights", "none"), 2, "give --anew to start from others"),
        (("trial", "--set", "train.weights=none"), 2, "give --anew to start from others"),
        (("trial", "--to", "tflite"), 2, "--to: target 'tflite': choose from onnx"),
        (("trial", "--to", "executorch"), 2, "or give none, and export it afterwards"),
        (("trial",), 2, "give --data"),
        (("mfsd",), 2, "neither a file nor a paper's system; the nearest one is mfssd"),
        (("mfssd", "--anew"), 2, "mfssd was not trained yet: leave it out"),
        (("--resume", "trial"), 1, "sparrow train began nothing here (no training.json)"),
        (("--resume", "trial", "--epochs", 3), 2, "--epochs was set when the training began"),
        (("trial", "--data", "data", "--teacher", "gone", "--to", "none"), 1, "gone: no such"),
        (("other", "--data", "data", "--to", "none"), 1, "--set detector.num_classes=4"),
        (("trial", "--data", "data", "--to", "none", "--out", "trial"), 1,
         "trial holds another trial or training: choose an empty folder with --out"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_at_once(
    run: Run, tiny: TrialConfig, trial: Path, shapes_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], status: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("x.onnx").touch()
    Path("data").symlink_to(shapes_folder)
    Detector(tiny.detector, ("moon", "sun", "earth", "mars")).save(Path("other"))
    monkeypatch.setattr("launch.cli.train.run_trial", lambda *_, **__: pytest.fail("trained"))
    code, text = run("train", *arguments)
    assert (code, message in text) == (status, True), text
    assert not Path("runs").exists()


@pytest.mark.slow
@needs_extra
def test_a_pruned_member_is_trained_with_its_teacher_and_exported(
    run: Run, tiny: TrialConfig, shapes_folder: Path, tmp_path: Path
) -> None:
    pruning = ImportancePruning(
        criterion="l2", steps=1, finetune_epochs=1, distillation=ChannelWise()
    )
    config = tiny.changed(compress=tiny.compress.changed(pruning=pruning))
    study = tmp_path / "study"
    run_trials({"pruned": config}, shapes_folder, study, driver="local", device="cpu")
    [folder] = (study / "trials").iterdir()
    out, again = tmp_path / "long", tmp_path / "anew"
    code, text = run("train", f"{study}:0", "--epochs", 1, "--out", out, "--device", "cpu")
    assert code == 0, text
    stored = TrialConfig.model_validate_json((out / "trial.json").read_text())
    assert stored.train.weights == str(folder / "compact")
    assert stored.train.distillation == ChannelWise(teacher=str(folder / "dense"))
    assert "the front of 1 trial in" in text
    assert (out / "dense/detector.onnx").exists()
    assert Detector.load(out / "dense").state_dict().keys() == (
        Detector.load(folder / "compact").state_dict().keys()
    )
    code, text = run("train", f"{study}:0", "--epochs", 1, "--anew", "--out", again,
                     "--teacher", folder / "dense", "--to", "none", "--device", "cpu")  # fmt: skip
    assert code == 0, text
    plans = [Plan.model_validate_json((place / "plan.json").read_text())
             for place in (folder, out, again)]  # fmt: skip
    assert plans[0] == plans[1] == plans[2]
    costs = [read_result(place / "result.json").final.cost for place in (folder, out, again)]
    assert len({cost.params for cost in costs}) == 1
    # Elsewhere, only its widths tell what it has lost.
    moved = Path(shutil.copytree(folder / "compact", tmp_path / "moved"))
    code, text = run("train", moved, "--epochs", 1, "--anew", "--data", shapes_folder,
                     "--out", tmp_path / "third", "--to", "none", "--device", "cpu",
                     "--set", "train.batch_size=8", "--set", "measure.runs=5")  # fmt: skip
    assert code == 0, text
    assert "which of its channels were pruned is not known" in text
    assert read_result(tmp_path / "third/result.json").final.cost.params == costs[0].params


@pytest.mark.slow
@needs_extra
def test_a_papers_system_is_trained_by_its_name(
    run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    small = [word for word in SMALL if word != "train.epochs=1"]
    small.remove("--set")
    out = tmp_path / "out"
    code, text = run("train", "ssdmnetv1_s1l6", "--data", shapes_folder, "--epochs", 1,
                     "--out", out, *small)  # fmt: skip
    assert code == 0, text
    assert "Before" not in text
    said = json.loads((out / "trained.json").read_text())
    assert (said["before"], said["front"], said["epochs"]) == (None, None, 1)
    assert (out / "dense/detector.onnx").exists()
    assert (out / "dense/thresholds.json").exists()
