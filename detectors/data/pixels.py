"""Where the pixels of a split come from, and the size at which they are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torchvision.transforms.v2 import functional

from detectors.canvas import place
from detectors.data.images import load_image
from detectors.data.records import ImageRecord
from detectors.features import size_of
from searchspace.geometry import Canvas, Size

MEMORY_BYTES = 1 << 30


class Pixels(Protocol):
    """A source of the images of a split."""

    def get(self, record: ImageRecord) -> Tensor:
        """The image of a record, uint8 [3, h, w]; callers must not modify it.

        It is as stored, or a smaller copy of the same content, and never larger: whoever reads it
        computes factors from `record.width`, `record.height` and the tensor's size.

        Raises:
            ImageError, ValueError, OSError: as `load_image`.
        """
        ...


class Form(Protocol):
    """How images are kept. Its text names it, for people and in keys of caches."""

    def size(self, stored: Size) -> Size:
        """The height and width at which an image of this size is kept."""
        ...

    def of(self, image: Tensor) -> Tensor:
        """An image, uint8 [3, H, W], as it is kept."""
        ...


@dataclass(frozen=True)
class Whole:
    """Images as they are stored."""

    def size(self, stored: Size) -> Size:
        return stored

    def of(self, image: Tensor) -> Tensor:
        return image

    def __str__(self) -> str:
        return "as stored"


@dataclass(frozen=True)
class Reduced:
    """Images reduced, with a filter against aliasing, to no less than a canvas needs of them.

    The aspect ratio is kept. An image that the canvas would enlarge is kept as it is stored.
    """

    canvas: Canvas

    def size(self, stored: Size) -> Size:
        needed = self.canvas.content(stored)
        factor = max(new / old for new, old in zip(needed, stored, strict=True))
        if factor >= 1:
            return stored
        height, width = (min(side, math.ceil(factor * side - 1e-6)) for side in stored)
        return height, width

    def of(self, image: Tensor) -> Tensor:
        size = self.size(size_of(image))
        if size == size_of(image):
            return image
        return functional.resize(image, list(size), antialias=True)

    def __str__(self) -> str:
        return f"reduced for {_shown(self.canvas)}"


@dataclass(frozen=True)
class Placed:
    """Images on a network's input, as they are scored."""

    canvas: Canvas

    def size(self, stored: Size) -> Size:
        return self.canvas.size

    def of(self, image: Tensor) -> Tensor:
        return place(image, self.canvas)

    def __str__(self) -> str:
        return f"placed on {_shown(self.canvas)}"


WHOLE = Whole()


class Decoded:
    """Images decoded from their files when they are read, and kept while they fit into memory."""

    def __init__(self, form: Form = WHOLE, limit: int = MEMORY_BYTES) -> None:
        """
        Args:
            limit: bytes of decoded images that are kept.
        """
        self._form = form
        self._images: dict[int, Tensor] = {}
        self._left = limit

    def get(self, record: ImageRecord) -> Tensor:
        """The image of a record in the form, uint8 [3, h, w]."""
        image = self._images.get(record.id)
        if image is None:
            image = self._form.of(load_image(record.path, record.width, record.height))
            if image.numel() <= self._left:
                self._images[record.id] = image
                self._left -= image.numel()
        return image


def _shown(canvas: Canvas) -> str:
    height, width = canvas.size
    return f"{width}x{height}, {canvas.resize}"
