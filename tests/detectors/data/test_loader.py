from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detectors.data.coco import CocoSplit, read_split
from detectors.data.loader import Batch, TrainingLoader, TrainingSet, evaluation_batches
from searchspace.training import Augment, CopyPaste, TrainConfig

SIZE = 64
STOCK = Augment()
PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
SMALL_AREA = 32**2


def config(copies: int = 0, augment: Augment = STOCK, **fields: object) -> TrainConfig:
    return TrainConfig(augment=augment, copy_paste=CopyPaste(copies=copies), **fields)


def samples(
    split: CocoSplit, seed: int = 0, epoch: int = 0, **fields: object
) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """All samples of an epoch in the order of their index."""
    dataset = TrainingSet(split, config(**fields), SIZE, seed)
    dataset.epoch = epoch
    return [dataset[index] for index in range(len(dataset))]


def equal(first: tuple[Tensor, dict[str, Tensor]], second: tuple[Tensor, dict]) -> bool:
    return torch.equal(first[0], second[0]) and all(
        torch.equal(first[1][key], second[1][key]) for key in ("boxes", "labels", "area")
    )


@pytest.fixture(scope="session")
def split(shapes: tuple[CocoSplit, CocoSplit]) -> CocoSplit:
    """The training images, every object with an area of its own that tells its label."""
    train = shapes[0]
    number = 0
    annotations = {}
    for image, items in train.annotations.items():
        marked = []
        for item in items:
            number += 1
            small = item.area < SMALL_AREA
            area = 10 * number + (0 if small else 10_000) + train.label_of(item.category_id)
            marked.append(replace(item, area=float(area)))
        annotations[image] = tuple(marked)
    return replace(train, annotations=annotations)


def test_a_rectangular_input(split: CocoSplit) -> None:
    image, target = TrainingSet(split, config(augment=PLAIN), (48, 96), seed=0)[0]
    square, expected = samples(split, augment=PLAIN)[0]
    assert image.shape == (3, 48, 96)
    scale = torch.tensor((96, 48, 96, 48)) / SIZE
    assert torch.allclose(target["boxes"], expected["boxes"] * scale, atol=1e-3)
    assert square.shape == (3, SIZE, SIZE)
    _, batch = next(evaluation_batches(split, (48, 96), 2))
    assert batch.shape == (2, 3, 48, 96)


def with_small(split: CocoSplit) -> list[int]:
    """The images that have a small object."""
    return [
        image.id
        for image in split.images
        if any(a.area < SMALL_AREA and not a.iscrowd for a in split.annotations[image.id])
    ]


def batches(loader: TrainingLoader, epoch: int) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    for batch in loader.epoch(epoch):
        yield from zip(batch.images, batch.targets, strict=True)


def test_batches_repeat_with_seed_and_epoch_and_differ_without(split: CocoSplit) -> None:
    def epoch(seed: int, number: int) -> list[tuple[Tensor, dict[str, Tensor]]]:
        loader = TrainingLoader(split, config(copies=1, batch_size=3), SIZE, seed)
        return list(batches(loader, number))

    first = epoch(0, 0)
    torch.manual_seed(123)
    assert all(equal(a, b) for a, b in zip(first, epoch(0, 0), strict=True))
    for other in (epoch(0, 1), epoch(1, 0)):
        assert not any(equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_sample_does_not_depend_on_who_asks_or_when(split: CocoSplit) -> None:
    dataset = TrainingSet(split, config(copies=2), SIZE, seed=3)
    dataset.epoch = 5
    forwards = [dataset[index] for index in range(len(dataset))]
    backwards = [dataset[index] for index in reversed(range(len(dataset)))][::-1]
    torch.manual_seed(9)
    assert all(equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    state = torch.random.get_rng_state()
    fresh = TrainingSet(split, config(copies=2), SIZE, seed=3)
    fresh.epoch = 5
    assert equal(fresh[2], forwards[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_worker_processes_give_the_same_batches(split: CocoSplit) -> None:
    here, there = (
        TrainingLoader(split, config(copies=1, batch_size=4), SIZE, seed=2, workers=workers)
        for workers in (0, 1)
    )
    for epoch in (0, 1):
        pairs = zip(batches(here, epoch), batches(there, epoch), strict=True)
        assert all(equal(a, b) for a, b in pairs)


def test_batches_are_whole_and_what_training_takes(split: CocoSplit) -> None:
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


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_copies_add_entries_for_images_with_small_objects(split: CocoSplit, copies: int) -> None:
    images = with_small(split)
    assert images
    found = samples(split, copies=copies, augment=PLAIN)
    count = len(split.images)
    assert len(found) == count + copies * len(images)
    originals = {image.id: found[k] for k, image in enumerate(split.images)}
    for number, (pixels, target) in enumerate(found[count:]):
        image, before = originals[images[number % len(images)]]
        new = target["area"][len(before["area"]) :]
        assert torch.equal(target["area"][: len(before["area"])], before["area"])
        assert (new < SMALL_AREA).all()
        assert set(new.tolist()) <= set(before["area"].tolist())
        assert torch.equal(pixels, image) == (len(new) == 0)


def test_crowds_are_no_objects_and_are_not_pasted_upon(split: CocoSplit) -> None:
    def with_copies(split: CocoSplit) -> list[tuple[Tensor, Tensor, int]]:
        """Each image that is pasted into, before and after, and its number of objects."""
        found = samples(split, copies=1, augment=PLAIN)
        position = {record.id: k for k, record in enumerate(split.images)}
        return [
            (
                found[position[image]][0],
                found[len(position) + k][0],
                len(found[position[image]][1]["area"]),
            )
            for k, image in enumerate(with_small(split))
        ]

    everywhere = {
        image: tuple(
            replace(a, id=a.id + 1000, iscrowd=True, box=(0.0, 0.0, 96.0, 96.0), segmentation=None)
            for a in items[:1]
        )
        for image, items in split.annotations.items()
    }
    crowded = replace(
        split, annotations={i: items + everywhere[i] for i, items in split.annotations.items()}
    )
    plain, none = with_copies(split), with_copies(crowded)
    assert any(not torch.equal(before, after) for before, after, _ in plain)
    assert all(torch.equal(before, after) for before, after, _ in none)
    assert [count for *_, count in plain] == [count for *_, count in none]


@pytest.mark.parametrize("augment", [STOCK, Augment(zoom_out=1), Augment(crop=1), PLAIN])
def test_objects_stay_whole_whatever_is_dropped(split: CocoSplit, augment: Augment) -> None:
    known = {a.area for items in split.annotations.values() for a in items}
    kept = 0
    for epoch in range(6):
        for image, target in samples(split, epoch=epoch, copies=1, augment=augment):
            assert image.shape == (3, SIZE, SIZE)
            assert image.dtype == torch.uint8
            boxes, labels, area = (target[key] for key in ("boxes", "labels", "area"))
            assert len(boxes) == len(labels) == len(area)
            assert (boxes >= 0).all()
            assert (boxes <= SIZE).all()
            assert ((boxes[:, 2:] - boxes[:, :2]) >= 0.01 * SIZE - 1e-4).all()
            assert labels.tolist() == [int(value) % 10 for value in area]
            assert set(area.tolist()) <= known
            kept += len(labels)
    assert kept > 0


def test_without_augmentation_boxes_only_follow_the_resize(split: CocoSplit) -> None:
    for image, (_, target) in zip(split.images, samples(split, augment=PLAIN), strict=True):
        boxes = torch.tensor([a.box for a in split.annotations[image.id]]).reshape(-1, 4)
        assert torch.allclose(torch.as_tensor(target["boxes"]), boxes * SIZE / 96, atol=1e-4)


def test_a_folder_with_crowds_masks_and_empty_images_loads(coco_folder: object) -> None:
    split = read_split(coco_folder.save())
    found = samples(split, copies=2)
    assert len(found) == 3 + 2 * 2
    assert all(image.shape == (3, SIZE, SIZE) for image, _ in found)
    assert [len(target["labels"]) for _, target in samples(split, augment=PLAIN)] == [2, 1, 0]


def test_evaluation_images_come_in_order_and_resized(shapes: tuple[CocoSplit, CocoSplit]) -> None:
    val = shapes[1]
    found = list(evaluation_batches(val, SIZE, batch_size=4))
    assert [record for records, _ in found for record in records] == list(val.images)
    assert [tuple(images.shape) for _, images in found] == [(4, 3, 64, 64), (2, 3, 64, 64)]
    assert all(images.dtype == torch.uint8 for _, images in found)
