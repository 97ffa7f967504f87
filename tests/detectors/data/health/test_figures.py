"""Figures of made-up splits, counted by hand, and what is said of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detectors.data.dataset import Annotation
from detectors.data.health import Health, boxes_of, data_health, doubled_boxes, oddities
from detectors.data.records import ImageFile
from searchspace.geometry import Canvas
from tests.splits import split_of

HERE = (10.0, 10.0, 30.0, 50.0)
SOUND = [[(1, HERE), (2, (60.0, 60.0, 90.0, 90.0))], [(1, (5.0, 5.0, 15.0, 25.0))]]


def health(train: list, val: list | None = None, **more: object) -> Health:
    return data_health(split_of(train), split_of(val or SOUND), **more)


def test_a_sound_set_has_figures_and_nothing_odd() -> None:
    found = health(SOUND, canvases=[Canvas((50, 100)), Canvas((50, 50))])
    assert oddities(found) == ()
    assert (found.train.images, found.train.objects, found.train.empty) == (2, 3, 0)
    assert (found.train.most, found.train.usual) == (2, 1.5)
    bolt, nut = found.train.classes["bolt"], found.train.classes["nut"]
    assert (bolt.objects, bolt.images, bolt.small) == (2, 2, 2)
    assert (nut.objects, nut.images, nut.small, nut.medium) == (1, 1, 1, 0)
    # Roots of 800, 900 and 200: 28.3, 30, 14.1.
    assert found.train.sides == (0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0)
    small, wide = found.inputs
    assert (small.input_size, wide.input_size) == (50, (50, 100))
    # Shorter sides of 10, 15, 5 on the square; of 20, 15, 10 where only the height is halved.
    assert (small.side, wide.side) == (10, 15)
    assert Health.model_validate_json(found.model_dump_json()) == found


def test_ignore_regions_are_no_objects() -> None:
    region = Annotation(9, 1, None, HERE, 800, True, None)
    split = split_of([[]])
    split = dataclasses.replace(split, annotations={1: (region,)})
    figures = data_health(split, split_of(SOUND)).train
    assert (figures.objects, figures.ignore_regions, figures.empty) == (0, 1, 1)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ([[(1, HERE)], [], [], [(2, HERE)], []], "3 of 5 training images have no object"),
        ([[(1, HERE), (2, (1.0, 1.0, 3.0, 1.5))]], "1 of 2 training objects are below 1 px"),
        (
            [[(1, HERE), (1, (10.0, 10.0, 30.0, 51.0)), (2, HERE)]],
            "training objects annotated twice: 1 of 3",
        ),
        ([[(1, HERE)]], "no training object of 'nut': they cannot be learned"),
        (
            [[(1 + k // 10 % 2, (k / 2, 0.0, k / 2 + 40.0, 80.0)) for k in range(0, 120, 10)]],
            "1 of 1 training images have more objects (up to 12) than the 10 detections",
        ),
    ],
)
def test_what_is_odd_is_said(train: list, words: str) -> None:
    found = oddities(health(train, canvases=[Canvas((100, 100))], detections=10))
    assert len(found) == 1, found
    assert found[0].startswith(words)


def test_leaks_and_copies_are_said() -> None:
    look = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint8)
    files = [ImageFile("", 1, key, look[k].tobytes()) for k, key in enumerate("abc")]
    train = split_of([*SOUND, [(1, HERE)]], files=[files[0], files[0], files[1]])
    val = split_of(SOUND, files=[files[1], files[2]])
    leak, copy = oddities(data_health(train, val))
    assert leak.startswith("1 of 2 validation images are in the training data, too (the same files")
    assert "--drop-leaks leaves 1 training image out" in leak
    assert copy.startswith("repeated training images: 1 of 3 (1 of them the same file as another)")


def test_areas_that_boxes_contradict_are_counted() -> None:
    split = split_of(SOUND)
    larger, smaller = split.annotations[1]
    items = (dataclasses.replace(larger, area=900), dataclasses.replace(smaller, area=1))
    split = dataclasses.replace(split, annotations={**split.annotations, 1: items})
    assert data_health(split, split_of(SOUND)).train.odd_areas == 2


@pytest.mark.parametrize("seed", range(4))
def test_doubled_boxes_are_found_as_by_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(6):
        low = rng.uniform(0, 50, (40, 2))
        sides = rng.uniform(5, 40, (40, 2))
        boxes = np.concatenate((low, low + sides), 1)
        boxes[20:] = boxes[:20] + rng.normal(0, 0.4, (20, 4))
        labels = rng.integers(1, 3, 40)
        images.append([(int(k), tuple(map(float, b))) for k, b in zip(labels, boxes, strict=True)])
    boxes = boxes_of(split_of(images))
    expected = set()
    for i in range(len(boxes.images)):
        for j in range(i):
            if (boxes.images[i], boxes.labels[i]) == (boxes.images[j], boxes.labels[j]):
                a, b = boxes.corners[i], boxes.corners[j]
                shared = np.clip(
                    np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None
                ).prod()
                areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
                if shared / (areas - shared) >= 0.9:
                    expected.add(frozenset((i, j)))
    assert {frozenset(pair) for pair in doubled_boxes(boxes).tolist()} == expected
    assert len(expected) > 10


def test_an_empty_split_has_figures() -> None:
    found = data_health(split_of([]), split_of([[]]), canvases=[Canvas((64, 64))])
    assert (found.train.images, found.train.most, found.inputs, found.fit) == (0, 0, (), None)
