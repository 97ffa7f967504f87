"""The rows of a head that belong to classes, taken over by the classes' names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from detectors.detector import Detector

COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""Classes of VOC that COCO calls otherwise, without spaces."""

CLASS_LAYERS = "head.classes."
"""Prefix of the layers of which every class has rows of its own, in all heads."""


def shared_classes(target: Detector, source: Detector) -> tuple[str, ...]:
    """The classes of `target` that `source` has too, by name; VOC's names are COCO's."""
    there = {_key(name) for name in source.classes}
    return tuple(name for name in target.classes if _key(name) in there)


def have_equal_classes(target: Detector, source: Detector) -> bool:
    """Whether both have the same classes in the same order; unnamed ones are taken to be so."""
    if not (target.classes and source.classes):
        return target.config.num_classes == source.config.num_classes
    return [*map(_key, target.classes)] == [*map(_key, source.classes)]


class ClassRows:
    """Which rows of a class layer of one detector are those of another's.

    The outputs of a layer are ordered by box of a cell, then by class, with the background first
    where the head has one.
    """

    def __init__(self, target: Detector, source: Detector) -> None:
        heads = target.config.head, source.config.head
        self._outputs = [
            detector.config.num_classes + head.softmax
            for detector, head in zip((target, source), heads, strict=True)
        ]
        self._pairs = _pairs(target.classes, source.classes, heads[0].softmax)
        self._comparable = type(heads[0]) is type(heads[1]) and bool(self._pairs)

    def into(self, own: Tensor, tensor: Tensor) -> Tensor | None:
        """`own` [B * outputs, ...] with the rows of shared classes from `tensor`; None if the
        layers differ in more than their classes."""
        ours, theirs = self._outputs
        if not self._comparable or own.shape[1:] != tensor.shape[1:]:
            return None
        boxes = own.shape[0] // ours
        if tensor.shape[0] != boxes * theirs:
            return None
        rows = own.clone().unflatten(0, (boxes, ours))
        to, of = (list(places) for places in zip(*self._pairs, strict=True))
        rows[:, to] = tensor.to(own.dtype).unflatten(0, (boxes, theirs))[:, of]
        return rows.flatten(0, 1)


def _pairs(ours: Sequence[str], theirs: Sequence[str], background: bool) -> list[tuple[int, int]]:
    """The outputs of shared classes and of the background, in both detectors; empty if no class is
    shared."""
    there = {_key(name): place for place, name in enumerate(theirs)}
    shared = [(place, there[_key(name)]) for place, name in enumerate(ours) if _key(name) in there]
    if not (background and shared):
        return shared
    return [(0, 0), *((a + 1, b + 1) for a, b in shared)]


def _key(name: str) -> str:
    """A name without case, spaces and marks, in COCO's word."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return COCO_NAMES.get(plain, plain) or name
