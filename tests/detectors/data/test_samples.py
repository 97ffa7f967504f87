from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.reading import read_split
from detectors.data.samples import Sample, TrainingSet
from searchspace.augmentation import Augment, CopyPaste
from searchspace.training import TrainConfig

SIZE = 64
SIDE = 96
"""Of the stored images."""
STOCK = Augment()
PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
SMALL_AREA = 32**2
LARGEST = 1400


def training_set(
    split: Dataset,
    seed: int = 0,
    augment: Augment = STOCK,
    epochs: int = 100,
    plain_epochs: int = 0,
    **copy_paste: object,
) -> TrainingSet:
    config = TrainConfig(
        augment=augment,
        epochs=epochs,
        plain_epochs=plain_epochs,
        copy_paste=CopyPaste(**copy_paste),
    )
    return TrainingSet(split, config, SIZE, seed)


def samples(split: Dataset, epoch: int = 0, **fields: object) -> list[Sample]:
    """All samples of an epoch in the order of their index."""
    dataset = training_set(split, **fields)
    return [dataset.sample(index, epoch) for index in range(len(dataset))]


def equal(first: Sample, second: Sample) -> bool:
    return torch.equal(first[0], second[0]) and all(
        torch.equal(first[1][key], second[1][key]) for key in first[1]
    )


@pytest.fixture(scope="session")
def split(shapes: tuple[Dataset, Dataset]) -> Dataset:
    """The training images with room to paste: their largest objects are not annotated.

    Every object has an area of its own that tells its label.
    """
    train = shapes[0]
    number = 0
    annotations = {}
    for image, items in train.annotations.items():
        marked = []
        for item in (item for item in items if item.area < LARGEST):
            number += 1
            small = item.area < SMALL_AREA
            area = 10 * number + (0 if small else 10_000) + train.label_of(item.category_id)
            marked.append(replace(item, area=float(area)))
        annotations[image] = tuple(marked)
    return replace(train, annotations=annotations)


def with_small(split: Dataset) -> list[int]:
    """The images that have a small object."""
    return [
        image.id
        for image in split.images
        if any(a.area < SMALL_AREA and not a.iscrowd for a in split.annotations[image.id])
    ]


def crowded(split: Dataset) -> Dataset:
    """The split with a crowd region over each image but the first that has a small object."""
    spared = with_small(split)[0]
    annotations = {
        image: items
        + tuple(
            replace(a, id=a.id + 1000, iscrowd=True, box=(0.0, 0.0, 96.0, 96.0), segmentation=None)
            for a in items[:1]
            if image != spared
        )
        for image, items in split.annotations.items()
    }
    return replace(split, annotations=annotations)


def test_a_sample_does_not_depend_on_who_asks_or_when(split: Dataset) -> None:
    recipe = {"copies": 2, "probability": 0.5, "seed": 3, "augment": Augment(mosaic=0.5)}
    dataset = training_set(split, **recipe)
    forwards = [dataset.sample(index, 5) for index in range(len(dataset))]
    backwards = [dataset.sample(index, 5) for index in reversed(range(len(dataset)))][::-1]
    torch.manual_seed(9)
    assert all(equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    state = torch.random.get_rng_state()
    fresh = training_set(split, **recipe)
    assert equal(fresh.sample(2, 5), forwards[2])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_copies_add_entries_for_images_with_small_objects(split: Dataset, copies: int) -> None:
    images = with_small(split)
    assert images
    found = samples(split, copies=copies, augment=PLAIN)
    count = len(split.images)
    assert len(found) == count + copies * len(images)
    originals = {image.id: found[k] for k, image in enumerate(split.images)}
    assert not any(target["pasted"].any() for _, target in found[:count])
    for number, (pixels, target) in enumerate(found[count:]):
        image, before = originals[images[number % len(images)]]
        known = len(before["labels"])
        assert target["pasted"].tolist() == [k >= known for k in range(len(target["labels"]))]
        assert target["pasted"].any()
        for key in ("boxes", "labels", "area"):
            assert torch.equal(target[key][:known], before[key])
        assert set(target["labels"][known:].tolist()) <= set(before["labels"].tolist())
        assert not torch.equal(pixels, image)


def test_copies_are_the_same_in_every_epoch_and_differ_by_seed(split: Dataset) -> None:
    first, later, other = (
        samples(split, copies=2, augment=PLAIN, **fields)[len(split.images) :]
        for fields in ({}, {"epoch": 7}, {"seed": 1})
    )
    assert all(equal(a, b) for a, b in zip(first, later, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))
    half = len(first) // 2
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first[:half], first[half:], strict=True))


def test_a_copy_without_a_paste_is_left_out(split: Dataset) -> None:
    found = samples(crowded(split), copies=2, augment=PLAIN)
    assert len(found) == len(split.images) + 2
    plain = samples(split, augment=PLAIN)
    assert all(equal(a, b) for a, b in zip(found, plain, strict=False))
    assert all(target["pasted"].any() for _, target in found[len(split.images) :])


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_online_form_pastes_into_originals(split: Dataset, probability: float) -> None:
    plain = dict(zip([r.id for r in split.images], samples(split, augment=PLAIN), strict=True))
    pasted, layouts = 0, set()
    for epoch in range(5):
        found = samples(split, epoch, augment=PLAIN, probability=probability)
        for (image, before), (pixels, target) in zip(plain.items(), found, strict=True):
            assert torch.equal(pixels, before[0]) == (not target["pasted"].any())
            assert (image in with_small(split)) or not target["pasted"].any()
            pasted += int(target["pasted"].any())
            layouts.add(tuple(target["boxes"].flatten().tolist()))
    share = pasted / (5 * len(with_small(split)))
    assert share == pytest.approx(probability, abs=0.2 if 0 < probability < 1 else 0)
    assert len(layouts) == pytest.approx(pasted + len(split.images), abs=len(split.images))


def test_ignore_regions_are_not_objects_and_are_not_pasted_upon(split: Dataset) -> None:
    found = samples(crowded(split), augment=PLAIN, probability=1)
    expected = samples(split, augment=PLAIN)
    spared = split.images.index(next(r for r in split.images if r.id == with_small(split)[0]))
    for number, (sample, original) in enumerate(zip(found, expected, strict=True)):
        assert equal(sample, original) == (number != spared)


@pytest.mark.parametrize(
    "augment",
    [STOCK, Augment(zoom_out=1), Augment(crop=1), PLAIN, Augment(mosaic=1, crop=0, zoom_out=0)],
)
def test_objects_stay_whole_whatever_is_dropped(split: Dataset, augment: Augment) -> None:
    known = {a.area for items in split.annotations.values() for a in items}
    uniform = {"source": "box", "scale_jitter": 0}  # pastes have their source's area
    kept = 0
    for epoch in range(2):
        for image, target in samples(split, epoch, copies=1, augment=augment, **uniform):
            assert image.shape == (3, SIZE, SIZE)
            assert image.dtype == torch.uint8
            boxes, labels = target["boxes"], target["labels"]
            area = [round(value, 2) for value in target["area"].tolist()]
            assert {len(values) for values in target.values()} == {len(labels)}
            assert (boxes >= 0).all()
            assert (boxes <= SIZE).all()
            assert ((boxes[:, 2:] - boxes[:, :2]) >= 1 - 1e-4).all()
            assert labels.tolist() == [int(value) % 10 for value in area]
            assert set(area) <= known
            kept += len(labels)
    assert kept > 0


def test_without_augmentation_boxes_only_follow_the_resize(split: Dataset) -> None:
    for image, (_, target) in zip(split.images, samples(split, augment=PLAIN), strict=True):
        boxes = torch.tensor([a.box for a in split.annotations[image.id]]).reshape(-1, 4)
        assert torch.allclose(torch.as_tensor(target["boxes"]), boxes * SIZE / SIDE, atol=1e-4)


def test_mosaic_stops_for_the_last_epochs(split: Dataset) -> None:
    recipe = {"augment": PLAIN.model_copy(update={"mosaic": 1.0}), "epochs": 5, "plain_epochs": 2}
    plain = samples(split, augment=PLAIN)
    for epoch in range(5):
        found = samples(split, epoch, **recipe)
        same = [equal(a, b) for a, b in zip(found, plain, strict=True)]
        assert same == [epoch >= 3] * len(plain)


def test_mosaic_is_made_with_its_probability(split: Dataset) -> None:
    plain = samples(split, augment=PLAIN)
    recipe = PLAIN.model_copy(update={"mosaic": 0.4})
    made = [
        not torch.equal(a[0], b[0])
        for epoch in range(8)
        for a, b in zip(samples(split, epoch, augment=recipe), plain, strict=True)
    ]
    assert sum(made) / len(made) == pytest.approx(0.4, abs=0.15)


def test_data_without_masks_refuse_pasting_by_masks(split: Dataset) -> None:
    boxes_only = replace(
        split,
        annotations={
            image: tuple(replace(a, segmentation=None) for a in items)
            for image, items in split.annotations.items()
        },
    )
    for form in ({"copies": 1}, {"probability": 0.5}):
        with pytest.raises(ValueError, match=r"source 'mask': none of .* set it to 'box'"):
            training_set(boxes_only, source="mask", **form)
        training_set(boxes_only, source="box", **form)
        training_set(split, source="mask", **form)
    training_set(boxes_only, source="mask")
    assert len(training_set(boxes_only, copies=1)) > len(split.images)


def test_a_folder_with_ignore_regions_masks_and_empty_images_loads(coco_folder: object) -> None:
    split = read_split(coco_folder.save())
    # The third image has no object, and in the second a crowd region covers everything.
    found = samples(split, copies=2)
    assert len(found) == 3 + 2
    assert all(image.shape == (3, SIZE, SIZE) for image, _ in found)
    assert [len(target["labels"]) for _, target in samples(split, augment=PLAIN)] == [2, 1, 0]
    empty: dict[str, Tensor] = samples(split, augment=PLAIN)[2][1]
    assert empty["boxes"].shape == (0, 4)
    mosaics = samples(split, augment=Augment(mosaic=1))
    assert all(image.shape == (3, SIZE, SIZE) for image, _ in mosaics)
