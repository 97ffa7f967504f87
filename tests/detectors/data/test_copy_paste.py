from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detectors.data.copy_paste import MARGIN, Cutout, cut_out, paste


@dataclass(frozen=True)
class Scene:
    """An image of noise, objects in it, and what is cut out of it."""

    image: Tensor
    boxes: Tensor
    masks: list[Tensor | None]
    cutouts: list[Cutout]


def scene(seed: int, objects: int, masked: bool) -> Scene:
    """Fractional boxes of up to 20 pixels anywhere in an image of about 60 x 80 pixels."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(40, 80, 2))
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    corners = rng.uniform(0, (width - 1, height - 1), (objects, 2))
    limits = np.array((width, height)) - corners
    sides = np.minimum(rng.uniform(0.5, 20, (objects, 2)), limits)
    boxes = torch.from_numpy(np.hstack((corners, corners + sides))).float()
    boxes[:, 2::2].clamp_(max=width)
    boxes[:, 3::2].clamp_(max=height)
    masks = [torch.from_numpy(rng.random((height, width)) < 0.5) for _ in boxes]
    masks = masks if masked else [None] * objects
    cut = [
        cut_out(image, box, i, m)
        for i, (box, m) in enumerate(zip(boxes.tolist(), masks, strict=True))
    ]
    return Scene(image, boxes, masks, [c for c in cut if c is not None])


def apart(first: Tensor, second: Tensor) -> bool:
    """Whether two boxes share no area."""
    return bool(
        first[2] <= second[0]
        or second[2] <= first[0]
        or first[3] <= second[1]
        or second[3] <= first[1]
    )


scenes = st.builds(scene, st.integers(0, 10_000), st.integers(0, 6), st.booleans())


@settings(max_examples=150, deadline=None)
@given(scenes, st.integers(1, 3), st.integers(0, 100))
def test_pastes_lie_on_vacant_ground(scene: Scene, pastes: int, seed: int) -> None:
    before = scene.image.clone()
    image, boxes, sources = paste(
        scene.image, scene.cutouts, scene.boxes, pastes, np.random.default_rng(seed)
    )
    assert torch.equal(scene.image, before)
    assert image.shape == before.shape
    assert boxes.shape == (len(sources), 4)
    assert all(sources.count(c.index) <= pastes for c in scene.cutouts)
    height, width = image.shape[1:]
    everything = torch.cat((scene.boxes, boxes))
    for number, box in enumerate(boxes, start=len(scene.boxes)):
        assert (box[:2] >= MARGIN).all()
        assert (box[2:] <= torch.tensor((width - MARGIN, height - MARGIN)) + 1e-4).all()
        assert all(apart(box, other) for other in everything[:number])


@settings(max_examples=150, deadline=None)
@given(scenes, st.integers(1, 2), st.integers(0, 100))
def test_pastes_are_the_sources_pixels_and_nothing_else_changes(
    scene: Scene, pastes: int, seed: int
) -> None:
    image, boxes, sources = paste(
        scene.image, scene.cutouts, scene.boxes, pastes, np.random.default_rng(seed)
    )
    expected = scene.image.clone()
    for box, source in zip(boxes, sources, strict=True):
        own = scene.boxes[source]
        shift_x, shift_y = (box[:2] - own[:2]).round().int().tolist()
        assert box.tolist() == pytest.approx(
            (own + torch.tensor([shift_x, shift_y] * 2)).tolist(), abs=1e-4
        )
        x1, y1 = own[:2].floor().int().tolist()
        x2, y2 = own[2:].ceil().int().tolist()
        for y in range(y1, y2):
            for x in range(x1, x2):
                mask = scene.masks[source]
                if mask is None or mask[y, x]:
                    expected[:, y + shift_y, x + shift_x] = scene.image[:, y, x]
    assert torch.equal(image, expected)


@given(scenes, st.integers(0, 100))
def test_the_same_seed_pastes_the_same(scene: Scene, seed: int) -> None:
    first, second = (
        paste(scene.image, scene.cutouts, scene.boxes, 2, np.random.default_rng(seed))
        for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert first[2] == second[2]


def test_places_are_random_and_there_is_room() -> None:
    image = torch.zeros(3, 100, 100, dtype=torch.uint8)
    cutout = cut_out(image, (0, 0, 10, 10), 4, None)
    found = [
        paste(image, [cutout], torch.zeros(1, 4), 3, np.random.default_rng(seed))
        for seed in range(20)
    ]
    assert all(sources == [4, 4, 4] for _, _, sources in found)
    assert len({tuple(boxes.flatten().tolist()) for _, boxes, _ in found}) == 20
    corners = torch.cat([boxes for _, boxes, _ in found])
    assert corners[:, :2].min() < 20
    assert corners[:, 2:].max() > 80


def test_without_room_nothing_is_pasted() -> None:
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    large = cut_out(image, (0, 0, 31, 10), 0, None)
    fitting = cut_out(image, (0, 0, 30, 30), 1, None)
    full = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    rng = np.random.default_rng(0)
    assert paste(image, [large], torch.zeros(0, 4), 1, rng)[2] == []
    assert paste(image, [fitting], full, 1, rng)[2] == []
    _, boxes, sources = paste(image, [fitting], torch.zeros(0, 4), 1, rng)
    assert (boxes.tolist(), sources) == ([[5, 5, 35, 35]], [1])


def test_what_the_mask_leaves_empty_is_no_cutout() -> None:
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[15, 15] = True
    assert cut_out(image, (2, 2, 8, 8), 0, mask) is None
    cutout = cut_out(image, (14.5, 13.25, 16, 17), 0, mask)
    assert cutout.mask.sum() == 1
    assert cutout.mask.shape == (4, 2)
    assert cutout.offset == (0.5, 0.25)
    assert cutout.size == (1.5, 3.75)
