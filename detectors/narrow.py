"""Giving a newly built detector the channel counts of a pruned one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from detectors.blocks import L2Norm
from searchspace.errors import InputError

Shape = tuple[int, ...]


def narrow(module: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Resize every layer in `module` to the given shapes of its tensors.

    The shapes of a pruned network's tensors determine its widths, so no record of the pruning is
    needed. Where a shape changes, values are undefined.

    Raises:
        ValueError: a tensor is missing or unknown, or its layer cannot be narrowed to it.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if odd := sorted(own.keys() ^ shapes.keys()):
        raise InputError(f"tensors missing or unknown: {', '.join(odd[:5])}")
    for name, shape in own.items():
        if not _is_narrower(shapes[name], shape):
            wanted = list(shapes[name])
            raise InputError(f"{name}: {list(shape)} cannot be narrowed to {wanted}")
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        if f"{prefix}weight" in own:
            _narrow_layer(name, layer, shapes[f"{prefix}weight"])


def _is_narrower(shape: Shape, whole: Shape) -> bool:
    """Whether a shape has the same kernel and no more channels."""
    enough = all(0 < n <= most for n, most in zip(shape[:2], whole[:2], strict=False))
    return len(shape) == len(whole) and enough and shape[2:] == whole[2:]


def _narrow_layer(name: str, layer: nn.Module, shape: Shape) -> None:
    if tuple(layer.get_parameter("weight").shape) == shape:
        return
    _resize(layer, "weight", shape)
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1 and layer.groups == layer.in_channels
        layer.out_channels = shape[0]
        layer.groups = shape[0] if depthwise else layer.groups
        layer.in_channels = shape[1] * layer.groups
        _resize(layer, "bias", shape[:1])
    elif isinstance(layer, nn.ConvTranspose2d):
        layer.in_channels, layer.out_channels = shape[:2]
        _resize(layer, "bias", shape[1:2])
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = shape[0]
        for tensor in ("bias", "running_mean", "running_var"):
            _resize(layer, tensor, shape)
    elif isinstance(layer, nn.GroupNorm):
        if shape[0] % layer.num_groups:
            raise InputError(f"{name}: {shape[0]} channels in {layer.num_groups} groups")
        layer.num_channels = shape[0]
        _resize(layer, "bias", shape)
    elif not isinstance(layer, L2Norm):
        raise InputError(f"{name}: narrowing a {type(layer).__name__} is not supported")


def _resize(layer: nn.Module, name: str, shape: Shape) -> None:
    """Give a layer's tensor another shape, if the layer has that tensor."""
    old = getattr(layer, name)
    if old is None:
        return
    new = torch.empty(shape, dtype=old.dtype, device=old.device)
    setattr(layer, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
