"""From a read split to batches: caching, copy-paste, augmentation, seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools.coco import COCO
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from detectors.data.coco import Annotation, CocoSplit, ImageRecord
from detectors.data.copy_paste import cut_out, paste
from detectors.data.images import load_image
from detectors.data.transforms import evaluation_transform, training_transform
from detectors.detector import SMALL_AREA
from searchspace.geometry import InputSize
from searchspace.training import TrainConfig

CACHE_BYTES = 1 << 30

Sample = tuple[Tensor, dict[str, Tensor]]


class ImageCache:
    """Decoded images of a split, kept as long as they fit into `CACHE_BYTES`."""

    def __init__(self) -> None:
        self._images: dict[int, Tensor] = {}
        self._bytes = 0

    def get(self, record: ImageRecord) -> Tensor:
        """uint8 [3, H, W]; callers must not write into it."""
        image = self._images.get(record.id)
        if image is None:
            image = load_image(record.path, record.width, record.height)
            if self._bytes + image.numel() <= CACHE_BYTES:
                self._images[record.id] = image
                self._bytes += image.numel()
        return image


class TrainingSet(Dataset[Sample]):
    """Augmented training images of one epoch, small objects pasted again where asked for.

    A sample depends on seed, epoch and index alone, whoever loads it and in whatever order.
    """

    def __init__(
        self, split: CocoSplit, config: TrainConfig, input_size: InputSize, seed: int
    ) -> None:
        self.split = split
        self.config = config
        self.seed = seed
        self.epoch = 0
        self._cache = ImageCache()
        self._transform = training_transform(config.augment, input_size)
        # Only pasting asks for masks; an index of a large set is not built in vain.
        self._masks = split.ground_truth() if config.copy_paste.copies else None
        copied = [r for r in split.images if self._small(r)] * config.copy_paste.copies
        self._entries = [(r, False) for r in split.images] + [(r, True) for r in copied]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        record, pasted = self._entries[index]
        stream = np.random.SeedSequence((self.seed, self.epoch, index))
        image = self._cache.get(record)
        annotations = [a for a in self.split.annotations[record.id] if not a.iscrowd]
        boxes = torch.tensor([a.box for a in annotations], dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([self.split.label_of(a.category_id) for a in annotations]).long()
        area = torch.tensor([a.area for a in annotations], dtype=torch.float32)
        if pasted:
            image, new, sources = self._paste(record, image, np.random.default_rng(stream))
            boxes = torch.cat((boxes, new))
            labels, area = (torch.cat((x, x[sources])) for x in (labels, area))
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(record.height, record.width)
            ),
            "labels": labels,
            "area": area,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(stream.generate_state(1)[0]))
            image, target = self._transform(tv_tensors.Image(image), target)
        return image.as_subclass(Tensor), target

    def _small(self, record: ImageRecord) -> list[tuple[int, Annotation]]:
        """The image's small objects, with their index among those that are no crowd."""
        objects = [a for a in self.split.annotations[record.id] if not a.iscrowd]
        return [(i, a) for i, a in enumerate(objects) if a.area < SMALL_AREA]

    def _paste(
        self, record: ImageRecord, image: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[int]]:
        cutouts = [
            cut_out(image, a.box, index, _mask(self._masks, a)) for index, a in self._small(record)
        ]
        everything = [a.box for a in self.split.annotations[record.id]]
        return paste(
            image,
            [c for c in cutouts if c is not None],
            torch.tensor(everything, dtype=torch.float32).reshape(-1, 4),
            self.config.copy_paste.pastes,
            rng,
        )


@dataclass(frozen=True)
class Batch:
    """What a training step is given.

    Attributes:
        images: uint8 [N, 3, H, W].
        targets: torchvision's, with boxes in pixels of the input.
    """

    images: Tensor
    targets: list[dict[str, Tensor]]


class TrainingLoader:
    """Shuffled batches, the same for the same seed and epoch."""

    def __init__(
        self,
        split: CocoSplit,
        config: TrainConfig,
        input_size: InputSize,
        seed: int,
        workers: int = 0,
    ) -> None:
        self.samples = TrainingSet(split, config, input_size, seed)
        self.batch_size = min(config.batch_size, len(self.samples))
        self.workers = workers

    def __len__(self) -> int:
        return len(self.samples) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; a last incomplete one is left out."""
        self.samples.epoch = number
        order = torch.Generator().manual_seed(self.samples.seed * 100_003 + number)
        yield from DataLoader(
            self.samples,
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=True,
            generator=order,
            num_workers=self.workers,
            collate_fn=_collate,
        )


def evaluation_batches(
    split: CocoSplit, input_size: InputSize, batch_size: int
) -> Iterator[tuple[list[ImageRecord], Tensor]]:
    """The split's images in order, resized, as uint8 batches [N, 3, H, W]."""
    resize = evaluation_transform(input_size)
    for start in range(0, len(split.images), batch_size):
        records = list(split.images[start : start + batch_size])
        images = [resize(load_image(r.path, r.width, r.height)) for r in records]
        yield records, torch.stack(images)


def _collate(samples: list[Sample]) -> Batch:
    return Batch(torch.stack([image for image, _ in samples]), [target for _, target in samples])


def _mask(coco: COCO, annotation: Annotation) -> Tensor | None:
    if annotation.segmentation is None:
        return None
    return torch.from_numpy(coco.annToMask(coco.anns[annotation.id])).bool()
