"""Detections before and after a change of form, matched by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from detectors.postprocess import Detections
from detectors.runtimes.agreement import Agreement, Check, agreement
from tests.detectors.deployable import deployable, images_for

Found = list[tuple[tuple[float, float, float, float], int, float]]
"""Boxes, labels and scores of one image."""

A, NEAR_A, FAR = (0.1, 0.1, 0.3, 0.3), (0.11, 0.1, 0.31, 0.3), (0.6, 0.6, 0.9, 0.9)
IMAGES = torch.zeros(2, 3, 8, 8)


@dataclass
class Finds:
    """Finds in image after image what it was given."""

    found: list[Found]
    place: int = 0

    def detect(self, batch: Tensor) -> Detections:
        rows = [*self.found[self.place], ((0.0,) * 4, 0, 0.0)]
        self.place += 1
        boxes, labels, scores = (torch.tensor([column]) for column in zip(*rows, strict=True))
        return Detections(boxes, scores, labels)


def compared(first: Found, second: Found) -> tuple[int, int, int]:
    found = agreement(Finds([first, []]), Finds([second, []]), IMAGES)
    assert found.images == 2
    return found.before, found.after, found.matched


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([(A, 1, 0.9)], [(NEAR_A, 1, 0.6)], (1, 1, 1)),
        ([(A, 1, 0.9)], [(A, 2, 0.9)], (1, 1, 0)),
        ([(A, 1, 0.9)], [(FAR, 1, 0.9)], (1, 1, 0)),
        ([(A, 1, 0.9)], [(A, 1, 0.29)], (1, 0, 0)),
        ([(A, 1, 0.9)], [], (1, 0, 0)),
        # One box is the like of one box only.
        ([(A, 1, 0.9), (NEAR_A, 1, 0.8)], [(A, 1, 0.9)], (2, 1, 1)),
        ([(A, 1, 0.9)], [(A, 1, 0.9), (FAR, 2, 0.5), (NEAR_A, 1, 0.4)], (1, 3, 1)),
        # Hardly trained: half of the highest score is the bound.
        ([(A, 1, 0.2), (FAR, 1, 0.11), (FAR, 2, 0.05)], [(A, 1, 0.12)], (2, 1, 1)),
        ([], [(A, 1, 0.9)], (0, 1, 0)),
    ],
)
def test_matched_by_class_and_overlap(
    first: Found, second: Found, expected: tuple[int, int, int]
) -> None:
    assert compared(first, second) == expected


def test_detections_in_another_image_do_not_match() -> None:
    found = agreement(Finds([[(A, 1, 0.9)], []]), Finds([[], [(A, 1, 0.9)]]), IMAGES)
    assert (found.before, found.after, found.matched) == (1, 1, 0)


def test_where_nothing_is_found_nothing_is_known() -> None:
    found = agreement(Finds([[], []]), Finds([[], []]), IMAGES)
    assert found.share is None
    assert found.poor


def test_lost_and_invented_detections_weigh_alike() -> None:
    five = [((k / 10, 0.0, k / 10 + 0.1, 0.1), 1, 0.9) for k in range(5)]
    for first, second, poor in ((five, five[:4], False), (five, five[:3], True)):
        for pair in ((first, second), (second, first)):
            found = agreement(*(Finds([rows, []]) for rows in pair), IMAGES)
            assert found.poor == poor
            assert found.share == len(second) / 5


def test_a_detector_agrees_with_itself() -> None:
    detector = deployable("ssdmnetv1")
    found = agreement(detector, detector, images_for(detector, 3))
    assert found.before == found.after == found.matched > 10
    assert str(found) == (
        f"{found.before} detections before, {found.before} after, {found.before} matched (100 %), "
        "at scores of 0.3 or more in 3 images"
    )


def found(box: float, confidence: float, matched: int = 40) -> Agreement:
    return Agreement(
        images=8, score=0.12, before=40, after=40, matched=matched, box=box, confidence=confidence
    )


@pytest.mark.parametrize(
    ("seen", "objects"),
    [
        (found(1e-5, 9e-8), False),  # equal scores in another order cost AP
        (found(1e-5, 9e-8, matched=39), True),
        (found(0.5, 9e-8), True),
        (found(1e-5, 0.005), True),
    ],
)
def test_ap_is_judged_unless_all_detections_are_the_same(seen: Agreement, objects: bool) -> None:
    check = Check(on="8 images", agreement=seen, ap_before=0.05, ap_after=0.026)
    assert bool(check.objections("float32")) == objects
    assert check.objections("float32", max_drop=0.01)  # what is asked for decides alone
