"""ImageNet weights of backbones, from the libraries that publish them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.models import (
    ResNet50_Weights,
    ResNet101_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    WeightsEnum,
)

from detectors.detector import Detector
from detectors.torchvision_weights import resnet_state, vgg16_state
from detectors.weights import Placement, place, require
from searchspace.backbones import VGG16, MobileNetV1, ResNet

State = Mapping[str, Tensor]

MOBILENET_V1 = "mobilenetv1_100.ra4_e3600_r224_in1k"
"""timm's name of the weights of MobileNetV1 at width 1."""

TRAINED_WITH: dict[str, dict[str, object]] = {
    "vgg16": {"pixels": "imagenet"},
    "resnet": {"pixels": "imagenet"},
    "mobilenet_v1": {"pixels": "inception", "backbone.activation": "relu6"},
}
"""What the published weights of a kind of backbone presuppose of a detector, by path."""


def load_imagenet_backbone(detector: Detector) -> Placement:
    """Start the backbone from ImageNet weights, which torchvision or timm downloads once.

    Of a network narrower than the published one, the first channels are taken.

    Raises:
        ValueError: there are none for this backbone, it is wider, it computes another function
            than they were trained for, or they cannot be had.
    """
    config = detector.config
    kind = config.backbone.kind
    if kind not in TRAINED_WITH:
        raise ValueError(
            f"train.weights 'imagenet' holds {', '.join(TRAINED_WITH)}, not {kind}: use 'none'"
        )
    if config.width > 1:
        raise ValueError(
            f"train.weights 'imagenet' holds width 1, not {config.width}: lower detector.width, or "
            "use 'none'"
        )
    require(config, "imagenet", TRAINED_WITH[kind])
    with torch.no_grad():
        return place(detector.backbone, _published(config.backbone))


def _published(backbone: VGG16 | ResNet | MobileNetV1) -> State:
    """The weights as the tensors of our backbone."""
    match backbone:
        case VGG16(norm=norm):
            return vgg16_state(_from_torchvision(VGG16_BN_Weights if norm else VGG16_Weights))
        case ResNet(depth=depth):
            weights = {50: ResNet50_Weights, 101: ResNet101_Weights}[depth]
            return resnet_state(_from_torchvision(weights))
        case MobileNetV1():
            return mobilenet_v1_state(_from_timm(MOBILENET_V1))


def _from_torchvision(weights: type[WeightsEnum]) -> State:
    first = weights.IMAGENET1K_V1
    with _explained(first.url, "torch's hub/checkpoints folder"):
        return first.get_state_dict(progress=False, check_hash=True)


def _from_timm(name: str) -> State:
    import timm  # here, because no other trial needs it

    with _explained(f"timm's {name}", "Hugging Face's cache"):
        return timm.create_model(name, pretrained=True).state_dict()


@contextmanager
def _explained(what: str, cache: str) -> Iterator[None]:
    """Say what to do where a download fails."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"train.weights 'imagenet': {what} cannot be had ({error}); give this machine a "
            f"network once, put the file into {cache}, or use 'none'"
        ) from None


def mobilenet_v1_state(state: State) -> dict[str, Tensor]:
    """timm's MobileNetV1, without its classifier, as the tensors of our backbone.

    Its blocks, counted through all stages, are our rows 1 to 13.
    """
    pieces = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1.0", "bn2": "1.1"}
    blocks = list(dict.fromkeys(tuple(n.split(".")[1:3]) for n in state if n.startswith("blocks.")))
    placed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match name.split("."):
            case ["conv_stem", part]:
                placed[f"layer0.0.{part}"] = tensor
            case ["bn1", part]:
                placed[f"layer0.1.{part}"] = tensor
            case ["blocks", stage, block, piece, part]:
                row = 1 + blocks.index((stage, block))
                placed[f"layer{row}.{pieces[piece]}.{part}"] = tensor
    return placed
