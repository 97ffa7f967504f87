from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.loader import Batch, TrainingLoader, evaluation_batches
from detectors.data.pixels import Decoded
from detectors.data.records import ImageRecord
from detectors.data.samples import TrainingSet
from searchspace.training import Augment, CopyPaste, TrainConfig

SIZE = 64


@pytest.fixture
def split(shapes: tuple[Dataset, Dataset]) -> Dataset:
    return shapes[0]


def config(copies: int = 0, **fields: object) -> TrainConfig:
    return TrainConfig(copy_paste=CopyPaste(copies=copies), **fields)


def equal(first: tuple[Tensor, dict[str, Tensor]], second: tuple[Tensor, dict]) -> bool:
    return torch.equal(first[0], second[0]) and all(
        torch.equal(first[1][key], second[1][key]) for key in ("boxes", "labels", "area")
    )


def test_a_rectangular_input(split: Dataset) -> None:
    plain = config(augment=Augment(photometric=0, zoom_out=0, crop=0, flip=0))
    image, target = TrainingSet(split, plain, (48, 96), seed=0).sample(0)
    square, expected = TrainingSet(split, plain, SIZE, seed=0).sample(0)
    assert image.shape == (3, 48, 96)
    scale = torch.tensor((96, 48, 96, 48)) / SIZE
    assert torch.allclose(target["boxes"], expected["boxes"] * scale, atol=1e-3)
    assert square.shape == (3, SIZE, SIZE)
    _, batch = next(evaluation_batches(split, (48, 96), 2))
    assert batch.shape == (2, 3, 48, 96)


def batches(loader: TrainingLoader, epoch: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    for batch in loader.epoch(epoch):
        yield from zip(batch.images, batch.targets, strict=True)


def test_batches_repeat_with_seed_and_epoch_and_differ_without(split: Dataset) -> None:
    def epoch(seed: int, number: int) -> list[tuple[Tensor, dict[str, Tensor]]]:
        loader = TrainingLoader(split, config(copies=1, batch_size=3), SIZE, seed)
        return list(batches(loader, number))

    first = epoch(0, 0)
    torch.manual_seed(123)
    assert all(equal(a, b) for a, b in zip(first, epoch(0, 0), strict=True))
    for other in (epoch(0, 1), epoch(1, 0)):
        assert not any(equal(a, b) for a, b in zip(first, other, strict=True))


def test_threads_give_the_same_batches_and_stay_for_all_epochs(split: Dataset) -> None:
    decoded: list[str] = []

    class Watched(Decoded):
        def get(self, record: ImageRecord) -> Tensor:
            decoded.append(threading.current_thread().name)
            return super().get(record)

    here, there = (
        TrainingLoader(split, config(copies=1, batch_size=2), SIZE, 2, workers, Watched())
        for workers in (0, 2)
    )
    for epoch in (0, 1):
        pairs = zip(batches(here, epoch), batches(there, epoch), strict=True)
        assert all(equal(a, b) for a, b in pairs)
    threads = set(decoded) - {threading.current_thread().name}
    assert 1 <= len(threads) <= 2
    assert all(name.startswith("samples") for name in threads)


def test_an_epoch_that_is_left_early_and_one_that_fails(split: Dataset) -> None:
    class Damaged(Decoded):
        def get(self, record: ImageRecord) -> Tensor:
            raise OSError(f"{record.path.name} is gone")

    whole = TrainingLoader(split, config(batch_size=2), SIZE, 0, workers=2)
    first = next(whole.epoch(0))
    assert torch.equal(next(whole.epoch(0)).images, first.images)
    assert len(list(whole.epoch(1))) == len(whole)
    damaged = TrainingLoader(split, config(batch_size=2), SIZE, 0, workers=2, pixels=Damaged())
    with pytest.raises(OSError, match="is gone"):
        next(damaged.epoch(0))


def test_a_sample_is_the_same_in_a_batch_of_any_size(split: Dataset) -> None:
    recipe = config(copies=1, augment=Augment(mosaic=0.5, photometric=1))
    samples = TrainingSet(split, recipe, SIZE, seed=4)
    drawn = [samples.drawn(index, 3) for index in range(len(samples))]
    together = samples.images(drawn)
    for index, image in enumerate(together):
        assert equal((image, drawn[index].target), samples.sample(index, 3))


def test_batches_are_whole_and_what_training_takes(split: Dataset) -> None:
    loader = TrainingLoader(split, config(batch_size=3), SIZE, seed=0)
    found: list[Batch] = list(loader.epoch(0))
    assert len(found) == len(loader) == len(split.images) // 3
    for batch in found:
        assert batch.images.shape == (3, 3, SIZE, SIZE)
        assert batch.images.dtype == torch.uint8
        assert type(batch.images) is Tensor
        assert len(batch.targets) == 3
    small = TrainingLoader(split, config(batch_size=1000), SIZE, seed=0)
    assert [len(batch.targets) for batch in small.epoch(0)] == [len(split.images)]


def test_evaluation_images_come_in_order_and_resized(shapes: tuple[Dataset, Dataset]) -> None:
    val = shapes[1]
    found = list(evaluation_batches(val, SIZE, batch_size=4))
    assert [record for records, _ in found for record in records] == list(val.images)
    assert [tuple(images.shape) for _, images in found] == [(4, 3, 64, 64), (2, 3, 64, 64)]
    assert all(images.dtype == torch.uint8 for _, images in found)
