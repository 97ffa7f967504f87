"""torchvision's reference training: its models, the steps of its augmentation for SSD, its loader.

The loop is that of its reference script: losses are read at each step to see that they are finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import models, tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from detectors.data.dataset import Dataset

NEAR: dict[str, tuple[str, str]] = {
    "ssd300_vgg16": ("ssd300_vgg16", "the same network"),
    "ssdmnetv1_s1l0": ("ssdlite320_mobilenet_v3_large", "a lighter network without eliminations"),
    "gfl_r50": ("fcos_resnet50_fpn", "the same backbone and pyramid, a similar head"),
}
"""By our system, torchvision's nearest, and how near it is; it has no relative of YOLOX."""

MEAN = (123.0, 117.0, 104.0)
"""Colour around images that are zoomed out."""

MOMENTUM, DECAY, RATE = 0.9, 5e-4, 1e-4

Sample = tuple[Tensor, dict[str, Tensor]]


def augmentation() -> v2.Transform:
    """Colours, zoom-out, IoU crop and flip, as the reference augments for SSD."""
    fill: dict[type | str, tuple[float, ...]] = {tv_tensors.Image: MEAN, "others": (0.0,)}
    return v2.Compose(
        [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(0.5),
            v2.SanitizeBoundingBoxes(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )


class Samples(torch.utils.data.Dataset):
    """The images of a split, decoded and augmented when they are read."""

    def __init__(self, split: Dataset) -> None:
        self.split, self.transform = split, augmentation()

    def __len__(self) -> int:
        return len(self.split.images)

    def __getitem__(self, index: int) -> Sample:
        record = self.split.images[index]
        items = [a for a in self.split.annotations[record.id] if not a.iscrowd]
        boxes = torch.tensor([item.box for item in items]).reshape(-1, 4)
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(record.height, record.width)
            ),
            "labels": torch.tensor(
                [self.split.label_of(item.category_id) for item in items], dtype=torch.long
            ),
        }
        image = decode_image(str(record.path), ImageReadMode.RGB)
        return self.transform(tv_tensors.Image(image), target)


def together(samples: list[Sample]) -> tuple[tuple[Tensor, ...], tuple[dict[str, Tensor], ...]]:
    """Samples as the reference collates them: images have sizes of their own."""
    images, targets = zip(*samples, strict=True)
    return images, targets


class Theirs:
    """A training of torchvision's model on batches from files."""

    def __init__(
        self,
        name: str,
        split: Dataset,
        batch: int,
        precision: torch.dtype,
        device: torch.device,
        workers: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        """
        Args:
            size: shorter and longer side of the input, where the model has none of its own.
        """
        own = {} if size is None else {"min_size": min(size), "max_size": max(size)}
        classes = split.num_classes + 1
        make: Callable[..., torch.nn.Module] = models.get_model
        self.model = make(name, weights=None, weights_backbone=None, num_classes=classes, **own)
        self.model.to(device).train()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY
        )
        self.loader = DataLoader(
            Samples(split), batch, shuffle=True, num_workers=workers, collate_fn=together,
            drop_last=True, persistent_workers=workers > 0, pin_memory=device.type == "cuda",
        )  # fmt: skip
        self.device, self.precision = device, precision

    def turn(self) -> int:
        """An epoch; returns its number of images."""
        return sum(self._steps())

    def _steps(self) -> Iterator[int]:
        for images, targets in self.loader:
            self._step(
                [image.to(self.device) for image in images],
                [{key: value.to(self.device) for key, value in one.items()} for one in targets],
            )
            yield len(images)

    def _step(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> None:
        reduced = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=reduced):
            loss = sum(self.model(images, targets).values(), torch.zeros((), device=self.device))
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"the loss of {type(self.model).__name__} is {loss.item()}")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
