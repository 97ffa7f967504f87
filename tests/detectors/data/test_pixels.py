from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional

from detectors.data.bound import LEAST_BOUND, needed, training_form
from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.images import load_image
from detectors.data.pixels import WHOLE, Decoded, Reduced
from detectors.data.samples import TrainingSet
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.geometry import Canvas
from searchspace.training import TrainConfig

PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)


@pytest.mark.parametrize(
    ("canvas", "stored", "kept"),
    [
        (Canvas((100, 100)), (300, 400), (100, 134)),  # the shorter side covers the canvas
        (Canvas((100, 200)), (300, 400), (150, 200)),
        (Canvas((100, 100), "letterbox"), (300, 400), (75, 100)),
        (Canvas((100, 100)), (90, 4000), (90, 4000)),  # it would be enlarged
        (Canvas((400, 400), "letterbox"), (300, 400), (300, 400)),
    ],
)
def test_images_are_reduced_to_what_a_canvas_needs(
    canvas: Canvas, stored: tuple[int, int], kept: tuple[int, int]
) -> None:
    form = Reduced(canvas)
    assert form.size(stored) == kept
    assert form.of(torch.zeros(3, *stored, dtype=torch.uint8)).shape == (3, *kept)


@pytest.mark.parametrize(
    ("fields", "sides"),
    [
        ({"augment": PLAIN}, (2048, 4096)),  # 2000 and 3000 pixels
        ({"augment": Augment(crop=1)}, (8192, 16384)),  # times 1 / 0.3
        ({"augment": PLAIN.changed(mosaic=1, mosaic_scale=(1, 1))}, (4096, 4096)),
        ({"augment": PLAIN.changed(mosaic=1)}, (8192, 8192)),  # times 1.5
        ({"augment": PLAIN.changed(mosaic=1, mixup=1, mixup_scale=(1, 3))}, (16384, 16384)),
        ({"augment": PLAIN, "multi_scale": MultiScale(largest=1.5)}, (4096, 8192)),
        ({"augment": PLAIN, "copy_paste": CopyPaste(copies=1)}, (4096, 4096)),  # times 1.2
    ],
)
def test_what_a_recipe_needs(fields: dict, sides: tuple[int, int]) -> None:
    recipe = TrainConfig(**fields)
    assert needed(recipe, Canvas((2000, 3000))) == Canvas(sides)
    assert needed(recipe, Canvas((10, 20))).size == (LEAST_BOUND,) * 2


def test_images_below_the_bound_are_kept_whole() -> None:
    images = [ImageRecord(k, None, 640, 480) for k in range(3)]
    recipe, canvas = TrainConfig(), Canvas((64, 64))
    assert training_form(images, recipe, canvas) == WHOLE
    large = [*images, ImageRecord(4, None, 4000, 3000)]
    assert training_form(large, recipe, canvas) == Reduced(Canvas((LEAST_BOUND,) * 2))


def test_a_sample_of_a_reduced_image_is_nearly_that_of_the_whole_one(
    shapes: tuple[Dataset, Dataset],
) -> None:
    split, recipe = shapes[0], TrainConfig(augment=PLAIN)
    whole = TrainingSet(split, recipe, 32, seed=0)
    reduced = TrainingSet(split, recipe, 32, 0, Decoded(Reduced(Canvas((64, 64)))))
    for index in range(3):
        (image, target), (other, same) = whole.sample(index), reduced.sample(index)
        assert (image.float() - other.float()).abs().mean() < 4
        assert torch.equal(target["boxes"], same["boxes"])


def test_a_reduced_image_is_filtered(shapes: tuple[Dataset, Dataset]) -> None:
    record = shapes[0].images[0]
    image = load_image(record.path, record.width, record.height)
    small = Decoded(Reduced(Canvas((48, 48)))).get(record)
    area = functional.resize(image.float(), [24, 24], antialias=True)
    found = functional.resize(small.float(), [24, 24], antialias=True)
    assert (area - found).abs().mean() < 3
