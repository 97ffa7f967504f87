"""Published weights are there before anything is trained, or the search ends with a way on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file

from detectors.detector import Detector
from detectors.weights import published
from detectors.weights.imagenet import MOBILENET_V1, load_imagenet_backbone
from detectors.weights.published import Published, WeightsUnavailable
from launch.searches import resume, search
from launch.trial.data import TrialData, TrialError
from launch.trial.initial_weights import trial_with_weights, with_weights
from launch.trial.run import run_trial
from searchspace import DetectorConfig, TrainConfig, TrialConfig, load_space
from searchspace.backbones import VGG16, ResNet

FILE = f"{MOBILENET_V1}.safetensors"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """The requests to the network, which does not answer."""
    asked: list[object] = []

    def unreachable(*what: object, **__: object) -> None:
        asked.append(what)
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    monkeypatch.setattr(published, "urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with weights of MobileNetV1 under their published name."""
    torch.manual_seed(3)
    there = tmp_path / "weights"
    there.mkdir()
    state = timm.create_model(MOBILENET_V1, pretrained=False).state_dict()
    save_file({name: t.contiguous() for name, t in state.items()}, there / FILE)
    return there


def on_imagenet(tiny: TrialConfig) -> TrialConfig:
    train = tiny.train.changed(weights="auto")
    return TrialConfig(detector=tiny.detector, train=train, measure=tiny.measure).started()


@pytest.mark.parametrize(
    ("name", "file"),
    [("mobile", MOBILENET_V1), ("papers", MOBILENET_V1), ("anchor_free", "resnet50-0676ba61")],
)
def test_without_a_network_a_search_ends_at_once_and_writes_nothing(
    no_network: list[object], run: Run, shapes_folder: Path, tmp_path: Path, name: str, file: str
) -> None:
    out = tmp_path / "out"
    status, said = run("search", "--space", name, "--data", shapes_folder, "--out", out)
    assert status == 1
    assert len(no_network) == 1
    assert not out.exists()
    assert file in said
    assert "no route to host" in said
    assert "--weights none" in said
    *before, last = said.strip().splitlines()
    assert last.startswith("error: ")
    assert not [line for line in before if not line.startswith(("Search of", "Downloading"))]


def test_a_folder_without_the_file_is_said_by_name(tmp_path: Path, shapes_folder: Path) -> None:
    for name, file in (("mobile", FILE), ("anchor_free", "resnet50-0676ba61.pth")):
        with pytest.raises(WeightsUnavailable, match=rf"--weights {tmp_path}: there is no {file}"):
            search(load_space(name), shapes_folder, tmp_path / "out", weights=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_space_needs_the_weights_of_all_its_backbones(tmp_path: Path) -> None:
    def needed(name: str) -> list[str]:
        there, space = tmp_path / name, load_space(name)
        there.mkdir()
        names: list[str] = []
        while True:
            try:
                with_weights(space, there)
            except WeightsUnavailable as error:
                names.append(str(error).split("there is no ")[1].split(": ")[0])
                (there / names[-1]).touch()
            else:
                return names

    resnets = ["resnet50-0676ba61.pth", "resnet101-63fe2227.pth"]
    vggs = ["vgg16-397923af.pth", "vgg16_bn-6c64b313.pth"]
    assert needed("mobile") == [FILE]
    assert needed("papers") == [FILE, *vggs, *resnets]
    assert needed("anchor_free") == resnets
    assert needed("full") == [FILE, *vggs, *resnets]


def test_none_needs_no_network(no_network: list[object]) -> None:
    space, given = with_weights(load_space("full"), "none")
    assert given is None
    assert space.baseline().train.weights == "none"
    assert with_weights(load_space("quick"), None)[0] == load_space("quick")


def test_a_folder_that_nothing_is_read_from_is_refused(tmp_path: Path, tiny: TrialConfig) -> None:
    with pytest.raises(TrialError, match="shapes, which reads no files"):
        with_weights(load_space("quick"), tmp_path)
    with pytest.raises(TrialError, match="'none', which reads no files"):
        trial_with_weights(tiny, tmp_path)


def test_a_file_may_be_given_itself(folder: Path) -> None:
    _, given = with_weights(load_space("mobile"), folder / FILE)
    assert given == (folder / FILE).resolve()
    with pytest.raises(WeightsUnavailable, match=r"there is no vgg16-397923af\.pth"):
        with_weights(load_space("papers"), folder / FILE)


def test_a_trial_starts_from_the_folders_weights_and_says_what_found_a_place(
    tiny: TrialConfig, folder: Path, shapes: TrialData, tmp_path: Path, no_network: list[object]
) -> None:
    config = on_imagenet(tiny)
    with pytest.raises(WeightsUnavailable, match="no route to host"):
        run_trial(config, shapes, tmp_path / "trial", device="cpu")
    assert not (tmp_path / "trial").exists()
    result = run_trial(config, shapes, tmp_path / "trial", device="cpu", weights=folder)
    assert result.config == config
    stage = tmp_path / "trial" / "stages" / result.trained
    start = json.loads((stage / "start.json").read_text())["train.weights"]
    assert start["untouched"] == []
    assert "layer13.1.0.weight" in start["sliced"]
    # What is there is not needed again: a result, and a training that lies in the store.
    assert run_trial(config, shapes, tmp_path / "trial", device="cpu") == result
    run_trial(config, shapes, tmp_path / "twin", device="cpu", stages=stage.parent)


@pytest.mark.slow
def test_weights_that_are_not_inherited_are_reported(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages = tmp_path / "stages"
    run_trial(tiny, shapes, tmp_path / "parent", device="cpu", stages=stages)
    detector = tiny.detector.changed(
        backbone={"kind": "mobilenet_v1", "taps": ["layer5", "layer11", "layer13"]}
    )
    heir, ancestor = tiny.changed(detector=detector), tmp_path / "parent" / "dense"
    with caplog.at_level(logging.WARNING, "launch.trial.initial_weights"):
        result = run_trial(
            heir, shapes, tmp_path / "heir", device="cpu", stages=stages, ancestor=ancestor
        )
    [said] = [r.message for r in caplog.records if r.name == "launch.trial.initial_weights"]
    start = json.loads((stages / result.trained / "start.json").read_text())["ancestor"]
    assert said.startswith("ancestor: ")
    assert "head.boxes." in said
    assert "are not among these weights and are random" in said
    assert start["unplaced"]


def detector_on(backbone: ResNet | VGG16) -> Detector:
    config = DetectorConfig(
        input_size=96, num_classes=2, backbone=backbone, head={"priors": {"kind": "scaled"}}
    )
    with torch.device("meta"):
        return Detector(config)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    name = Published.of(ResNet()).name
    file = tmp_path / name
    file.write_bytes(b"half of it")
    with pytest.raises(WeightsUnavailable, match=rf"{name}: damaged: its SHA-256 begins with"):
        load_imagenet_backbone(detector_on(ResNet()), tmp_path)
    whole = tmp_path / "whole.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, whole)
    digits = hashlib.sha256(whole.read_bytes()).hexdigest()[:8]
    source = published.ResNet50_Weights.IMAGENET1K_V1
    foreign = Published(f"foreign-{digits}.pth", source)
    whole.rename(tmp_path / foreign.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Published, "of", lambda _: foreign)
        with pytest.raises(WeightsUnavailable, match="not the weights of resnet: none for stem"):
            load_imagenet_backbone(detector_on(ResNet()), tmp_path)
        with pytest.raises(WeightsUnavailable, match="not the weights of vgg16"):
            load_imagenet_backbone(detector_on(VGG16()), tmp_path)


def test_the_command_trial_takes_no_weights_from_a_file_that_names_some(
    run: Run, tmp_path: Path, shapes_folder: Path, no_network: list[object]
) -> None:
    file = tmp_path / "trial.json"
    config = TrialConfig(
        detector=DetectorConfig(input_size=64, num_classes=4, head={"priors": {"kind": "scaled"}}),
        train=TrainConfig(weights="auto", epochs=1),
    )
    file.write_text(config.model_dump_json())
    status, said = run("trial", file, "--data", shapes_folder, "--out", tmp_path / "out")
    assert status == 1
    assert "--weights none" in said
    assert not (tmp_path / "out").exists()
    without, given = trial_with_weights(config, "none")
    assert (without.train.weights, given) == ("none", None)
    assert without.detector == config.detector


SMALL = """
extends = "mobile"
[detector]
input_size = 96
width = 0.25
[detector.head.multibox.priors]
kind = "scaled"
[train]
epochs = 1
[train.copy_paste]
copies = 0
[compress.pruning]
kind = "none"
[measure]
runtime = "eager"
runs = 5
passes = 1
"""


@pytest.mark.slow
def test_a_search_starts_from_a_folder_and_resumes_from_it(
    no_network: list[object], folder: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "small.toml", tmp_path / "out"
    file.write_text(SMALL)
    front = search(file, shapes_folder, out, trials=1, driver="local", device="cpu", weights=folder)
    assert len(front.members) == 1
    [start] = out.glob("stages/train-*/start.json")
    assert json.loads(start.read_text())["train.weights"]["untouched"] == []
    resume(out, trials=2, driver="local")
    assert len(list(out.glob("stages/train-*/start.json"))) == 2
    (folder / FILE).unlink()
    with pytest.raises(WeightsUnavailable, match=f"there is no {FILE}"):
        resume(out, trials=3, driver="local")
