"""Batches of a split, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.images import load_image
from detectors.data.pixels import Pixels
from detectors.data.samples import TrainingSet
from detectors.data.transforms import Sample, evaluation_transform
from searchspace.geometry import Canvas, InputSize
from searchspace.training import TrainConfig


@dataclass(frozen=True)
class Batch:
    """The input of a training step.

    Attributes:
        images: uint8 [N, 3, H, W].
        targets: in torchvision's format, with boxes [M, 4] in pixels of the input.
    """

    images: Tensor
    targets: list[dict[str, Tensor]]


class TrainingLoader:
    """Shuffled batches, the same for the same seed and epoch."""

    def __init__(
        self,
        split: Dataset,
        config: TrainConfig,
        input_size: InputSize | Canvas,
        seed: int,
        workers: int = 0,
        pixels: Pixels | None = None,
    ) -> None:
        self.samples = TrainingSet(split, config, input_size, seed, pixels)
        self.batch_size = min(config.batch_size, len(self.samples))
        self.workers = workers

    def __len__(self) -> int:
        return len(self.samples) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, without an incomplete last one."""
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
    split: Dataset, input_size: InputSize | Canvas, batch_size: int
) -> Iterator[tuple[list[ImageRecord], Tensor]]:
    """The split's images in order, on the network's input, as uint8 batches [N, 3, H, W]."""
    place = evaluation_transform(input_size)
    for start in range(0, len(split.images), batch_size):
        records = list(split.images[start : start + batch_size])
        images = [place(load_image(r.path, r.width, r.height)) for r in records]
        yield records, torch.stack(images)


def _collate(samples: list[Sample]) -> Batch:
    return Batch(torch.stack([image for image, _ in samples]), [target for _, target in samples])
