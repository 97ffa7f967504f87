"""A contact sheet of augmented training images, to look at before training on them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional
from torchvision.utils import draw_bounding_boxes, make_grid

from detectors.data.dataset import Dataset
from detectors.data.samples import Sample, TrainingSet
from detectors.detector import SMALL_AREA
from searchspace.geometry import Canvas, InputSize
from searchspace.training import TrainConfig

PASTED, SMALL, OTHER = "magenta", "orange", "lime"
"""The colours of boxes: pasted ones, other small ones by the original annotation, the rest."""

LEAST_SIDE = 320
"""Smaller images are enlarged by a whole factor to at least so many pixels a side."""


def contact_sheet(
    split: Dataset,
    config: TrainConfig,
    input_size: InputSize | Canvas,
    count: int,
    seed: int = 0,
) -> Tensor:
    """Training images of the first epoch as the network gets them, with boxes and class names.

    Args:
        count: how many, drawn from all of the epoch, further images of copy-paste included.

    Returns:
        uint8 [3, H, W].
    """
    samples = TrainingSet(split, config, input_size, seed)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    names = [category.name for category in split.categories]
    tiles = [_drawn(samples.sample(int(index)), names) for index in order[:count]]
    return make_grid(tiles, nrow=math.ceil(math.sqrt(len(tiles))), padding=4, pad_value=255)


def _drawn(sample: Sample, names: list[str]) -> Tensor:
    """An image with its objects, enlarged so that their names can be read."""
    image, target = sample
    height, width = image.shape[-2:]
    factor = math.ceil(LEAST_SIDE / min(height, width))
    image = functional.resize(
        image, [factor * height, factor * width], functional.InterpolationMode.NEAREST_EXACT
    )
    if not len(target["labels"]):
        return image
    return draw_bounding_boxes(
        image,
        target["boxes"] * factor,
        labels=[names[label - 1] for label in target["labels"].tolist()],
        colors=_colours(target),
        width=2,
    )


def _colours(target: dict[str, Tensor]) -> list[str | tuple[int, int, int]]:
    flags = zip(target["pasted"].tolist(), (target["area"] < SMALL_AREA).tolist(), strict=True)
    return [PASTED if pasted else SMALL if small else OTHER for pasted, small in flags]
