"""ImageNet weights as the tensors of our backbones."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path

import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.weights.place import Placement, place
from detectors.weights.published import MOBILENET_V1, Published, State, WeightsUnavailable
from detectors.weights.torchvision import resnet_state, vgg16_state
from searchspace.backbones import VGG16, Backbone, MobileNetV1, ResNet, Timm
from searchspace.initial_weights import check_start


def load_imagenet_backbone(detector: Detector, given: Path | None = None) -> Placement:
    """Start the backbone from ImageNet weights, which torchvision or timm downloads once.

    A narrower backbone gets the first channels of the published one.

    Args:
        given: a folder with the published file, or the file itself, instead of a download.

    Raises:
        ValueError: there are none for this backbone, it is wider, or it computes a different
            function from the one they were trained for.
        WeightsUnavailable: they cannot be found or downloaded, or the file holds other weights.
    """
    config = detector.config
    check_start("imagenet", config)
    file, wrong = Published.of(config.backbone), f"not the weights of {config.backbone.family}"
    state = file.load(given)
    try:
        ours = as_ours(config.backbone, state)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsUnavailable(f"{file.name}: {wrong} ({error})") from None
    with torch.no_grad():
        placement = place(detector.backbone, ours)
    if missing := placement.missing:
        raise WeightsUnavailable(f"{file.name}: {wrong}: none for {', '.join(missing[:3])}")
    return placement


@singledispatch
def as_ours(backbone: Backbone, state: State) -> State:
    """Published weights as the tensors of our backbone; each kind registers its own.

    Raises:
        TypeError: it has none.
        KeyError, IndexError, ValueError, RuntimeError: they are not its own.
    """
    raise TypeError(f"no weights are published for {backbone.family}")


@as_ours.register
def _(backbone: VGG16, state: State) -> State:
    return vgg16_state(state)


@as_ours.register
def _(backbone: ResNet, state: State) -> State:
    return resnet_state(state)


@as_ours.register
def _(backbone: MobileNetV1, state: State) -> State:
    return mobilenet_v1_state(state)


@as_ours.register
def _(backbone: Timm, state: State) -> State:
    """timm itself makes the state of a feature extractor of that of the whole network."""
    import timm

    net = timm.create_model(
        backbone.weights or backbone.name,
        pretrained=True,
        features_only=True,
        out_indices=backbone.indices,
        pretrained_cfg_overlay={"state_dict": dict(state)},
    )
    return {f"net.{name}": tensor for name, tensor in net.state_dict().items()}


def mobilenet_v1_state(state: State) -> dict[str, Tensor]:
    """timm's MobileNetV1, without its classifier, as the tensors of our backbone ([out, in, h, w]).

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


__all__ = ["MOBILENET_V1", "as_ours", "load_imagenet_backbone", "mobilenet_v1_state"]
