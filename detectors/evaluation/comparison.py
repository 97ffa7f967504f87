"""Two models on the same images: how far their figures differ, and on which images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from detectors.evaluate import Metrics
from detectors.evaluation.intervals import LEVEL
from detectors.evaluation.judged import Judged


class Difference(BaseModel):
    """How far a figure of a model is from that of the first one.

    Attributes:
        change: the second minus the first; None if either is undefined.
        low, high: its 95 % interval over images, on the same draws of both (a paired bootstrap);
            None for figures without intervals.
    """

    model_config = ConfigDict(frozen=True)

    change: float | None
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


class ImageDifference(BaseModel):
    """An image on which two models disagree, at their own thresholds and IoU 0.5.

    Attributes:
        image: its place in the split.
        only_first, only_second: objects that one of them alone finds.
        wrong_first, wrong_second: wrong detections.
    """

    model_config = ConfigDict(frozen=True)

    image: int
    only_first: int
    only_second: int
    wrong_first: int
    wrong_second: int

    @property
    def size(self) -> int:
        """By how many objects and wrong detections the two differ."""
        wrong = abs(self.wrong_first - self.wrong_second)
        return self.only_first + self.only_second + wrong


class Mistakes(BaseModel):
    """An image on which a model is wrong, at its thresholds and IoU 0.5.

    Attributes:
        image: its place in the split.
        missed: objects that it does not find.
        wrong: wrong detections.
    """

    model_config = ConfigDict(frozen=True)

    image: int
    missed: int
    wrong: int

    @property
    def size(self) -> int:
        return self.missed + self.wrong


@dataclass(frozen=True)
class _Found:
    """Whether each object is found [G], and wrong detections by image [I]."""

    objects: np.ndarray
    wrong: np.ndarray

    @classmethod
    def of(cls, shown: Judged) -> _Found:
        objects = np.zeros(len(shown.item_labels), dtype=bool)
        objects[shown.items[shown.right]] = True
        return cls(objects, np.bincount(shown.images[~shown.right], minlength=shown.count))


def differences(first: Metrics, second: Metrics, names: Sequence[str]) -> dict[str, Difference]:
    """By figure, the difference of two models that were scored on the same images."""
    return {name: _difference(first, second, name) for name in names}


def disagreements(first: Judged, second: Judged) -> list[ImageDifference]:
    """The images on which two models differ, the most different first; both above their
    thresholds."""
    one, two = _Found.of(first), _Found.of(second)
    alone = [
        np.bincount(first.item_images[found], minlength=first.count)
        for found in (one.objects & ~two.objects, two.objects & ~one.objects)
    ]
    columns = zip(*alone, one.wrong, two.wrong, strict=True)
    rows = [
        ImageDifference(
            image=place, only_first=a, only_second=b, wrong_first=wrong, wrong_second=other
        )
        for place, (a, b, wrong, other) in enumerate(columns)
    ]
    return sorted((row for row in rows if row.size), key=lambda row: -row.size)


def mistakes(shown: Judged) -> list[Mistakes]:
    """The images on which a model above its thresholds is wrong, the worst first."""
    found = _Found.of(shown)
    missed = np.bincount(shown.item_images[~found.objects], minlength=shown.count)
    columns = enumerate(zip(missed.tolist(), found.wrong.tolist(), strict=True))
    rows = [Mistakes(image=place, missed=lost, wrong=wrong) for place, (lost, wrong) in columns]
    return sorted((row for row in rows if row.size), key=lambda row: -row.size)


def _difference(first: Metrics, second: Metrics, name: str) -> Difference:
    before, after = getattr(first, name), getattr(second, name)
    if before is None or after is None:
        return Difference(change=None)
    one, two = first.intervals.get(name), second.intervals.get(name)
    if one is None or two is None:
        return Difference(change=after - before)
    change = two.values - one.values
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(change[~np.isnan(change)], ends).tolist()
    return Difference(change=after - before, low=low, high=high)
