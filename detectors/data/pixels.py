"""Where the pixels of a split come from."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from detectors.data.images import load_image
from detectors.data.records import ImageRecord

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


class Decoded:
    """Images decoded from their files when they are read, and kept while they fit into memory."""

    def __init__(self, limit: int = MEMORY_BYTES) -> None:
        """
        Args:
            limit: bytes of decoded images that are kept.
        """
        self._images: dict[int, Tensor] = {}
        self._left = limit

    def get(self, record: ImageRecord) -> Tensor:
        """The image as stored, uint8 [3, record.height, record.width]."""
        image = self._images.get(record.id)
        if image is None:
            image = load_image(record.path, record.width, record.height)
            if image.numel() <= self._left:
                self._images[record.id] = image
                self._left -= image.numel()
        return image
