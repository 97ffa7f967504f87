"""Blocks of CSPDarknet and of the neck that YOLOX builds on it (Ge et al., YOLOX, 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detectors.blocks import conv_norm_silu

POOLS = (5, 9, 13)
"""Window sizes of the max poolings of an SPP."""


class Focus(nn.Module):
    """The pixels of a 2x2 window as the channels of one cell, then a 3x3 convolution.

    The pixels of a window are ordered top left, bottom left, top right, bottom right; beyond the
    right and lower border of a map with odd sides they are zero. Without its stride there is a
    window at every pixel, and the convolution is dilated by 2: at even rows and columns, its output
    equals that of the strided one.
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 2) -> None:
        super().__init__()
        self.stride = stride
        spread = 2 // stride
        self.conv = conv_norm_silu(4 * channels_in, channels, padding=spread, dilation=spread)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.stride == 1 or height % 2 or width % 2:
            x = functional.pad(x, (0, 1, 0, 1))
        pixels = [
            x[..., top : top + height : self.stride, left : left + width : self.stride]
            for left in (0, 1)
            for top in (0, 1)
        ]
        return self.conv(torch.cat(pixels, 1))


class DarknetBlock(nn.Module):
    """A 1x1 and a 3x3 convolution, with or without a shortcut."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.convs = nn.Sequential(
            conv_norm_silu(channels, channels, kernel=1, padding=0),
            conv_norm_silu(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convs(x) if self.shortcut else self.convs(x)


class CrossStage(nn.Module):
    """A cross-stage-partial stage: half of the channels pass through blocks, the rest bypass
    them."""

    def __init__(self, channels_in: int, channels: int, blocks: int, shortcut: bool) -> None:
        super().__init__()
        inner = channels // 2
        self.through = nn.Sequential(
            conv_norm_silu(channels_in, inner, kernel=1, padding=0),
            *(DarknetBlock(inner, shortcut) for _ in range(blocks)),
        )
        self.past = conv_norm_silu(channels_in, inner, kernel=1, padding=0)
        self.close = conv_norm_silu(2 * inner, channels, kernel=1, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        return self.close(torch.cat((self.through(x), self.past(x)), 1))


class PyramidPooling(nn.Module):
    """A map concatenated with its maxima over windows of three sizes (SPP), between 1x1
    convolutions."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        inner = channels_in // 2
        self.open = conv_norm_silu(channels_in, inner, kernel=1, padding=0)
        self.pools = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in POOLS)
        self.close = conv_norm_silu((1 + len(POOLS)) * inner, channels, kernel=1, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.open(x)
        return self.close(torch.cat([x, *(pool(x) for pool in self.pools)], 1))
