"""Layers that detectors are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_norm_relu(
    channels_in: int,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
    groups: int = 1,
    norm: bool = True,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch norm (then without bias) and activation; either of the last may be off."""
    conv = nn.Conv2d(
        channels_in, channels, kernel, stride, padding, dilation, groups, bias=not norm
    )
    layers: list[nn.Module] = [conv]
    if norm:
        layers.append(nn.BatchNorm2d(channels))
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


class L2Norm(nn.Module):
    """Each position of a map divided by the L2 norm of its channels, times a learned scale.

    SSD, section 3.1 (after ParseNet). Input and output [N, C, H, W].
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        norm = x.float().pow(2).sum(1, keepdim=True).sqrt() + 1e-10
        return (x / norm.to(x.dtype)) * self.weight[:, None, None]


def init_dense(module: nn.Module) -> None:
    """Xavier weights and zero biases for every convolution below `module` (SSD's choice)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
