"""Turned, sheared and shifted mosaics, and mixup."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from detectors.canvas import GREY, MEAN_COLOUR
from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.data.mixup import mixup
from detectors.data.mosaic import MIN_VISIBLE, mosaic, seen_on
from detectors.data.samples import Sample, TrainingSet
from detectors.data.scene import Scene
from detectors.data.warp import Warp
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas
from searchspace.training import TrainConfig
from tests.detectors.data.scenes import through

SIDE = 64
YOLOX = {"mosaic_rotation": 10.0, "mosaic_shear": 2.0, "mosaic_translation": 0.1}
BOXES = torch.tensor([[10.0, 20, 30, 28], [0, 0, 64, 64], [31, 31, 33, 33]])


def turned(degrees: float, shear: tuple[float, float] = (0, 0), shift=(0.0, 0.0)) -> Warp:
    angles = [math.radians(angle) for angle in (degrees, *shear)]
    return Warp.about_centre(SIDE, angles[0], (angles[1], angles[2]), shift)


def one(height: int, width: int, box: tuple[int, int, int, int] | None, colour: int) -> Sample:
    """A black image with at most one object, of a single grey."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    boxes = torch.tensor([box] if box else [], dtype=torch.float32).reshape(-1, 4)
    if box:
        x1, y1, x2, y2 = box
        image[:, y1:y2, x1:x2] = colour
    marks = torch.full((len(boxes),), colour)
    return image, {"boxes": boxes, "labels": marks, "area": marks * 7.0}


@pytest.mark.parametrize(
    ("warp", "moved"),
    [
        (turned(0), BOXES[0].tolist()),
        (turned(90), [36, 10, 44, 30]),
        (turned(180), [34, 36, 54, 44]),
        (turned(0, shift=(5, -3)), [15, 17, 35, 25]),
        # Along x, a row moves by its distance from the centre: 12 to 4 rows above it.
        (turned(0, shear=(45, 0)), [10 - 12, 20, 30 - 4, 28]),
        (turned(0, shear=(0, 45)), [10, 20 - 22, 30, 28 - 2]),
    ],
)
def test_boxes_of_known_maps(warp: Warp, moved: list[float]) -> None:
    assert warp.boxes(BOXES[:1].numpy())[0].tolist() == pytest.approx(moved, abs=1e-4)


def test_a_turned_box_is_the_one_around_its_corners() -> None:
    # A square of side 2 in the middle, turned by 45 degrees, is as wide as its diagonal.
    x1, y1, x2, y2 = turned(45).boxes(BOXES[2:].numpy())[0].tolist()
    assert (x2 - x1, y2 - y1) == pytest.approx((2 * math.sqrt(2),) * 2)
    assert (x1 + x2, y1 + y2) == pytest.approx((SIDE, SIDE))
    assert turned(45).boxes(BOXES[:0].numpy()).shape == (0, 4)


def shifted(scene: Scene, x: int, y: int) -> Scene:
    return scene.mapped((1, 1), (x, y), (SIDE, SIDE))


def warped(warp: Warp, sample: Sample, x: int, y: int) -> Sample:
    """A sample whose corner was at (x, y) of a canvas before a map, with all that is seen of it."""
    canvas = Canvas((SIDE, SIDE), "letterbox")
    moved = lambda scenes: warp.moved(shifted(scenes[0], x, y))  # noqa: E731
    return through(moved, [sample], canvas)


@pytest.mark.parametrize("seed", range(6))
def test_pixels_move_with_their_boxes(seed: int) -> None:
    warp = Warp.drawn(Augment(**YOLOX), SIDE, np.random.default_rng(seed))
    assert warp is not None
    image, target = warped(warp, one(30, 40, (10, 8, 26, 20), 240), 12, 15)
    rows, columns = (image[0] > 180).nonzero().unbind(1)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    expected = warp.boxes(np.array([[22.0, 23, 38, 35]]))[0]
    assert target["boxes"][0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    assert [float(side) for side in seen] == pytest.approx(expected.tolist(), abs=1.1)


def test_a_map_that_turns_nothing_copies_pixels() -> None:
    image = torch.randint(0, 255, (3, 30, 40), dtype=torch.uint8)
    sample = image, one(30, 40, None, 0)[1]
    canvas, _ = warped(turned(0), sample, 40, -10)
    assert torch.equal(canvas[:, :20, 40:], image[:, 10:, :24])
    assert (canvas[:, 20:] == GREY).all()
    beside, _ = warped(turned(0), sample, SIDE, 0)
    assert (beside == GREY).all()
    # By a quarter, every pixel still lies on one of the canvas.
    quarter, _ = warped(turned(90), sample, 12, 17)
    assert torch.equal(quarter[:, 12:52, 17:47], torch.rot90(image, -1, (1, 2)))


def test_of_objects_that_are_cut_off_enough_has_to_be_seen() -> None:
    boxes = torch.tensor([
        [-30.0, 0, 10, 10],  # a quarter is seen
        [-31.0, 0, 10, 10],
        [5.0, 5, 5, 9],  # without extent
        [70.0, 70, 80, 80],
        [60.0, 60, 68, 64],
    ])  # fmt: skip
    arrays = {"boxes": boxes.double().numpy(), "labels": np.arange(5), "area": np.ones(5)}
    found = seen_on(Canvas((SIDE, SIDE)), Scene((SIDE, SIDE), (), arrays)).target
    assert MIN_VISIBLE == 0.25
    assert 0 in found["labels"]
    assert 1 not in found["labels"]
    assert 3 not in found["labels"]
    assert 4 in found["labels"]
    assert {len(values) for values in found.values()} == {len(found["labels"])}
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= SIDE).all()


def made(four: list[Sample], canvas: Canvas, augment: Augment, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return through(lambda scenes: mosaic(scenes, canvas, augment, rng), four, canvas)


def mixed(
    under: Sample, over: Sample, canvas: Canvas, scale: tuple[float, float], seed: int
) -> Sample:
    rng = np.random.default_rng(seed)
    return through(lambda scenes: mixup(*scenes, canvas, scale, rng), [under, over], canvas)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_objects_of_a_turned_mosaic_lie_under_their_boxes(resize: str) -> None:
    canvas, augment = Canvas((SIDE, SIDE), resize), Augment(mosaic_scale=(0.8, 1.2), **YOLOX)
    kept = 0
    for seed in range(10):
        four = [one(60, 90, (20, 15, 70, 45), grey) for grey in (80, 130, 160, 200)]
        image, target = made(four, canvas, augment, seed)
        assert image.shape == (3, SIDE, SIDE)
        assert torch.equal(target["area"], target["labels"] * 7.0)
        for grey, box in zip(target["labels"].tolist(), target["boxes"], strict=True):
            rows, columns = (image == grey).all(0).nonzero().unbind(1)
            x1, y1, x2, y2 = box.tolist()
            if (x2 - x1) * (y2 - y1) > 200:
                kept += 1
                assert len(rows) > 0.3 * (x2 - x1) * (y2 - y1)
            inside = (columns >= x1 - 1) & (columns <= x2) & (rows >= y1 - 1) & (rows <= y2)
            # A few on the edges of brighter objects have this grey by chance.
            assert inside.float().mean() > 0.95 or len(rows) < 20
    assert kept > 10


def test_a_letterboxed_mosaic_keeps_ratios_and_fills_with_grey() -> None:
    four = [one(30, 60, (0, 0, 60, 30), grey) for grey in (80, 120, 160, 200)]
    augment = Augment(mosaic_scale=(0.4, 0.4))
    canvas, target = made(four, Canvas((SIDE, SIDE), "letterbox"), augment, 0)
    sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
    assert (sides == torch.tensor([26, 13])).all()
    # They meet in one point.
    first, last = target["boxes"][0], target["boxes"][3]
    assert torch.equal(first[2:], last[:2])
    assert (canvas == GREY).float().mean() == pytest.approx(1 - 4 * 26 * 13 / SIDE**2)
    stretched, _ = made(four, Canvas((SIDE, SIDE)), augment, 0)
    assert MEAN_COLOUR in {tuple(stretched[:, y, -1].tolist()) for y in (0, -1)}


@pytest.mark.parametrize("seed", range(8))
def test_mixup_is_the_mean_with_the_objects_of_both(seed: int) -> None:
    canvas = Canvas((SIDE, SIDE), "letterbox")
    under = one(SIDE, SIDE, (4, 6, 14, 20), 100)
    over = one(40, 80, (10, 10, 70, 30), 200)
    image, target = mixed(under, over, canvas, (0.5, 1.5), seed)
    assert torch.equal(target["boxes"][0], torch.tensor([4.0, 6, 14, 20]))
    assert target["labels"].tolist()[:1] == [100]
    assert target["area"].tolist()[:1] == [700.0]
    # What was black under the second object is half of it now.
    for box in target["boxes"][1:]:
        x1, y1, x2, y2 = (round(side) for side in box.tolist())
        inside = image[0, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
        assert ((inside - 100).abs() <= 2).float().mean() > 0.6
    assert len(target["boxes"]) <= 2


def test_mixup_of_one_scale_is_an_average() -> None:
    canvas = Canvas((SIDE, SIDE))
    under, over = one(SIDE, SIDE, None, 0), one(SIDE, SIDE, (8, 8, 40, 24), 90)
    means = [mixed(under, over, canvas, (1, 1), seed) for seed in range(9)]
    found = {tuple(target["boxes"][0].tolist()) for _, target in means}
    assert found == {(8, 8, 40, 24), (24, 8, 56, 24)}  # mirrored or not
    for image, target in means:
        x1, y1, x2, y2 = (int(side) for side in target["boxes"][0])
        expected = torch.zeros_like(image)
        expected[:, y1:y2, x1:x2] = 45
        assert torch.equal(image, expected)


def equal(first: Sample, second: Sample) -> bool:
    return torch.equal(first[0], second[0]) and all(
        torch.equal(first[1][key], second[1][key]) for key in first[1]
    )


def recipe(**augment: object) -> TrainConfig:
    return TrainConfig(epochs=3, plain_epochs=1, batch_size=2, augment=Augment(mosaic=1, **augment))


def test_all_is_drawn_from_seed_epoch_and_number_in_any_process(
    shapes: tuple[Dataset, Dataset],
) -> None:
    config = recipe(mixup=1, **YOLOX)
    here, there, other = (
        TrainingLoader(shapes[0], config, SIDE, seed, workers)
        for seed, workers in ((2, 0), (2, 1), (3, 0))
    )
    first = [b.images for b in itertools.islice(here.epoch(0), 2)]
    second = [b.images for b in itertools.islice(there.epoch(0), 2)]
    assert all(map(torch.equal, first, second))
    third = [b.images for b in itertools.islice(other.epoch(0), 2)]
    assert not any(map(torch.equal, first, third))


def test_each_part_changes_the_sample_and_the_last_epochs_have_none(
    shapes: tuple[Dataset, Dataset],
) -> None:
    parts = [{}, {"mixup": 1.0}, *({name: value} for name, value in YOLOX.items())]
    sets = [TrainingSet(shapes[0], recipe(**part), SIDE, seed=1) for part in parts]
    samples = [some.sample(0) for some in sets]
    assert not any(equal(*pair) for pair in itertools.combinations(samples, 2))
    plain = [some.sample(0, epoch=2) for some in sets]
    assert all(equal(plain[0], sample) for sample in plain)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mosaic_shear": 45}, "mosaic_shear"),
        ({"mixup": 2}, "mixup"),
        ({"mixup_scale": (2, 1)}, "mixup_scale"),
        ({"mosaic_translation": -0.1}, "mosaic_translation"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Augment(**fields)
