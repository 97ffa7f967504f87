"""Images and boxes on the network's input, and back: the one place that knows how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from detectors.features import size_of
from searchspace.geometry import Canvas, Size, Window

GREY = 114
"""The value, of 255, of the pixels that a letterboxed image does not cover (YOLOX)."""

MOST_PIXELS, BAND = 25e6, 4e6
"""Pixels of a window that is read at once, and of the bands in which a larger one is read."""

Read = Callable[[Window], Tensor]
"""Reads a window of an image, [3, h, w], uint8 or float in 0..1."""

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean colour: what lies around zoomed-out images and in ignore regions."""


def ground(canvas: Canvas) -> tuple[int, int, int]:
    """The colour of the pixels of a canvas that no training image covers."""
    return MEAN_COLOUR if canvas.resize == "stretch" else (GREY,) * 3


def place(image: Tensor, canvas: Canvas) -> Tensor:
    """An image [..., 3, H, W], uint8 or float in 0..1, on the canvas."""
    return _filled(_resized(image, canvas.content(size_of(image))), canvas)


def place_read(read: Read, window: Window, canvas: Canvas) -> Tensor:
    """A window of an image that is read, on the canvas; see `resize_read`."""
    return _filled(resize_read(read, window, canvas.content(window.size)), canvas)


def resize_read(read: Read, window: Window, size: Size) -> Tensor:
    """A window of an image that is read, resized to a height and width. A large one is never in
    memory, see `resize_bands`."""
    left, top, width, height = window
    if width * height <= MOST_PIXELS:
        return _resized(read(window), size)
    rows = max(1, int(BAND / width))
    ends = ((start, min(start + rows, height)) for start in range(0, height, rows))
    bands = ((start, read(Window(left, top + start, width, end - start))) for start, end in ends)
    return resize_bands(bands, height, size)


def resize_bands(bands: Iterable[tuple[int, Tensor]], rows: int, size: Size) -> Tensor:
    """An image that comes in bands, resized to a height and width.

    Each band is resized along x, and all of them along y. For uint8 that is what `resize` does with
    the whole, too, where the processor has its instructions.

    Args:
        bands: the first row of each, and the band [3, h, W].
        rows: of the image.
    """
    narrow: Tensor | None = None
    for top, band in bands:
        part = _resized(band, (band.shape[-2], size[1]))
        if narrow is None:
            narrow = part.new_empty(3, rows, size[1])
        narrow[:, top : top + band.shape[-2]] = part
    assert narrow is not None
    return _resized(narrow, size)


def _resized(image: Tensor, size: Size) -> Tensor:
    return functional.resize(image, list(size), antialias=True)


def _filled(image: Tensor, canvas: Canvas) -> Tensor:
    """An image at the upper left of the canvas, and the rest filled."""
    height, width = size_of(image)
    below, right = canvas.size[0] - height, canvas.size[1] - width
    if not (below or right):
        return image
    fill = GREY / 255 if image.is_floating_point() else GREY
    return functional.pad(image, [0, 0, right, below], fill=fill)


def fractions(boxes: Tensor, images: Sequence[Size], canvas: Canvas) -> Tensor:
    """Boxes [N, G, 4], xyxy in pixels of N images of these sizes, as fractions of the canvas."""

    def factors(pairs: Sequence[tuple[float, float]]) -> Tensor:
        return torch.tensor([(x, y) * 2 for y, x in pairs], device=boxes.device)[:, None]

    return boxes / factors(images) * factors([canvas.shares(size) for size in images])


def in_pixels(boxes: Tensor, image: Size, canvas: Canvas) -> Tensor:
    """The inverse of `fractions` for boxes [G, 4] of one image, clipped to the image."""
    return (boxes / _shares(boxes, image, canvas)).clamp(max=1) * _sides(boxes, image)


def has_area(boxes: Tensor) -> Tensor:
    """[...], whether boxes [..., 4], xyxy, have one. One that lies beside what it is clipped to, or
    only touches it, has none afterwards, and is no detection."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def in_image(boxes: Tensor, windows: Sequence[Window], canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Boxes [T, D, 4], as fractions of the canvas on which each of T windows of an image lies.

    Returns:
        The boxes in pixels of the image, clipped to their windows, and [T, D], whether they have an
        area there.
    """

    def rows(values: Sequence[tuple[float, float]]) -> Tensor:
        return torch.tensor([pair * 2 for pair in values], device=boxes.device)[:, None]

    shares = rows([canvas.shares(window.size)[::-1] for window in windows])
    sides = rows([(window.width, window.height) for window in windows])
    corners = rows([(window.left, window.top) for window in windows])
    placed = (boxes / shares).clamp(max=1) * sides + corners
    return placed, has_area(placed)


def _shares(like: Tensor, image: Size, canvas: Canvas) -> Tensor:
    vertical, horizontal = canvas.shares(image)
    return torch.tensor((horizontal, vertical) * 2, device=like.device)


def _sides(like: Tensor, image: Size) -> Tensor:
    height, width = image
    return torch.tensor((width, height) * 2, device=like.device)
