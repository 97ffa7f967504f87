from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.canvas import MEAN_COLOUR
from detectors.data.mosaic import MIN_VISIBLE, mosaic
from detectors.data.samples import Sample
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas
from tests.detectors.data.scenes import through

SIDE = 48
COLOURS = (40, 90, 150, 230)


def made(four: list[Sample], scale: tuple[float, float], seed: int, **augment: object) -> Sample:
    settings = Augment(mosaic=1, mosaic_scale=scale, **augment)
    canvas, rng = Canvas((SIDE, SIDE)), np.random.default_rng(seed)
    return through(lambda scenes: mosaic(scenes, canvas, settings, rng), four, canvas)


def sample(rng: np.random.Generator, number: int, objects: int) -> Sample:
    """An image of one colour in which each object has a colour of its own."""
    height, width = (int(n) for n in rng.integers(20, 90, 2))
    image = torch.full((3, height, width), COLOURS[number], dtype=torch.uint8)
    boxes = []
    for k in range(objects):
        x1, y1 = rng.uniform(0, width * 0.8), rng.uniform(0, height * 0.8)
        x2, y2 = rng.uniform(x1 + 1, width), rng.uniform(y1 + 1, height)
        boxes.append((x1, y1, x2, y2))
        image[1, round(y1) : round(y2), round(x1) : round(x2)] = 10 * (k + 1)
    marks = torch.arange(objects) + 10 * number
    return image, {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": marks,
        "area": marks * 7.0,
    }


fours = st.builds(
    lambda seed, objects: [
        sample(np.random.default_rng((seed, k)), k, objects[k]) for k in range(4)
    ],
    st.integers(0, 10_000),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
scales = st.sampled_from([(1.0, 1.0), (0.5, 1.5), (0.1, 0.3), (2.0, 3.0)])


@settings(max_examples=100, deadline=None)
@given(fours, scales, st.integers(0, 1000))
def test_objects_stay_with_what_is_known_of_them(
    four: list[Sample], scale: tuple[float, float], seed: int
) -> None:
    before = [image.clone() for image, _ in four]
    canvas, target = made(four, scale, seed)
    assert all(torch.equal(image, old) for (image, _), old in zip(four, before, strict=True))
    assert (canvas.shape, canvas.dtype) == ((3, SIDE, SIDE), torch.uint8)
    boxes = target["boxes"]
    assert {len(values) for values in target.values()} == {len(boxes)}
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= SIDE).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    # The area is the original annotation's, whatever the mosaic does to the object.
    assert torch.equal(target["area"], target["labels"] * 7.0)
    labels = target["labels"].tolist()
    assert len(set(labels)) == len(labels)


@settings(max_examples=100, deadline=None)
@given(fours, scales, st.integers(0, 1000))
def test_each_quadrant_is_one_image_scaled_alike(
    four: list[Sample], scale: tuple[float, float], seed: int
) -> None:
    """The geometry is recovered from the random numbers and followed box by box."""
    _, target = made(four, scale, seed)
    rng = np.random.default_rng(seed)
    factor = rng.uniform(*scale)
    tile = round(factor * SIDE)
    centre = [round(SIDE / 2 + factor * rng.uniform(-0.5, 0.5) * SIDE) for _ in range(2)]
    kept = dict(zip(target["labels"].tolist(), target["boxes"].tolist(), strict=True))
    for number, (image, own) in enumerate(four):
        height, width = image.shape[-2:]
        corner = (centre[0] - tile * (number % 2 == 0), centre[1] - tile * (number < 2))
        for label, box in zip(own["labels"].tolist(), own["boxes"].tolist(), strict=True):
            moved = [
                side * tile / (width, height)[k % 2] + corner[k % 2] for k, side in enumerate(box)
            ]
            clipped = [min(max(side, 0), SIDE) for side in moved]
            share = ((clipped[2] - clipped[0]) * (clipped[3] - clipped[1])) / (
                (moved[2] - moved[0]) * (moved[3] - moved[1])
            )
            if abs(share - MIN_VISIBLE) > 1e-3:
                assert (label in kept) == (share > MIN_VISIBLE)
            if label in kept:
                assert kept[label] == pytest.approx(clipped, abs=1e-3)


def test_boxes_lie_on_their_objects() -> None:
    """Objects are found by their colour, each alone in its image."""
    for seed in range(20):
        four = [sample(np.random.default_rng((seed, k)), k, 1) for k in range(4)]
        canvas, target = made(four, (0.6, 1.2), seed)
        for label, box in zip(target["labels"].tolist(), target["boxes"].tolist(), strict=True):
            x1, y1, x2, y2 = (round(side) for side in box)
            inside = canvas[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
            assert (inside[0] == COLOURS[label // 10]).all()
            assert (inside[1] == 10).all()


def test_uncovered_pixels_have_the_mean_colour() -> None:
    four = [sample(np.random.default_rng(k), k, 0) for k in range(4)]
    canvas, _ = made(four, (0.25, 0.25), 0)
    colours, counts = canvas.flatten(1).unique(dim=1, return_counts=True)
    found = dict(zip(map(tuple, colours.T.tolist()), counts.tolist(), strict=True))
    assert found == {(c, c, c): (SIDE // 4) ** 2 for c in COLOURS} | {
        MEAN_COLOUR: SIDE**2 - 4 * (SIDE // 4) ** 2
    }


def test_a_seed_makes_one_mosaic() -> None:
    four = [sample(np.random.default_rng(k), k, 3) for k in range(4)]
    first, again, other = (made(four, (0.5, 1.5), seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert all(torch.equal(first[1][key], again[1][key]) for key in first[1])
    assert not torch.equal(first[0], other[0])
