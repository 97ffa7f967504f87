"""Which detections COCO's evaluation counts as right or wrong, for one range of areas at a time.

hotcoco and pycocotools give the matches of each image and class as dictionaries, which takes longer
than the evaluation itself; a bootstrap needs them as arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.data.dataset import Dataset
from detectors.evaluation.coco import AREAS
from detectors.evaluation.results import Results
from detectors.evaluation.truth import Truth

IOUS = np.linspace(0.5, 0.95, 10)
CHUNK = 2_000_000
"""Pairs of detections and objects that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Matches:
    """D detections that may count, class by class, best first, as COCO's evaluation orders them.

    Attributes:
        images: [D], places in the split.
        labels: [D], places of the classes.
        right: [10 IoUs, D].
        counted: [10 IoUs, D], right or wrong; not so what lies in ignore regions or belongs to
            objects of another size.
        objects: [K classes, I images], numbers of scored objects.
        places: [D], places among the detections that were given.
        items: [D], at the first IoU the place among `Truth.of(split)` of what it takes, which may
            be ignored; -1 for none.
    """

    images: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    objects: np.ndarray
    places: np.ndarray
    items: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Detections and objects of the same image and class that overlap by half or more.

    Attributes:
        images, labels: [D], places of image and class of the detections that may count, those of
            an image and class next to each other, best first.
        places: [D], places among the detections that were given.
        areas: [D], in pixels.
        order: [D], how COCO orders them: class by class, best first.
        found, item: [P], places of the detection and of the object of a pair.
        overlaps: [P], IoU.
    """

    images: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    areas: np.ndarray
    order: np.ndarray
    found: np.ndarray
    item: np.ndarray
    overlaps: np.ndarray


def matches(
    split: Dataset, results: Results, most: int, sizes: tuple[str, ...]
) -> dict[str, Matches]:
    """By size, of `AREAS`, which detections count and which are right.

    Args:
        most: detections of a class on an image that count.
    """
    truth = Truth.of(split)
    ids = np.array([image.id for image in split.images])
    categories = np.array([category.id for category in split.categories])
    images, labels = (
        np.searchsorted(ids, truth.images),
        np.searchsorted(categories, truth.categories),
    )
    groups = images * len(categories) + labels
    order = np.argsort(groups, kind="stable")
    pairs = _pairs(results, (ids, categories), groups[order], truth.at(order), most)
    found = {}
    for size in sizes:
        least, largest = AREAS[size]
        ignored = truth.crowd | (truth.areas < least) | (truth.areas > largest)
        objects = np.zeros((len(categories), len(ids)), dtype=np.int32)
        np.add.at(objects, (labels[~ignored], images[~ignored]), 1)
        outside = (pairs.areas < least) | (pairs.areas > largest)
        right, counted, items = _judged(pairs, truth.crowd[order], ignored[order], outside)
        found[size] = Matches(
            pairs.images[pairs.order],
            pairs.labels[pairs.order],
            right[:, pairs.order],
            counted[:, pairs.order],
            objects,
            pairs.places[pairs.order],
            np.append(order, -1)[items[pairs.order]],
        )
    return found


def _pairs(
    results: Results,
    names: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
    truth: Truth,
    most: int,
) -> _Pairs:
    """Args:
    names: ids of images, and of classes, in ascending order.
    groups: [G], the image and class of each object, in ascending order, as one number.
    """
    ids, categories = names
    images = np.searchsorted(ids, results.images)
    labels = np.searchsorted(categories, results.categories)
    mine = images * len(categories) + labels
    order = np.lexsort((-results.scores, mine))
    mine = mine[order]
    rank = np.arange(len(mine)) - np.searchsorted(mine, mine)
    order, mine = order[rank < most], mine[rank < most]
    boxes = results.boxes[order]
    starts, ends = np.searchsorted(groups, mine), np.searchsorted(groups, mine, side="right")
    parts = [(np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0))]
    for found, item in _in_chunks(starts, ends - starts):
        overlaps = _iou(boxes[found], truth.boxes[item], truth.crowd[item])
        kept = overlaps >= IOUS[0]
        parts.append((found[kept], item[kept], overlaps[kept]))
    places = np.arange(len(order))
    scores, own = results.scores[order], (images[order], labels[order])
    return _Pairs(
        *own,
        order,
        boxes[:, 2] * boxes[:, 3],
        np.lexsort((places, own[0], -scores, own[1])),
        *map(np.concatenate, zip(*parts, strict=True)),
    )


def _in_chunks(starts: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each detection, its place with each of `counts` places from `starts` on."""
    sums = counts.cumsum()
    first = 0
    while first < len(counts):
        before = sums[first] - counts[first]
        last = max(first + 1, int(np.searchsorted(sums, before + CHUNK, side="right")))
        found = np.repeat(np.arange(first, last), counts[first:last])
        within = np.arange(len(found)) - (sums[found] - counts[found] - before)
        yield found, starts[found] + within
        first = last


def _iou(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """[P], IoU of P pairs of boxes (x, y, width, height), or the share of the first box that lies
    in the second one where that is an ignore region; in the order of operations of COCO's code."""
    ends = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    sides = (ends - np.maximum(boxes[:, :2], others[:, :2])).clip(0)
    both = sides[:, 0] * sides[:, 1]
    area, other = boxes[:, 2] * boxes[:, 3], others[:, 2] * others[:, 3]
    whole = np.where(crowd, area, area + other - both)
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def _judged(
    pairs: _Pairs, crowd: np.ndarray, ignored: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[10, D], which detections are right, and which count; [D], what each takes at the first IoU,
    -1 for none.

    Best first, a detection takes what it overlaps most of the objects that are left; of those that
    are ignored only where no other is left. Ignore regions are left whoever takes them.

    Args:
        crowd, ignored: [G], of the objects.
        outside: [D], whether a detection's own area is outside the range.
    """
    shape = len(IOUS), len(outside)
    right, counted = np.zeros(shape, dtype=bool), np.repeat(~outside[None], len(IOUS), 0)
    items = np.full(len(outside), -1)
    # The objects of a detection in the order in which it would take them.
    order = np.lexsort((-pairs.item, -pairs.overlaps, ignored[pairs.item], pairs.found))
    found, item, overlaps = pairs.found[order], pairs.item[order], pairs.overlaps[order]
    taken = np.zeros((len(IOUS), len(crowd)), dtype=bool)
    for places in _turns(pairs, found):
        mine, starts = np.unique(found[places], return_index=True)
        goals = item[places]
        free = (overlaps[places] >= IOUS[:, None]) & (~taken[:, goals] | crowd[goals])
        first = np.where(free, np.arange(len(places)), len(places))
        first = np.minimum.reduceat(first, starts, axis=1)
        level, which = np.nonzero(first < len(places))
        goal = goals[first[level, which]]
        taken[level, goal] = True
        right[level, mine[which]] = ~ignored[goal]
        counted[level, mine[which]] = ~ignored[goal]
        items[mine[which[level == 0]]] = goal[level == 0]
    return right, counted, items


def _turns(pairs: _Pairs, found: np.ndarray) -> Iterator[np.ndarray]:
    """Places of pairs: first those of the best detections of all images and classes, then those of
    the second best, and so on; in ascending order."""
    if not len(found):
        return
    mine, place = np.unique(found, return_inverse=True)
    groups = pairs.images[mine] * (1 + pairs.labels.max()) + pairs.labels[mine]
    rank = np.arange(len(mine)) - np.searchsorted(groups, groups)
    turn = rank[place]
    order = np.argsort(turn, kind="stable")
    yield from np.split(order, np.searchsorted(turn[order], np.arange(1, turn.max() + 1)))
