from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from detectors.data.copy_paste import (
    MARGIN,
    Cutout,
    Paste,
    cut_outs,
    paint,
    plan_pastes,
    transform,
)
from detectors.data.masks import read_mask, tight_box
from detectors.data.records import Annotation
from searchspace.augmentation import CopyPaste

UNJITTERED = {"scale_jitter": 0.0, "rotation": 0.0}


@dataclass(frozen=True)
class Scene:
    """An image and what is annotated in it; small objects are bright red, all else is not red."""

    image: Tensor
    objects: list[Annotation]
    crowds: list[Annotation]

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.image.shape[1:])

    @property
    def occupied(self) -> np.ndarray:
        return np.array([a.box for a in self.objects + self.crowds]).reshape(-1, 4)

    def plan(self, config: CopyPaste, seed: int) -> list[Paste]:
        rng = np.random.default_rng(seed)
        cutouts = cut_outs(self.objects, *self.size, config)
        return list(plan_pastes(cutouts, self.occupied, self.size, config, rng))


def annotation(
    box: tuple[int, int, int, int], segmentation: list | dict | None = None, **fields: object
) -> Annotation:
    x1, y1, x2, y2 = box
    area = fields.pop("area", float((x2 - x1) * (y2 - y1)))
    return Annotation(1, 1, 1, box, area, bool(fields.get("iscrowd")), segmentation)


def outline(rng: np.random.Generator, box: tuple[int, int, int, int]) -> list[float]:
    """A triangle or a quadrangle in a box, as COCO's polygon."""
    x1, y1, x2, y2 = box
    middle = rng.uniform(x1, x2), rng.uniform(y1, y2)
    points = [(x1, middle[1]), (middle[0], y1), (x2, middle[1]), (middle[0], y2)]
    return [side for point in points[: int(rng.integers(3, 5))] for side in point]


def disc(box: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, object]:
    """The ellipse in a box as COCO's run lengths."""
    (x1, y1, x2, y2), (height, width) = box, size
    y, x = np.mgrid[:height, :width] + 0.5
    radii = (x2 - x1) / 2, (y2 - y1) / 2
    inside = ((x - (x1 + x2) / 2) / radii[0]) ** 2 + ((y - (y1 + y2) / 2) / radii[1]) ** 2 <= 1
    flat = np.concatenate([[False], inside.ravel(order="F")])
    runs = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat)), [inside.size]]))
    return {"counts": runs.tolist(), "size": [height, width]}


def scene(seed: int, count: int) -> Scene:
    """Up to `count` objects and a crowd region, of any overlap, in an image of about 70 x 90."""
    rng = np.random.default_rng(seed)
    height, width = size = tuple(int(n) for n in rng.integers(50, 110, 2))
    image = torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8))
    image[0] = 0
    objects = []
    for _ in range(count):
        x1, y1 = int(rng.integers(width - 2)), int(rng.integers(height - 2))
        x2, y2 = x1 + int(rng.integers(2, 22)), y1 + int(rng.integers(2, 22))
        box = (x1, y1, min(x2, width), min(y2, height))
        image[0, box[1] : box[3], box[0] : box[2]] = 255
        kind = rng.integers(4)
        shape = [None, [outline(rng, box)], disc(box, size), [outline(rng, box)] * 2][kind]
        objects.append(annotation(box, shape))
    crowds = [annotation((0, 0, width // 3, height // 3), iscrowd=True)] if seed % 2 else []
    return Scene(image, objects, crowds)


def apart(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether two boxes share no area."""
    return (
        first[2] <= second[0]
        or second[2] <= first[0]
        or first[3] <= second[1]
        or second[3] <= first[1]
    )


scenes = st.builds(scene, st.integers(0, 10_000), st.integers(0, 6))
recipes = st.builds(
    CopyPaste,
    pastes=st.integers(1, 3),
    source=st.sampled_from(["mask", "box", "mask_or_box"]),
    scale_jitter=st.sampled_from([0.0, 0.2, 0.6]),
    rotation=st.sampled_from([0.0, 15.0, 180.0]),
    max_area=st.sampled_from([60.0, 1024.0]),
)


@settings(max_examples=60, deadline=None)
@given(scenes, recipes, st.integers(0, 100))
def test_pastes_lie_on_vacant_ground(scene: Scene, recipe: CopyPaste, seed: int) -> None:
    height, width = scene.size
    taken = [tuple(box) for box in scene.occupied]
    sources = []
    for paste in scene.plan(recipe, seed):
        x1, y1, x2, y2 = paste.box
        assert MARGIN <= x1 < x2 <= width - MARGIN
        assert MARGIN <= y1 < y2 <= height - MARGIN
        assert all(apart(paste.box, other) for other in taken)
        taken.append(paste.box)
        sources.append(paste.cutout.index)
        assert 1 - recipe.scale_jitter <= paste.scale <= 1 + recipe.scale_jitter
        assert abs(paste.degrees) <= recipe.rotation
    assert sources == sorted(sources)
    for index in set(sources):
        assert sources.count(index) <= recipe.pastes
        assert scene.objects[index].area < recipe.max_area


@settings(max_examples=60, deadline=None)
@given(scenes, recipes, st.integers(0, 100))
def test_boxes_are_tight_around_what_changed(scene: Scene, recipe: CopyPaste, seed: int) -> None:
    before = scene.image.clone()
    pastes = scene.plan(recipe, seed)
    painted = paint(scene.image, pastes)
    assert torch.equal(scene.image, before)
    assert (painted.dtype, painted.shape) == (before.dtype, before.shape)
    reddened = (before[0] == 0) & (painted[0] == 255)
    for paste in pastes:
        x1, y1, x2, y2 = paste.box
        assert tight_box(reddened[y1:y2, x1:x2]) == (0, 0, x2 - x1, y2 - y1)
        assert torch.equal(reddened[y1:y2, x1:x2], paste.mask)
        pixels = int(reddened[y1:y2, x1:x2].sum())
        if paste.cutout.turns:
            assert paste.area == pixels
        else:
            whole = scene.objects[paste.cutout.index]
            assert paste.area == pytest.approx(whole.area * pixels / paste.cutout.mask.numel())
        reddened[y1:y2, x1:x2] = False
        painted[:, y1:y2, x1:x2] = before[:, y1:y2, x1:x2]
    assert torch.equal(painted, before)


@settings(max_examples=25, deadline=None)
@given(scenes, st.integers(0, 100))
def test_without_jitter_a_paste_is_its_source(scene: Scene, seed: int) -> None:
    pastes = scene.plan(CopyPaste(**UNJITTERED, pastes=2), seed)
    expected = scene.image.clone()
    for paste in pastes:
        item = scene.objects[paste.cutout.index]
        mask = read_mask(item, *scene.size)
        if mask is None:
            mask = torch.zeros(scene.size, dtype=torch.bool)
            mask[item.box[1] : item.box[3], item.box[0] : item.box[2]] = True
        left, top, *_ = tight_box(mask)
        for y, x in mask.nonzero().tolist():
            there = expected[:, y + paste.corner[1] - top, x + paste.corner[0] - left]
            there.copy_(scene.image[:, y, x])
    assert torch.equal(paint(scene.image, pastes), expected)


@pytest.mark.parametrize("seed", range(6))
def test_on_a_smaller_copy_pastes_lie_in_the_same_places(seed: int) -> None:
    """Whatever its pixels: an object is bright on a dark ground, at half of the stored size."""
    box, size = (20, 30, 36, 42), (80, 120)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[:, box[1] : box[3], box[0] : box[2]] = 200
    objects = [annotation(box, disc(box, size) if seed % 2 else None)]
    pastes = Scene(image, objects, []).plan(CopyPaste(pastes=3), seed)
    assert pastes
    small = paint(image[:, ::2, ::2], pastes, (0.5, 0.5))[0].float()
    whole = functional.avg_pool2d(paint(image, pastes).float()[:1], 2)[0]
    assert float(small.sum()) == pytest.approx(float(whole.sum()), rel=0.15)
    for paste in pastes:
        x1, y1, x2, y2 = (side // 2 for side in paste.box)
        middle = (y1 + y2) // 2, (x1 + x2) // 2
        assert small[middle] == whole[middle] == 200
    assert small[whole == 0].sum() < 0.05 * small.sum()


@settings(max_examples=20, deadline=None)
@given(scenes, recipes, st.integers(0, 100))
def test_the_same_seed_pastes_the_same(scene: Scene, recipe: CopyPaste, seed: int) -> None:
    first, second = (scene.plan(recipe, seed) for _ in range(2))
    assert [(p.box, p.scale, p.degrees) for p in first] == [
        (p.box, p.scale, p.degrees) for p in second
    ]
    assert torch.equal(paint(scene.image, first), paint(scene.image, second))
    # The first paste is the same, whether or not others are asked for.
    cutouts = cut_outs(scene.objects, *scene.size, recipe)
    rng = np.random.default_rng(seed)
    begun = next(plan_pastes(cutouts, scene.occupied, scene.size, recipe, rng), None)
    assert (begun and begun.box) == (first[0].box if first else None)


def square(side: int) -> Cutout:
    return Cutout(0, (0, 0), torch.ones(side, side, dtype=torch.bool), 1.0, turns=False)


def test_places_scales_and_angles_are_drawn_evenly() -> None:
    disc = Cutout(4, (0, 0), torch.ones(10, 10, dtype=torch.bool), 1.0, turns=True)
    pastes = [
        paste
        for seed in range(60)
        for paste in plan_pastes(
            [disc], np.zeros((0, 4)), (100, 100), CopyPaste(pastes=3), np.random.default_rng(seed)
        )
    ]
    assert len({p.corner for p in pastes}) > 160
    assert min(p.box[0] for p in pastes) == MARGIN
    assert max(p.box[3] for p in pastes) == 100 - MARGIN
    for values, low, high in (
        ([p.scale for p in pastes], 0.8, 1.2),
        ([p.degrees for p in pastes], -15, 15),
    ):
        histogram, _ = np.histogram(values, bins=4, range=(low, high))
        assert histogram.sum() == 180
        assert histogram.min() > 25


def test_without_room_nothing_is_pasted() -> None:
    rng, still = np.random.default_rng(0), CopyPaste(**UNJITTERED)
    nothing, full = np.zeros((0, 4)), np.array([[0, 0, 40, 40]])
    assert list(plan_pastes([square(31)], nothing, (40, 40), still, rng)) == []
    assert list(plan_pastes([square(30)], full, (40, 40), still, rng)) == []
    (paste,) = plan_pastes([square(30)], nothing, (40, 40), still, rng)
    assert paste.box == (5, 5, 35, 35)
    # One of eleven places is vacant, which 30 tries find in 94 of 100 cases.
    half = np.array([[5, 5, 15, 15]])
    found = [
        paste.box
        for seed in range(30)
        for paste in plan_pastes([square(10)], half, (20, 30), still, np.random.default_rng(seed))
    ]
    assert 20 < len(found) <= 30
    assert set(found) == {(15, 5, 25, 15)}


BOX = (10, 10, 20, 20)
POLYGON = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]
APART = {"counts": [50 * 10, 10, 200, 10, 50 * 50 - 720], "size": [50, 50]}


@pytest.mark.parametrize(
    ("item", "by_mask", "by_box", "by_either"),
    [
        (annotation(BOX), 0, 1, 1),
        (annotation(BOX, [POLYGON]), 1, 1, 1),
        (annotation(BOX, disc(BOX, (50, 50))), 1, 1, 1),
        (annotation(BOX, [POLYGON, POLYGON]), 0, 1, 0),
        (annotation(BOX, APART), 0, 1, 0),
        (annotation(BOX, [POLYGON], area=1023.9), 1, 1, 1),
        (annotation(BOX, [POLYGON], area=1024.0), 0, 0, 0),
        # A polygon that covers no pixel's centre leaves nothing to cut.
        (annotation(BOX, [[10, 10, 10.1, 10, 10.1, 10.1]]), 0, 1, 0),
    ],
)
def test_which_objects_are_cut_out(
    item: Annotation, by_mask: int, by_box: int, by_either: int
) -> None:
    found = [
        len(list(cut_outs([item], 50, 50, CopyPaste(source=source))))
        for source in ("mask", "box", "mask_or_box")
    ]
    assert found == [by_mask, by_box, by_either]


def test_a_box_is_cut_to_whole_pixels_and_stays_upright() -> None:
    item = annotation((3.5, 4.25, 8, 9.75), area=15.0)
    (cutout,) = cut_outs([item], 40, 40, CopyPaste())
    assert cutout.corner == (3, 4)
    assert cutout.mask.shape == (6, 5)
    assert cutout.density == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    (paste,) = plan_pastes([cutout], np.zeros((0, 4)), (40, 40), CopyPaste(scale_jitter=0), rng)
    assert paste.degrees == 0
    assert paste.area == pytest.approx(15.0)


def test_transform_scales_and_turns_clockwise() -> None:
    layers = torch.arange(24.0).reshape(2, 3, 4)
    for mode in ("nearest", "bilinear"):
        assert torch.allclose(transform(layers, 1, 0, mode), layers, atol=1e-4)
        turned = torch.rot90(layers, -1, (1, 2))
        assert torch.allclose(transform(layers, 1, 90, mode), turned, atol=1e-4)
        assert torch.allclose(transform(layers, 1, 180, mode), layers.flip((1, 2)), atol=1e-4)
    doubled = layers.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(transform(layers, 2, 0, "nearest"), doubled)
    mask = torch.ones(1, 24, 18)
    for scale in (0.8, 1.0, 1.2):
        for degrees in (-15, 7, 15):
            area = float(transform(mask, scale, degrees, "nearest").sum())
            assert area == pytest.approx(24 * 18 * scale**2, rel=0.02)
