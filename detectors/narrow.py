"""Give a freshly built detector the channel counts of a pruned one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from detectors.blocks import L2Norm

Shape = tuple[int, ...]


def narrow(module: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Resize every layer below `module` to the shapes that its tensors are to have.

    The shapes of a pruned network's tensors say everything about its widths; no record of the
    pruning is needed. Values are left undefined where a shape changes.

    Raises:
        ValueError: a tensor is missing, unknown, or wider than the layer it is for; or channels do
            not divide into the groups of a group norm.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if odd := sorted(own.keys() ^ shapes.keys()):
        raise ValueError(f"tensors missing or unknown: {', '.join(odd[:5])}")
    for name, shape in own.items():
        wanted = shapes[name]
        if len(wanted) != len(shape) or any(w > s for w, s in zip(wanted, shape, strict=True)):
            raise ValueError(f"{name} is {list(wanted)}, which {list(shape)} cannot be narrowed to")
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        if f"{prefix}weight" in own:
            try:
                _narrow_layer(layer, shapes[f"{prefix}weight"])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None


def _narrow_layer(layer: nn.Module, shape: Shape) -> None:
    if tuple(layer.weight.shape) == shape:
        return
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1 and layer.groups == layer.in_channels
        layer.out_channels = shape[0]
        layer.groups = shape[0] if depthwise else layer.groups
        layer.in_channels = shape[1] * layer.groups
        _resize(layer, "weight", shape)
        if layer.bias is not None:
            _resize(layer, "bias", shape[:1])
    elif isinstance(layer, nn.ConvTranspose2d):
        layer.in_channels, layer.out_channels = shape[:2]
        _resize(layer, "weight", shape)
        _resize(layer, "bias", shape[1:2])
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = shape[0]
        for name in ("weight", "bias", "running_mean", "running_var"):
            _resize(layer, name, shape)
    elif isinstance(layer, nn.GroupNorm):
        if shape[0] % layer.num_groups:
            raise ValueError(
                f"{shape[0]} channels cannot be in {layer.num_groups} groups of equal size"
            )
        layer.num_channels = shape[0]
        for name in ("weight", "bias"):
            _resize(layer, name, shape)
    elif isinstance(layer, L2Norm):
        _resize(layer, "weight", shape)
    else:
        raise ValueError(f"no rule to narrow a {type(layer).__name__}")


def _resize(layer: nn.Module, name: str, shape: Shape) -> None:
    old = getattr(layer, name)
    new = torch.empty(shape, dtype=old.dtype, device=old.device)
    setattr(layer, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
