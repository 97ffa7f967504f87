"""What stands for a model on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from detectors.detector import Detector
from launch.cli.models import find_detector, find_model, find_system, model_path
from launch.files import SETTINGS
from searchspace import TrialConfig, papers
from searchspace.compression import CompressConfig
from searchspace.errors import InputError
from tests.detectors.deployable import deployable


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study's folder as far as names of trials need it: trial 3 has a detector, trial 4 none."""
    for name in ("0003-aaaa", "0004-bbbb", "0004-cccc", "0005-dddd"):
        folder = tmp_path / "run/trials" / name
        folder.mkdir(parents=True)
        config = TrialConfig(compress=CompressConfig())
        (folder / "trial.json").write_text(config.model_dump_json())
    deployable("ssdmnetv1").save(tmp_path / "run/trials/0003-aaaa/dense")
    return tmp_path / "run"


def test_a_trial_has_several_names(study: Path) -> None:
    expected = study / "trials/0003-aaaa/dense"
    for name in (
        f"{study}:3",
        f"{study}/trials/0003",
        f"{study}/trials/0003-aaaa",
        f"{study}/trials/0003-aaaa/",
        str(expected),
    ):
        assert model_path(name) == expected
    model = find_model(f"{study}:3")
    assert (model.path, model.classes) == (expected, ("1", "2", "3"))


def test_what_only_describes_a_detector_takes_a_trial_too(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = load_file(study / "trials/0003-aaaa/dense/weights.safetensors")
    for name in (f"{study}:3", f"{study}/trials/0003-aaaa", f"{study}/trials/0003-aaaa/dense"):
        found, published = find_system(name)
        assert isinstance(found, Detector)
        assert published is None
        assert found.state_dict().keys() == saved.keys()
        assert find_detector(name).config == found.config
    # A file only describes a trial, and a system's name comes before a folder.
    config, _ = find_system(str(study / "trials/0003-aaaa/trial.json"))
    assert config == TrialConfig().detector
    monkeypatch.chdir(study)
    Path("mfssd").mkdir()
    config, published = find_system("mfssd")
    assert config == papers["mfssd"].trial.detector
    assert published == papers["mfssd"].published
    Path("x.onnx").touch()
    with pytest.raises(InputError, match="was exported, and an exported file gives no weights"):
        find_system("x.onnx")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{study}:4", "several trials begin so: 0004-bbbb, 0004-cccc"),
        ("{study}:5", "0005-dddd/dense: the trial has no such detector"),
        ("{study}:6", "has no trial 0006"),
        ("{study}", "is a whole study; give one of its trials, such as .*run:0"),
        ("{study}/nothing", "no such model; give a trial"),
        ("{study}/trials", "holds no detector; give a trial"),
        ("nowhere:3", "nowhere/trials is no folder"),
    ],
)
def test_what_is_no_model_is_said(study: Path, name: str, message: str) -> None:
    if name == "{study}":
        (study / SETTINGS).write_text("{}")
    with pytest.raises(InputError, match=message):
        model_path(name.format(study=study))
