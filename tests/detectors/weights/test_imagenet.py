from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import timm
import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights

from detectors.backbones import build_backbone
from detectors.detector import PIXELS, Detector
from detectors.weights.imagenet import (
    MOBILENET_V1,
    load_imagenet_backbone,
    mobilenet_v1_state,
)
from detectors.weights.place import place
from detectors.weights.published import Published
from searchspace import DetectorConfig
from searchspace.backbones import VGG16, MobileNetV1, ResNet
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from tests.networks import with_statistics

RELU6 = MobileNetV1(taps=("layer0", "layer5", "layer11", "layer13"), activation="relu6")


def detector_on(backbone: VGG16 | ResNet | MobileNetV1, **fields: object) -> Detector:
    head = Multibox(priors=ScaledPriors())
    config = DetectorConfig(input_size=96, num_classes=2, backbone=backbone, head=head, **fields)
    return Detector(config).eval()


def timm_maps(network: torch.nn.Module, images: Tensor) -> list[Tensor]:
    """Outputs of timm's network for images in 0..1 after its stem, 5, 11 and 13 blocks."""
    mean, std = (
        torch.tensor(network.pretrained_cfg[part])[:, None, None] for part in ("mean", "std")
    )
    maps = [network.bn1(network.conv_stem((images - mean) / std))]
    for stage in network.blocks:
        for block in stage:
            maps.append(block(maps[-1]))
    return [maps[index] for index in (0, 5, 11, 13)]


@pytest.fixture(scope="module")
def published() -> torch.nn.Module:
    """timm's network in a random state."""
    torch.manual_seed(0)
    network = with_statistics(timm.create_model(MOBILENET_V1, pretrained=False))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 1, 3)
    return network


@torch.no_grad()
@pytest.mark.parametrize("side", [96, 97])
def test_mobilenet_computes_what_timms_does(published: torch.nn.Module, side: int) -> None:
    ours = build_backbone(RELU6, width=1.0).eval()
    placement = place(ours, mobilenet_v1_state(published.state_dict()))
    assert (placement.unplaced, placement.untouched, placement.sliced) == ((), (), ())
    images = torch.rand(2, 3, side, side)
    expected = timm_maps(published, images)
    mean, std = (torch.tensor(part)[:, None, None] for part in PIXELS["inception"])
    found = ours((images - mean) / std).maps
    for map_, wanted in zip(found, expected, strict=True):
        assert map_.shape == wanted.shape
        assert torch.allclose(map_, wanted, rtol=1e-5, atol=1e-5)
    # Some activations are cut off at 6: with ReLU this would fail.
    assert [map_.max().item() for map_ in expected[1:]] == [6, 6, 6]


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch, published: torch.nn.Module) -> list[str]:
    """The names that timm is asked to download; it hands out its random state."""
    names: list[str] = []

    def create_model(name: str, pretrained: bool) -> torch.nn.Module:
        assert pretrained
        names.append(name)
        return published

    monkeypatch.setattr(timm, "create_model", create_model)
    return names


def test_mobilenet_is_filled_from_timm(downloaded: list[str], published: torch.nn.Module) -> None:
    ours = detector_on(RELU6, pixels="inception")
    placement = load_imagenet_backbone(ours)
    assert downloaded == [MOBILENET_V1]
    assert (placement.unplaced, placement.untouched) == ((), ())
    weight = published.blocks[3][5].conv_pw.weight
    assert torch.equal(ours.backbone.layer11[1][0].weight, weight)


def test_a_narrower_mobilenet_takes_the_first_channels(downloaded: list[str]) -> None:
    ours = detector_on(RELU6, pixels="inception", width=0.5)
    placement = load_imagenet_backbone(ours)
    assert placement.unplaced == ()
    assert "layer11.1.0.weight" in placement.sliced
    assert placement.untouched == ()


@pytest.mark.parametrize(
    ("backbone", "fields", "message"),
    [
        (MobileNetV1(), {"pixels": "inception"}, r"detector\.backbone\.activation 'relu6'"),
        (
            RELU6,
            {},
            r"mobilenet_v1 .* detector\.pixels 'inception', not 'imagenet': set it to",
        ),
        (VGG16(), {"pixels": "caffe"}, r"vgg16 .* detector\.pixels 'imagenet', not 'caffe'"),
        (ResNet(), {"pixels": "inception"}, r"resnet .* detector\.pixels 'imagenet'"),
        (ResNet(), {"width": 1.25}, r"are for width 1 or less, not 1\.25: lower detector\.width"),
    ],
)
def test_another_function_than_the_published_one_is_refused(
    backbone: VGG16 | ResNet | MobileNetV1, fields: dict[str, object], message: str
) -> None:
    with torch.device("meta"):
        detector = detector_on(backbone, **fields)
    with pytest.raises(ValueError, match=rf"train\.weights 'imagenet'.*{message}"):
        load_imagenet_backbone(detector)


def test_a_backbone_without_published_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResNet, "starts", lambda self: {})
    with torch.device("meta"):
        detector = detector_on(ResNet())
    with pytest.raises(ValueError, match="holds mobilenet_v1, vgg16, timm, not resnet: use 'none'"):
        load_imagenet_backbone(detector)


def no_torch_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(cache))


def no_hugging_face(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))


@pytest.mark.parametrize(
    ("cut", "backbone", "pixels", "message"),
    [
        (no_torch_hub, ResNet(), "imagenet", r"resnet50.*no route to host.*hub/checkpoints"),
        (no_hugging_face, RELU6, "inception", r"timm's mobilenetv1_100.*Hugging Face's cache"),
    ],
    ids=["torchvision", "timm"],
)
def test_without_a_network_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cut: Callable[[pytest.MonkeyPatch, Path], None],
    backbone: ResNet | MobileNetV1,
    pixels: str,
    message: str,
) -> None:
    cut(monkeypatch, tmp_path)
    with torch.device("meta"):
        detector = detector_on(backbone, pixels=pixels)
    with pytest.raises(ValueError, match=rf"'imagenet': .*{message}.*'none'"):
        load_imagenet_backbone(detector)


def test_a_download_says_nothing_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would stand before the JSON of a result."""

    def download(*_: object, **__: object) -> dict[str, Tensor]:
        print("Downloading: ...")
        return {}

    monkeypatch.setattr(type(ResNet50_Weights.IMAGENET1K_V1), "get_state_dict", download)
    Published.of(ResNet()).load(None)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Downloading: ...\n")


def test_pixels_are_those_of_timms_weights() -> None:
    published = timm.get_pretrained_cfg(MOBILENET_V1)
    assert (published.mean, published.std) == PIXELS["inception"]
