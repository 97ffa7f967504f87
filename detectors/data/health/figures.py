"""The figures of a data set's health, as they are stored with a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from detectors.data.dataset import Dataset
from detectors.data.health.alike import alike_across, alike_within
from detectors.data.health.boxes import Boxes, boxes_of, doubled_boxes
from detectors.data.health.fit import PriorFit, fit_of_priors
from detectors.evaluation.truth import detections_needed
from searchspace.detector import DetectorConfig
from searchspace.geometry import Canvas, InputSize, one_if_equal

SMALL, LARGE = 32.0**2, 96.0**2
"""COCO's bounds of a medium object's area."""

SIDES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Bounds of the classes of objects by the root of the box's area, in pixels."""

LIMITS = (1, 2, 4)
"""Pixels of the shorter side of an object at the input below which shares are counted."""

AREA_BOUNDS = (0.01, 1.05)
"""An annotated area of a smaller or larger share of its box contradicts it."""


class Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClassFigures(Figures):
    """One class in one split.

    Attributes:
        images: those with at least one object of the class.
        small, medium, large: objects by COCO's areas.
    """

    objects: int
    images: int
    small: int
    medium: int
    large: int


class SplitFigures(Figures):
    """One split.

    Attributes:
        empty: images without an object.
        most, usual, high: objects per image: the maximum, median and 99th percentile.
        crowded: images with more objects than the detections that are kept.
        sides: objects by the root of the box's area in pixels of the image, between `SIDES`.
        classes: by name, in order.
        image_sizes: the smallest, median and largest (width, height), by area.
        copies: images that repeat another one of the split, and how many of these are the same
            file.
        doubled_boxes: objects that are annotated twice.
        odd_areas: objects whose annotated area contradicts the box.
    """

    images: int
    objects: int
    ignore_regions: int
    empty: int
    most: int
    usual: float
    high: float
    crowded: int
    sides: tuple[int, ...]
    classes: dict[str, ClassFigures]
    image_sizes: tuple[tuple[int, int], ...]
    copies: tuple[int, int]
    doubled_boxes: int
    odd_areas: int


class AtInput(Figures):
    """The training objects at the size of a network's input.

    Attributes:
        below: the shares of objects whose shorter side is below each of `LIMITS`.
        side: the median shorter side in pixels.
        sides: as in `SplitFigures`, in pixels of the input.
    """

    input_size: InputSize
    below: tuple[float, ...]
    side: float
    sides: tuple[int, ...]


class Health(Figures):
    """Both splits of a data set.

    Attributes:
        inputs: the training objects at each size of the input, smallest first.
        fit: how a detector's priors fit them; None without priors.
        detections: how many are kept of an image.
        leaks: training images that are validation images, too, and how many of them are the same
            file.
        seen: validation images that are training images, too.
    """

    train: SplitFigures
    val: SplitFigures
    inputs: tuple[AtInput, ...] = ()
    fit: PriorFit | None = None
    detections: int
    leaks: tuple[int, int]
    seen: int


def data_health(
    train: Dataset,
    val: Dataset,
    canvases: Sequence[Canvas] = (),
    detector: DetectorConfig | None = None,
    detections: int | None = None,
) -> Health:
    """The health of a data set; nothing is read from disk.

    Args:
        canvases: the inputs at which objects are measured.
        detector: the one whose priors are compared with the objects.
        detections: how many are kept of an image; by default as many as the data need.
    """
    boxes = boxes_of(train)
    leaks = alike_across(train, val)
    ordered = sorted(canvases, key=lambda canvas: (np.prod(canvas.size), canvas.size))
    detections = detections or detections_needed(train, val)
    return Health(
        train=split_figures(train, detections),
        val=split_figures(val, detections),
        inputs=tuple(at_input(boxes, canvas) for canvas in ordered if len(boxes.corners)),
        fit=fit_of_priors(boxes.on(detector.canvas), detector) if detector else None,
        detections=detections,
        leaks=_counted(leaks),
        seen=len(alike_across(val, train)) if leaks else 0,
    )


def at_input(boxes: Boxes, canvas: Canvas) -> AtInput:
    """Objects, of which there is at least one, at the size of an input."""
    corners = boxes.on(canvas)
    sides = corners[:, 2:] - corners[:, :2]
    shorter = sides.min(1)
    return AtInput(
        input_size=one_if_equal(canvas.size),
        below=tuple(float((shorter < limit).mean()) for limit in LIMITS),
        side=float(np.median(shorter)),
        sides=_by_side(sides),
    )


def split_figures(split: Dataset, detections: int | None = None) -> SplitFigures:
    """The figures of a split, of which so many detections are kept of an image; by default as many
    as it needs."""
    detections = detections or detections_needed(split)
    boxes = boxes_of(split)
    counts = boxes.per_image() if len(split.images) else np.zeros(1, int)
    annotated = sum(map(len, split.annotations.values()))
    shares = boxes.areas / np.maximum(boxes.sides.prod(1), 1e-12)
    return SplitFigures(
        images=len(split.images),
        objects=len(boxes.images),
        ignore_regions=annotated - len(boxes.images),
        empty=int((boxes.per_image() == 0).sum()),
        most=int(counts.max()),
        usual=float(np.median(counts)),
        high=float(np.quantile(counts, 0.99)),
        crowded=int((counts > detections).sum()),
        sides=_by_side(boxes.sides),
        classes=_classes(split, boxes),
        image_sizes=_image_sizes(boxes),
        copies=_counted(alike_within(split)),
        doubled_boxes=len(np.unique(doubled_boxes(boxes)[:, 1])),
        odd_areas=int(((shares < AREA_BOUNDS[0]) | (shares > AREA_BOUNDS[1])).sum()),
    )


def _classes(split: Dataset, boxes: Boxes) -> dict[str, ClassFigures]:
    found = {}
    for label, category in enumerate(split.categories, start=1):
        own = boxes.labels == label
        areas = boxes.areas[own]
        small, large = int((areas < SMALL).sum()), int((areas > LARGE).sum())
        found[category.name] = ClassFigures(
            objects=len(areas),
            images=len(np.unique(boxes.images[own])),
            small=small,
            medium=len(areas) - small - large,
            large=large,
        )
    return found


def _image_sizes(boxes: Boxes) -> tuple[tuple[int, int], ...]:
    ordered = boxes.sizes[np.argsort(boxes.sizes.prod(1), kind="stable")].tolist()
    places = (0, len(ordered) // 2, -1) if ordered else ()
    return tuple((ordered[k][1], ordered[k][0]) for k in places)


def _by_side(sides: np.ndarray) -> tuple[int, ...]:
    roots = np.sqrt(sides.prod(1))
    places = np.searchsorted(SIDES, roots, side="right")
    return tuple(np.bincount(places, minlength=len(SIDES) + 1).tolist())


def _counted(alike: Sequence) -> tuple[int, int]:
    return len(alike), sum(pair.exact for pair in alike)
