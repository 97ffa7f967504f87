from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.samples import TrainingSet
from detectors.detector import SMALL_AREA
from launch.cli.contact_sheet import contact_sheet
from launch.trial.data import TrialData
from searchspace.augmentation import Augment, CopyPaste
from searchspace.training import TrainConfig

SIZE = 160
SIDE = 2 * SIZE
"""Images of 160 pixels are shown at twice their size."""

PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
COLOURS = {"pasted": (255, 0, 255), "small": (255, 165, 0), "other": (0, 255, 0)}


@pytest.fixture(scope="module")
def split(shapes: TrialData) -> Dataset:
    return replace(shapes.train, images=shapes.train.images[:5])


def tiles(sheet: Tensor, columns: int, side: int = SIDE) -> list[Tensor]:
    """The images of a sheet, row by row; there are 4 pixels around each."""
    rows = (sheet.shape[1] - 4) // (side + 4)
    return [
        sheet[:, 4 + y * (side + 4) :, 4 + x * (side + 4) :][:, :side, :side]
        for y, x in itertools.product(range(rows), range(columns))
    ]


def edges(image: Tensor, box: Tensor) -> list[Tensor]:
    """Pixels [3, n] on the two sides of a box that names do not cover: below and on the right."""
    x1, y1, x2, y2 = box.int().tolist()
    return [image[:, y2 - 1, x1:x2], image[:, y1:y2, x2 - 1]]


def test_every_box_is_drawn_where_the_sample_has_it(split: Dataset) -> None:
    config = TrainConfig(augment=PLAIN, copy_paste=CopyPaste(copies=1))
    samples = TrainingSet(split, config, SIZE, seed=4)
    count = len(samples)
    sheet = contact_sheet(split, config, SIZE, count=100, seed=4)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(4)).tolist()
    columns = next(n for n in range(1, 9) if n * n >= count)
    shown = tiles(sheet, columns)
    kinds = set()
    for tile, index in zip(shown, order, strict=False):
        _, target = samples.sample(index)
        for number, box in enumerate(torch.as_tensor(target["boxes"]) * 2):
            small = target["area"][number] < SMALL_AREA
            kind = "pasted" if target["pasted"][number] else "small" if small else "other"
            kinds.add(kind)
            wanted = torch.tensor(COLOURS[kind], dtype=torch.uint8)[:, None]
            drawn = [(side == wanted).all(0).float().mean() for side in edges(tile, box)]
            # Other boxes may cross a side, and names may lie over one.
            assert max(drawn) > 0.6, (index, number)
    assert kinds == set(COLOURS)


def test_images_without_objects_and_fewer_than_asked_for(split: Dataset) -> None:
    empty = Dataset(split.images[:2], split.categories, {r.id: () for r in split.images[:2]})
    sheet = contact_sheet(empty, TrainConfig(augment=PLAIN), 400, count=9)
    assert sheet.shape == (3, 400 + 8, 2 * 400 + 12)
    assert sheet.dtype == torch.uint8


def test_a_seed_shows_the_same(split: Dataset) -> None:
    first, again, other = (
        contact_sheet(split, TrainConfig(), SIZE, count=4, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (3, 2 * SIDE + 12, 2 * SIDE + 12)
