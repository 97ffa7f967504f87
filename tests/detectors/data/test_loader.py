from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Iterator

import psutil
import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.loader import Batch, TrainingLoader, evaluation_batches, workers_for
from detectors.data.pixels import Decoded
from detectors.data.records import ImageRecord
from detectors.data.samples import TrainingSet, tensors
from detectors.quiet import threads
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.geometry import Window
from searchspace.training import TrainConfig

SIZE = 64
MOSAICS = Augment(mosaic=0.5, mosaic_rotation=10, photometric=1)


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


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3")
def test_processes_give_the_same_batches_and_stay_for_all_epochs(
    split: Dataset, device: torch.device
) -> None:
    recipe = config(
        copies=1, batch_size=4, multi_scale=MultiScale(largest=1.5, every=3), augment=MOSAICS
    )
    loaders = [
        TrainingLoader(split, recipe, SIZE, 2, workers, device=device) for workers in (0, 1, 3)
    ]
    random, pids = torch.get_rng_state(), set()
    for epoch in (0, 1, 3):
        for found in zip(*(batches(loader, epoch) for loader in loaders), strict=True):
            assert all(equal(found[0], other) for other in found[1:])
        pids |= {process.pid for process in multiprocessing.active_children()}
    assert len(pids) == 1 + 3
    assert torch.equal(torch.get_rng_state(), random)
    loaders.clear()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_is_left_early_and_one_that_fails(split: Dataset, workers: int) -> None:
    class Damaged(Decoded):
        def get(self, record: ImageRecord, window: Window | None = None) -> Tensor:
            raise OSError(f"{record.path.name} is gone")

    whole = TrainingLoader(split, config(batch_size=2), SIZE, 0, workers)
    first, second = itertools.islice(whole.epoch(0), 2)
    for batch, expected in zip(whole.epoch(0), (first, second), strict=False):
        assert torch.equal(batch.images, expected.images)
    assert len(list(whole.epoch(1))) == len(whole)
    assert torch.equal(next(whole.epoch(0)).images, first.images)
    damaged = TrainingLoader(split, config(batch_size=2), SIZE, 0, workers, pixels=Damaged())
    with pytest.raises(OSError, match="(?s)in get.*is gone" if workers else "is gone"):
        next(damaged.epoch(0))


@pytest.mark.slow
def test_processes_end_with_a_killed_training(split: Dataset) -> None:
    forking = multiprocessing.get_context("fork")
    ours, theirs = forking.Pipe()

    def train() -> None:
        loader = TrainingLoader(split, config(batch_size=2), SIZE, 0, workers=2)
        next(loader.epoch(0))
        theirs.send([process.pid for process in multiprocessing.active_children()])
        time.sleep(600)

    training = forking.Process(target=train)
    training.start()
    pids = ours.recv()
    training.kill()
    training.join()
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_processes_follow_the_threads_of_the_trial() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for cpus, on_cpu, on_gpu in ((1, 0, 0), (2, 0, 0), (4, 1, 3), (8, 2, 7), (64, 8, 8)):
        with threads(cpus):
            assert (workers_for(cpu), workers_for(cuda)) == (on_cpu, on_gpu)


def test_a_sample_is_the_same_in_a_batch_of_any_size(split: Dataset) -> None:
    recipe = config(copies=1, augment=Augment(mosaic=0.5, photometric=1))
    samples = TrainingSet(split, recipe, SIZE, seed=4)
    drawn = [samples.drawn(index, 3) for index in range(len(samples))]
    together = samples.images(drawn)
    for index, image in enumerate(together):
        assert equal((image, tensors(drawn[index].target)), samples.sample(index, 3))


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
