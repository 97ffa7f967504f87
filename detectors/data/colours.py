"""SSD's changes of colour (section 2.2): drawn as a few numbers, then made on a whole batch.

The draws and the operations are those of torchvision's `RandomPhotometricDistort`, whose own
kernels take one image and one factor at a time; its hue alone takes 9 ms for 300 x 300 pixels on a
CPU core, where this takes 1.5. Kornia's `ColorJiggle` draws from the global generator in an order
that depends on the batch, and has no permutation of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RATE = 0.5
"""The probability of each change."""

BRIGHTNESS, CONTRAST, SATURATION = (0.875, 1.125), (0.5, 1.5), (0.5, 1.5)
"""Ranges of factors."""

HUE = (-0.05, 0.05)
"""Range of the shift, as a share of the colour circle."""

LUMA = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601, as torchvision rounds them)."""

IN_ORDER = (0, 1, 2)

_WHITE = 255.0


@dataclass(frozen=True)
class Colours:
    """The changes of colour of one image; the defaults change nothing.

    Attributes:
        contrast_first: whether contrast changes before saturation and hue, or after them.
        order: which channel becomes red, green and blue.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    contrast_first: bool = True
    saturation: float = 1.0
    hue: float = 0.0
    order: tuple[int, ...] = IN_ORDER

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Colours:
        chosen = rng.random(5) < RATE
        ranges = (BRIGHTNESS, CONTRAST, SATURATION, HUE)
        drawn = [rng.uniform(*ends) if c else None for c, ends in zip(chosen, ranges, strict=False)]
        brightness, contrast, saturation, hue = (
            usual if value is None else value
            for value, usual in zip(drawn, (1.0, 1.0, 1.0, 0.0), strict=True)
        )
        order = tuple(rng.permutation(3).tolist()) if chosen[4] else IN_ORDER
        first = bool(rng.random() < 0.5)
        return cls(brightness, contrast, first, saturation, hue, order)


UNCHANGED = Colours()


def coloured(images: Tensor, colours: Sequence[Colours]) -> Tensor:
    """Images with their colours changed.

    Args:
        images: float [N, 3, H, W] in 0..255; may be changed in place.
        colours: of each image. What changes in no image is left out; an image that is not to be
            changed keeps its values wherever it lies in the batch.
    """

    def factors(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=images.device).view(-1, 1, 1, 1)

    def contrast(first: bool) -> None:
        values = [c.contrast if c.contrast_first is first else 1.0 for c in colours]
        if any(value != 1 for value in values):
            means = luma(images).mean((-3, -2, -1), keepdim=True)
            _blend(images, means, factors(values))

    brightness, saturation = [c.brightness for c in colours], [c.saturation for c in colours]
    if any(value != 1 for value in brightness):
        images.mul_(factors(brightness)).clamp_(0, _WHITE)
    contrast(first=True)
    if any(value != 1 for value in saturation):
        _blend(images, luma(images), factors(saturation))
    if any(c.hue for c in colours):
        images = _with_hue(images, factors([c.hue for c in colours]))
    contrast(first=False)
    if any(c.order != IN_ORDER for c in colours):
        order = torch.tensor([c.order for c in colours], device=images.device)
        images = images[torch.arange(len(images), device=images.device)[:, None], order]
    return images


def luma(images: Tensor) -> Tensor:
    """The brightness [N, 1, H, W] of images [N, 3, H, W]."""
    red, green, blue = (images[:, k : k + 1] for k in range(3))
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _blend(images: Tensor, other: Tensor, factors: Tensor) -> None:
    """Move images away from another one, or towards it for factors [N, 1, 1, 1] below 1."""
    images.mul_(factors).add_(other * (1 - factors)).clamp_(0, _WHITE)


def _with_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Images [N, 3, H, W] whose hue is turned by shifts [N, 1, 1, 1], in turns.

    A colour with hue h in sixths of the circle, value v (the largest channel) and chroma c (the
    largest minus the smallest) has the channels v - c * clip(2 - |h - p|, 0, 1), where |h - p| is
    the distance on the circle from p: 3 for red, 5 for green and 1 for blue.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = chroma.clamp(min=1e-6)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    ).add_(6 * shifts[:, 0])
    turned = torch.empty_like(images)
    for channel, opposite in enumerate((3, 5, 1)):
        distance = hue - opposite
        distance.sub_((distance / 6).round_(), alpha=6).abs_()
        torch.sub(value, distance.neg_().add_(2).clamp_(0, 1).mul_(chroma), out=turned[:, channel])
    return torch.where(shifts == 0, images, turned) if len(images) > 1 else turned
