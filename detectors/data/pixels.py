"""Where the pixels of a split come from, and the size at which they are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torchvision.transforms.v2 import functional

from detectors.canvas import place
from detectors.data.images import is_large, load_image, load_part
from detectors.data.records import ImageRecord
from detectors.features import size_of
from searchspace.geometry import Canvas, Size, Window

MEMORY_BYTES = 1 << 30


class Pixels(Protocol):
    """A source of the images of a split."""

    def size(self, record: ImageRecord) -> Size:
        """Height and width at which the image of a record is kept: as stored, or those of a smaller
        copy of the same content, and never larger."""
        ...

    def get(self, record: ImageRecord, window: Window | None = None) -> Tensor:
        """The image of a record as it is kept, or a window of that, uint8 [3, h, w]; callers must
        not modify it.

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
    """Images decoded from their files when they are read, and kept while they fit into memory.

    Of a large image that is kept as stored, only the window is read, if its file can be; otherwise
    the image that was read last stays, too, so that its windows are read from one decoding.
    """

    def __init__(self, form: Form = WHOLE, limit: int = MEMORY_BYTES) -> None:
        """
        Args:
            limit: bytes of decoded images that are kept.
        """
        self._form = form
        self._images: dict[int, Tensor] = {}
        self._left = limit
        self._last: tuple[int, Tensor] | None = None

    def size(self, record: ImageRecord) -> Size:
        return self._form.size((record.height, record.width))

    def get(self, record: ImageRecord, window: Window | None = None) -> Tensor:
        """The image of a record in the form, or a window of it, uint8 [3, h, w]."""
        if window is None:
            return self._whole(record)
        if self._form is WHOLE and is_large(record.width, record.height):
            part = load_part(record.path, record.width, record.height, window)
            if part is not None:
                return part
        return self._whole(record)[:, *window.slices]

    def _whole(self, record: ImageRecord) -> Tensor:
        if record.id in self._images:
            return self._images[record.id]
        if self._last is not None and self._last[0] == record.id:
            return self._last[1]
        image = self._form.of(load_image(record.path, record.width, record.height))
        if image.numel() <= self._left:
            self._images[record.id] = image
            self._left -= image.numel()
        else:
            self._last = record.id, image
        return image


def _shown(canvas: Canvas) -> str:
    height, width = canvas.size
    return f"{width}x{height}, {canvas.resize}"
