"""Layers of detectors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def conv_norm_relu(
    channels_in: int,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    norm: bool = True,
    activation: type[nn.Module] | None = nn.ReLU,
    **more: Any,
) -> nn.Sequential:
    """Convolution, batch norm (then without bias) and activation; norm or activation may be off.

    Args:
        more: `dilation` or `groups` of the convolution.
    """
    conv = nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=not norm, **more)
    layers: list[nn.Module] = [conv]
    if norm:
        layers.append(nn.BatchNorm2d(channels))
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


def conv_norm_silu(
    channels_in: int,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """Convolution, batch norm with YOLOX's constants, and SiLU."""
    shape = (channels_in, channels, kernel, stride, padding)
    block = conv_norm_relu(*shape, activation=nn.SiLU, dilation=dilation)
    for layer in block:
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps, layer.momentum = 1e-3, 0.03
    return block


def conv_group_norm_relu(channels_in: int, channels: int) -> nn.Sequential:
    """3x3 convolution, group norm and ReLU, as in the towers of FCOS and GFL.

    A group has 8 channels, as in their 32 groups of 256 channels.
    """
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.GroupNorm(channels // math.gcd(channels, 8), channels),
        nn.ReLU(inplace=True),
    )


def is_depthwise(layer: nn.Module) -> bool:
    """Whether every channel of a convolution is made of the same channel before it."""
    if not isinstance(layer, nn.Conv2d):
        return False
    return 1 < layer.groups == layer.in_channels == layer.out_channels


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


class Scale(nn.Module):
    """A map multiplied by one learned number, initially 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Bottleneck(nn.Module):
    """ResNet's block: 1x1, 3x3, 1x1 convolutions around a shortcut.

    The 3x3 convolution has the stride. Layers have torchvision's names.
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels_in != channels:
            self.downsample = conv_norm_relu(
                channels_in, channels, 1, stride, padding=0, activation=None
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return self.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


def init_without_norm(module: nn.Module) -> None:
    """He initialisation of every convolution with a bias in `module`.

    Without batch norm, nothing else preserves the scale of maps from layer to layer.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def init_dense(module: nn.Module) -> None:
    """Xavier weights and zero biases for every convolution in `module`, as in SSD."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
