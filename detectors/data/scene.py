"""A training image before it has pixels: which parts of which files lie where, and what is on them.

Everything random of a sample is decided here, in a few numbers. Boxes follow exactly, without
rounding; the pixels are sampled later, once, by `detectors.data.resampling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from detectors.data.copy_paste import Paste, paint
from detectors.data.ignored import blanked
from detectors.data.pixels import Pixels
from detectors.data.records import Annotation, ImageRecord
from searchspace.geometry import Canvas, Size, Window

Target = dict[str, np.ndarray]
"""Arrays by name, one row per object: `boxes` float64 [G, 4] (xyxy, pixels of the scene), and
whatever else is known of each."""

Rect = tuple[float, float, float, float]
"""(x1, y1, x2, y2)."""

EVERYWHERE: Rect = (-math.inf, -math.inf, math.inf, math.inf)

Pair = tuple[float, float]
"""Along x and along y."""


@dataclass(frozen=True)
class Source:
    """A stored image as training sees it.

    Attributes:
        annotations: those whose ignore regions of all classes are blanked.
        pastes: copies of its small objects.
    """

    record: ImageRecord
    annotations: tuple[Annotation, ...] = ()
    pastes: tuple[Paste, ...] = ()

    @property
    def size(self) -> Size:
        return self.record.height, self.record.width

    def scale(self, pixels: Pixels) -> Pair:
        """Pixels of the image as it is kept per pixel of the record (x, y)."""
        height, width = pixels.size(self.record)
        return width / self.record.width, height / self.record.height

    def read(self, pixels: Pixels, window: Window) -> Tensor:
        """A window of the image as it is kept, uint8 [3, h, w]."""
        scale = self.scale(pixels)

        def blank(part: Window) -> Tensor:
            return blanked(pixels.get(self.record, part), self.annotations, scale, part[:2])

        image = blank(window)
        return paint(image, self.pastes, scale, window, blank) if self.pastes else image


@dataclass(frozen=True)
class Layer:
    """A source on a scene.

    Attributes:
        matrix: float64 [2, 3], from (x, y, 1) in pixels of the record to pixels of the scene.
        clip: outside of it, nothing of the source is seen.
        opacity: 1, or the share that the layer has in each pixel.
    """

    source: Source
    matrix: np.ndarray
    clip: Rect
    opacity: float = 1.0

    def mapped(self, scale: Pair, shift: Pair) -> Layer:
        """The layer after x -> scale * x + shift."""
        matrix = self.matrix * np.array(scale)[:, None]
        matrix[:, 2] += shift
        (left, right), (top, bottom) = (
            sorted((factor * self.clip[k] + offset, factor * self.clip[k + 2] + offset))
            for k, (factor, offset) in enumerate(zip(scale, shift, strict=True))
        )
        return Layer(self.source, matrix, (left, top, right, bottom), self.opacity)

    def clipped(self, to: Rect) -> Layer:
        """The layer without what lies outside a rectangle."""
        x1, y1, x2, y2 = self.clip
        left, top, right, bottom = to
        clip = (max(x1, left), max(y1, top), min(x2, right), min(y2, bottom))
        return Layer(self.source, self.matrix, clip, self.opacity)


@dataclass(frozen=True)
class Scene:
    """Layers on a ground of one colour, and their objects.

    Where layers overlap, their differences from the ground add up, each by its opacity.

    Attributes:
        size: height and width in pixels.
        target: the objects; boxes may reach beyond the scene until it is clipped.
    """

    size: Size
    layers: tuple[Layer, ...]
    target: Target

    @classmethod
    def of(cls, source: Source, target: Target) -> Scene:
        """A stored image as it is."""
        height, width = source.size
        return cls(source.size, (Layer(source, np.eye(2, 3), (0, 0, width, height)),), target)

    @property
    def boxes(self) -> np.ndarray:
        return self.target["boxes"]

    def mapped(self, scale: Pair, shift: Pair, size: Size) -> Scene:
        """The scene after x -> scale * x + shift."""
        boxes = self.boxes * (*scale, *scale) + (*shift, *shift)
        if scale[0] < 0:
            boxes = boxes[:, [2, 1, 0, 3]]
        layers = tuple(layer.mapped(scale, shift) for layer in self.layers)
        return Scene(size, layers, {**self.target, "boxes": boxes})

    def window(self, left: int, top: int, width: int, height: int) -> Scene:
        """What is seen through a window, which may reach beyond the scene."""
        seen = self.mapped((1, 1), (-left, -top), (height, width))
        layers = tuple(layer.clipped((0, 0, width, height)) for layer in seen.layers)
        return replace(seen, layers=layers)

    def resized(self, height: int, width: int) -> Scene:
        own_height, own_width = self.size
        return self.mapped((width / own_width, height / own_height), (0, 0), (height, width))

    def mirrored(self) -> Scene:
        return self.mapped((-1, 1), (self.size[1], 0), self.size)

    def placed(self, canvas: Canvas) -> Scene:
        """The scene on the network's input, as `detectors.canvas.place` does with an image."""
        return replace(self.resized(*canvas.content(self.size)), size=canvas.size)

    def with_boxes(self, boxes: np.ndarray) -> Scene:
        return replace(self, target={**self.target, "boxes": boxes})

    def visible(self, least: float) -> Scene:
        """The scene with its objects clipped to it, without those of which a smaller share than
        `least` lies on it."""
        height, width = self.size
        inside = self.boxes.clip(0, (width, height) * 2)
        kept = _areas(inside) >= least * _areas(self.boxes)
        return self.with_boxes(inside).with_objects(kept)

    def with_objects(self, kept: np.ndarray) -> Scene:
        """The scene with only the objects of a mask [G]."""
        target = {name: values[kept] for name, values in self.target.items()}
        return replace(self, target=target)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)


def joined(size: Size, scenes: Sequence[Scene]) -> Scene:
    """The layers and objects of several scenes in one."""
    layers = tuple(layer for scene in scenes for layer in scene.layers)
    names = scenes[0].target
    target = {name: np.concatenate([s.target[name] for s in scenes]) for name in names}
    return Scene(size, layers, target)
