"""From a split to augmented training images: copy-paste, mosaic, seeds."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils import data
from torchvision import tv_tensors

from detectors.data.copy_paste import Paste, cut_outs, paint, plan_pastes
from detectors.data.dataset import Annotation, Dataset, ImageRecord
from detectors.data.ignored import blanked
from detectors.data.mixup import has_objects, mixup
from detectors.data.mosaic import mosaic
from detectors.data.pixels import Decoded, Pixels
from detectors.data.transforms import Sample, box_tensor, training_transform
from searchspace.errors import InputError
from searchspace.geometry import Canvas, InputSize, canvas_of
from searchspace.training import CopyPaste, TrainConfig


class TrainingSet(data.Dataset[Sample]):
    """Augmented training images of one epoch, followed by the additional images of copy-paste.

    Ignore regions of all classes are filled with the mean colour.

    A sample depends only on seed, epoch and index, not on the worker or the order of loading. Its
    target has `boxes`, `labels`, `area` (the annotation's, in square pixels of the original image)
    and `pasted` (bool).

    A single image is seen twice per epoch, with different augmentation, unless the batch size is 1:
    batch norm cannot use a single value, which is all that one image gives on a map of 1x1.

    Raises:
        ValueError: `copy_paste.source` is `mask`, but no small object has one.
    """

    def __init__(
        self,
        split: Dataset,
        config: TrainConfig,
        input_size: InputSize | Canvas,
        seed: int,
        pixels: Pixels | None = None,
    ) -> None:
        """
        Args:
            pixels: the source of the images; None decodes their files.
        """
        check_sources(split, config.copy_paste)
        self.split = split
        self.config = config
        canvas = canvas_of(input_size)
        self.mosaic = Canvas((max(canvas.size),) * 2, canvas.resize)
        self.seed = seed
        self.epoch = 0
        self._source = Decoded() if pixels is None else pixels
        self._transform = training_transform(config.augment, canvas)
        copies = [(r, c + 1) for c in range(config.copy_paste.copies) for r in split.images]
        # Only the first paste is planned here: an image without any is left out.
        filled = [(r, c) for r, c in copies if next(self._copy(r, c), None) is not None]
        self._entries = [(r, 0) for r in split.images] + filled
        if len(self._entries) == 1 and config.batch_size > 1:
            self._entries *= 2

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        stream = np.random.SeedSequence((self.seed, self.epoch, index))
        rng = np.random.default_rng(stream)
        augment = self.config.augment
        if self.config.is_plain(self.epoch) or rng.random() >= augment.mosaic:
            image, target = self._stored(index, rng)
        else:
            chosen = (index, *rng.integers(len(self), size=3).tolist())
            four = [self._stored(number, rng) for number in chosen]
            image, target = self._mixed(mosaic(four, self.mosaic, augment, rng), rng)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream.generate_state(1)[0]))
            image, target = self._transform(image, target)
        return image.as_subclass(Tensor), target

    def _mixed(self, made: Sample, rng: np.random.Generator) -> Sample:
        """A mosaic, perhaps mixed with another image that has objects."""
        augment = self.config.augment
        if not augment.mixup or rng.random() >= augment.mixup:
            return made
        if not (has_objects(made) and self._with_objects):
            return made
        other = self._with_objects[int(rng.integers(len(self._with_objects)))]
        return mixup(made, self._stored(other, rng), self.mosaic, augment.mixup_scale, rng)

    @functools.cached_property
    def _with_objects(self) -> list[int]:
        """The images that have objects."""
        return [k for k, (record, _) in enumerate(self._entries) if self._objects(record)]

    def _stored(self, index: int, rng: np.random.Generator) -> Sample:
        """An image and its target before any transform, pastes included."""
        record, copy = self._entries[index]
        pastes: list[Paste] = []
        if copy:
            pastes = list(self._copy(record, copy))
        elif rng.random() < self.config.copy_paste.probability:
            pastes = list(self._pastes(record, rng))
        image = blanked(self._source.get(record), self.split.annotations[record.id])
        image = paint(image, pastes) if pastes else image
        return tv_tensors.Image(image), self._target(record, pastes)

    def _target(self, record: ImageRecord, pastes: Sequence[Paste]) -> dict[str, Tensor]:
        objects = self._objects(record)
        labels = [self.split.label_of(a.category_id) for a in objects]
        boxes = [a.box for a in objects] + [p.box for p in pastes]
        area = [a.area for a in objects] + [p.area for p in pastes]
        return {
            "boxes": box_tensor(
                torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                (record.height, record.width),
            ),
            "labels": torch.tensor(labels + [labels[p.cutout.index] for p in pastes]).long(),
            "area": torch.tensor(area, dtype=torch.float32),
            "pasted": torch.arange(len(boxes)) >= len(objects),
        }

    def _objects(self, record: ImageRecord) -> list[Annotation]:
        return [a for a in self.split.annotations[record.id] if not a.iscrowd]

    def _copy(self, record: ImageRecord, number: int) -> Iterator[Paste]:
        """The pastes of an additional image, numbered from 1; the same in every epoch."""
        return self._pastes(record, np.random.default_rng((self.seed, 0, record.id, number)))

    def _pastes(self, record: ImageRecord, rng: np.random.Generator) -> Iterator[Paste]:
        size, config = (record.height, record.width), self.config.copy_paste
        cutouts = cut_outs(self._objects(record), *size, config)
        occupied = np.array([a.box for a in self.split.annotations[record.id]]).reshape(-1, 4)
        return plan_pastes(cutouts, occupied, size, config, rng)


def check_sources(split: Dataset, config: CopyPaste) -> None:
    """Raise `ValueError` if objects are to be pasted by masks, but no small object has one."""
    if config.source != "mask" or not config.active:
        return
    small = [
        item
        for items in split.annotations.values()
        for item in items
        if item.area < config.max_area and not item.iscrowd
    ]
    if small and all(item.segmentation is None for item in small):
        raise InputError(
            f"train.copy_paste.source 'mask': none of the {len(small)} small objects of the "
            "training data has a mask; set it to 'box' or 'mask_or_box', or copies and "
            "probability to 0"
        )
