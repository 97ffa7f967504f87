"""Pictures of a data set for its report: parts of images with the objects drawn, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from torchvision.transforms.v2 import functional

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.health import Alike, Boxes
from detectors.data.images import load_picture
from detectors.data.pixels import Decoded
from searchspace.geometry import Window
from searchspace.reading import shown

SIDE = 168
"""Pixels of a picture in the report."""

CONTEXT = 5.0
"""Side of what is shown of an image, in sides of the object."""

LEAST_CONTEXT = 24.0
"""The same in pixels, at least."""

COLOURS = ("#ff9500", "#00b7ff")
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """A picture, as a data URI, and what it shows."""

    source: str
    caption: str


def smallest_objects(split: Dataset, boxes: Boxes, count: int) -> Iterator[Picture]:
    """The smallest object of each of several images, the smallest first."""
    order = np.argsort(boxes.sides.prod(1), kind="stable")
    _, first = np.unique(boxes.images[order], return_index=True)
    for row in order[np.sort(first)][:count]:
        width, height = boxes.sides[row]
        yield _object(split, boxes, [row], f"{width:.3g}\N{MULTIPLICATION SIGN}{height:.3g} px")


def doubled_objects(
    split: Dataset, boxes: Boxes, pairs: np.ndarray, count: int
) -> Iterator[Picture]:
    """Objects that are annotated twice, both boxes drawn."""
    for pair in pairs[:count].tolist():
        keys = " and ".join(str(boxes.keys[row]) for row in pair)
        yield _object(split, boxes, pair, f"annotations {keys}")


def alike_images(
    ours: Dataset, theirs: Dataset, pairs: Sequence[Alike], count: int
) -> Iterator[tuple[Picture, Picture]]:
    """Pairs of images that are the same, side by side."""
    mine, others = ({image.id: image for image in split.images} for split in (ours, theirs))
    for pair in pairs[:count]:
        same = "same file" if pair.exact else "mirrored" if pair.mirrored else "looks the same"
        one, other = mine[pair.image], others[pair.other]
        yield (
            _picture(_open(one), f"{shown(one.path.name)} ({same})"),
            _picture(_open(other), shown(other.path.name)),
        )


def _object(split: Dataset, boxes: Boxes, rows: Sequence[int], what: str) -> Picture:
    """The surroundings of objects of one image, with their boxes."""
    record = split.images[boxes.images[rows[0]]]
    corners = boxes.corners[list(rows)]
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    side = max(LEAST_CONTEXT, CONTEXT * float((high - low).max()))
    window = np.round(((low + high - side) / 2, (low + high + side) / 2)).astype(int)
    crop = _part(record, *window.flatten().tolist()).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    drawing = ImageDraw.Draw(crop)
    factor = SIDE / (window[1] - window[0])
    for box, colour in zip(corners.reshape(-1, 2, 2), COLOURS, strict=False):
        x1, y1, x2, y2 = ((box - window[0]) * factor).flatten().tolist()
        drawing.rectangle((x1 - 1, y1 - 1, x2, y2), outline=colour)
    name = split.categories[boxes.labels[rows[0]] - 1].name
    return _picture(crop, f"{shown(name)}, {what}, in {shown(record.path.name)}")


def _open(record: ImageRecord) -> Image.Image:
    pixels = load_picture(record.path, record.width, record.height)
    return functional.to_pil_image(pixels)


def _part(record: ImageRecord, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """A part of an image, black where it reaches beyond the image."""
    x1, y1 = max(0, left), max(0, top)
    window = Window(x1, y1, min(right, record.width) - x1, min(bottom, record.height) - y1)
    made = Image.new("RGB", (right - left, bottom - top))
    seen = Decoded(limit=0).get(record, window)
    made.paste(functional.to_pil_image(seen), (x1 - left, y1 - top))
    return made


def _picture(image: Image.Image, caption: str) -> Picture:
    return Picture(embedded(image, (SIDE, SIDE)), caption)


def embedded(image: Image.Image, size: tuple[int, int]) -> str:
    """A picture as a data URI.

    Args:
        size: the most pixels, horizontally and vertically.
    """
    image.thumbnail(size)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    content = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/jpeg;base64,{content}"
