"""Weights of torchvision's networks, renamed to our layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.weights.place import Placement, place
from searchspace.backbones import VGG16
from searchspace.errors import InputError

State = Mapping[str, Tensor]

_HEADS = {"head.boxes": "regression_head", "head.classes": "classification_head"}


def vgg16_state(state: State) -> dict[str, Tensor]:
    """torchvision's VGG16, with or without batch norm, as the tensors of our backbone.

    fc6 and fc7 are the fully connected layers, subsampled to every fourth unit and every third
    position of the window (SSD, section 3). The bias of a convolution is absorbed by its batch
    norm.
    """
    norms = sorted({n.split(".")[1] for n in state if n.endswith("running_mean")}, key=int)
    convs = [n.split(".")[1] for n in state if n.startswith("features") and state[n].ndim == 4]
    placed: dict[str, Tensor] = {}
    for row, conv in zip(_vgg_rows(), convs, strict=True):
        placed[f"{row}.0.weight"] = state[f"features.{conv}.weight"]
        bias = state[f"features.{conv}.bias"]
        if not norms:
            placed[f"{row}.0.bias"] = bias
            continue
        norm = norms[convs.index(conv)]
        for part in ("weight", "bias", "running_mean", "running_var"):
            placed[f"{row}.1.{part}"] = state[f"features.{norm}.{part}"]
        placed[f"{row}.1.running_mean"] = placed[f"{row}.1.running_mean"] - bias
    fc6, fc7 = state["classifier.0.weight"], state["classifier.3.weight"]
    placed["fc6.0.weight"] = fc6.reshape(-1, 512, 7, 7)[::4, :, ::3, ::3]
    placed["fc6.0.bias"] = state["classifier.0.bias"][::4]
    placed["fc7.0.weight"] = fc7[::4, ::4, None, None]
    placed["fc7.0.bias"] = state["classifier.3.bias"][::4]
    return placed


def resnet_state(state: State) -> dict[str, Tensor]:
    """torchvision's ResNet, without its classifier, as the tensors of our backbone."""
    placed = {}
    for name, tensor in state.items():
        stage, _, rest = name.partition(".")
        if stage.startswith("layer"):
            placed[f"res{int(stage[-1]) + 1}.{rest}"] = tensor
        elif stage in ("conv1", "bn1"):
            placed[f"stem.{int(stage == 'bn1')}.{rest}"] = tensor
    return placed


def load_ssd300(detector: Detector, state: State) -> Placement:
    """Fill an SSD300 with the state of torchvision's `ssd300_vgg16`.

    Raises:
        ValueError: the detector's layers differ, or it normalises images differently.
    """
    if detector.config.pixels != "caffe":
        raise InputError("torchvision's SSD300 is trained with pixels 'caffe': set pixels to that")
    names = _ssd300_names(detector, state)
    own = {name: tuple(t.shape) for name, t in detector.state_dict().items()}
    found = {n: tuple(state[theirs].shape) for n, theirs in names.items() if theirs in state}
    if odd := sorted(n for n in own.keys() | found.keys() if own.get(n) != found.get(n)):
        raise InputError(
            f"not torchvision's SSD300; the first tensors that differ: {', '.join(odd[:3])}. "
            "It has 4, 6, 6, 6, 4, 4 boxes per cell and 90 classes"
        )
    with torch.no_grad():
        return place(detector, {name: state[theirs] for name, theirs in names.items()})


def _ssd300_names(detector: Detector, state: State) -> dict[str, str]:
    """Our names -> torchvision's: the convolutions have the same order in both."""
    theirs = [
        n.removesuffix(".weight") for n in state if n.startswith("backbone") and ".weight" in n
    ]
    layers = [
        name
        for part in ("backbone", "neck")
        for name, layer in detector.named_modules()
        if name.startswith(part) and isinstance(layer, nn.Conv2d)
    ]
    modules = dict(zip(layers, theirs, strict=False))
    for ours, their_head in _HEADS.items():
        for level in range(len(detector.config.levels())):
            modules[f"{ours}.{level}"] = f"head.{their_head}.module_list.{level}"
    names = {f"{a}.{p}": f"{b}.{p}" for a, b in modules.items() for p in ("weight", "bias")}
    return {"neck.l2norm1.norm.weight": "backbone.scale_weight"} | names


def _vgg_rows() -> list[str]:
    return [row.name for row in VGG16().stock_rows() if row.name.startswith("conv")]
