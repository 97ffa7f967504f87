"""An image with its objects and what models find on it, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional

from detectors.canvas import resize_read
from detectors.data.dataset import ImageRecord
from detectors.data.pixels import Decoded
from detectors.evaluation.judged import Judged
from launch.report.drawing import OBJECT, RIGHT, WRONG, drawn
from searchspace.geometry import Window

GAP = 8
"""Pixels between the parts of a picture."""

LEAST_SIDE, MOST_SIDE = 320, 1280
"""Pixels of the longer side of each part: smaller images are enlarged, so that texts have room."""

WINDOW, CONTEXT = 320, 8.0
"""Of a large image, the side of the square that is shown: pixels at least, and sides of what it
shows."""


def side_by_side(image: ImageRecord, place: int, shown: Sequence[Judged]) -> Image.Image:
    """An image with its objects in blue, then with what each model finds, right in green and wrong
    in red. Of an image on which small objects could not be seen, the part with the most errors.

    Args:
        place: of the image in its split.
        shown: of each model, the detections that are drawn; at least one.
    """
    part = _Part.of(image, _errors(place, shown))
    first = shown[0]
    mine = np.flatnonzero(first.item_images == place)
    texts = [first.names[label] for label in first.item_labels[mine]]
    parts = [part.drawn(first.item_boxes[mine], texts, [OBJECT] * len(texts))]
    return _beside(parts + [_detections(part, judged, place) for judged in shown])


def _errors(place: int, shown: Sequence[Judged]) -> np.ndarray:
    """[E, 4], the boxes on an image of wrong detections, and of objects that a model misses."""
    found = []
    for judged in shown:
        wrong = (judged.images == place) & ~judged.right
        missed = judged.item_images == place
        missed[judged.items[judged.right]] = False
        found += [judged.boxes[wrong], judged.item_boxes[missed]]
    return np.concatenate(found)


def _detections(part: _Part, judged: Judged, place: int) -> Image.Image:
    mine = np.flatnonzero(judged.images == place)
    mine = mine[np.argsort(judged.scores[mine], kind="stable")]  # The best is drawn last.
    pairs = zip(judged.labels[mine], judged.scores[mine], strict=True)
    texts = [f"{judged.names[label]} {score:.2f}" for label, score in pairs]
    colours = [RIGHT if right else WRONG for right in judged.right[mine]]
    return part.drawn(judged.boxes[mine], texts, colours)


@dataclass(frozen=True)
class _Part:
    """The part of an image that is shown, or all of it.

    Attributes:
        picture: it, enlarged or reduced by `factor`.
        corner: of the part in the image, in its pixels.
    """

    picture: Image.Image
    corner: np.ndarray
    factor: float

    @classmethod
    def of(cls, image: ImageRecord, errors: np.ndarray) -> _Part:
        """Args:
        errors: [E, 4], x, y, width, height of what the part should show.
        """
        left, top, right, bottom = window((image.width, image.height), errors)
        seen = Window(left, top, right - left, bottom - top)
        longest = max(seen.size)
        factor = min(max(1.0, LEAST_SIDE / longest), MOST_SIDE / longest)
        height, width = (max(1, round(factor * side)) for side in seen.size)
        read = partial(Decoded(limit=0).get, image)
        picture = functional.to_pil_image(resize_read(read, seen, (height, width)))
        return cls(picture, np.array([left, top]), factor)

    def drawn(self, boxes: np.ndarray, texts: Sequence[str], colours: Sequence[str]) -> Image.Image:
        """The part with those boxes [N, 4], x, y, width, height in pixels of the image, of which it
        shows something."""
        low = self.factor * (boxes[:, :2] - self.corner)
        high = low + self.factor * boxes[:, 2:]
        inside = (high > 0).all(1) & (low < self.picture.size).all(1)
        corners, seen = np.concatenate((low, high), 1)[inside].tolist(), np.flatnonzero(inside)
        return drawn(
            self.picture, corners, [texts[int(i)] for i in seen], [colours[int(i)] for i in seen]
        )


def window(size: tuple[int, int], boxes: np.ndarray) -> tuple[int, int, int, int]:
    """The left, upper, right and lower end of the part of an image that is shown: all of it, unless
    boxes are so small that a square around most of them shows them better.

    Args:
        size: width and height of the image in pixels.
        boxes: [N, 4], x, y, width, height.
    """
    width, height = size
    if not len(boxes):
        return 0, 0, width, height
    side = round(max(WINDOW, CONTEXT * float(np.median(boxes[:, 2:].max(1)))))
    if 2 * side > max(size):
        return 0, 0, width, height
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    near = (np.abs(centres[:, None] - centres[None]) <= side / 2).all(-1).sum(1)
    x, y = (centres[near.argmax()] - side / 2).round().astype(int).tolist()
    left, top = max(0, min(x, width - side)), max(0, min(y, height - side))
    return left, top, min(width, left + side), min(height, top + side)


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    width = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    made, x = Image.new("RGB", (width, max(part.height for part in parts)), "white"), 0
    for part in parts:
        made.paste(part, (x, 0))
        x += part.width + GAP
    return made
