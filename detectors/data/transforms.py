"""SSD's augmentation with torchvision's transforms, on images and boxes together."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from searchspace.geometry import InputSize, Size, both_axes
from searchspace.training import Augment

Sample = tuple[Tensor, dict[str, Tensor]]
"""An image uint8 [3, H, W], and its target: tensors by name, one row per object."""

MIN_SIDE = 0.01
"""A box is dropped if its shorter side is below this fraction of the input's, or below a pixel."""


CLOSEST_CROP = 1 / 0.3
"""The factor by which the smallest crop of `RandomIoUCrop` enlarges its content."""

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean colour, which fills the frame around a zoomed-out image."""


def training_transform(augment: Augment, input_size: InputSize) -> v2.Transform:
    """From a stored image and its target to the network's input (SSD, section 2.2).

    Takes and returns `(image, target)`: an `Image` of uint8 [3, H, W] and a dictionary of `boxes`
    (`BoundingBoxes`, [M, 4]), `labels`, `area` and `pasted` ([M]); objects that leave the image are
    removed from all four. Colours change after the resize, when there are fewer pixels. A mosaic is
    made before this transform.
    """
    size = both_axes(input_size)
    geometry: list[v2.Transform] = []
    if augment.zoom_out:
        geometry.append(
            v2.RandomZoomOut(
                fill=MEAN_COLOUR, side_range=(1.0, augment.max_zoom), p=augment.zoom_out
            )
        )
    if augment.crop:
        geometry.append(v2.RandomApply([v2.RandomIoUCrop()], p=augment.crop))
    colour = [v2.RandomApply([v2.RandomPhotometricDistort()], p=augment.photometric)]
    return v2.Compose(
        [
            *geometry,
            v2.RandomHorizontalFlip(augment.flip),
            v2.Resize(size),
            v2.SanitizeBoundingBoxes(min_size=least_side(input_size), labels_getter=_per_object),
            *(colour if augment.photometric else ()),
        ]
    )


def least_side(input_size: InputSize) -> float:
    """The shorter side, in pixels of the input, below which an object is not trained on."""
    return max(1.0, MIN_SIDE * min(both_axes(input_size)))


def evaluation_transform(input_size: InputSize) -> v2.Transform:
    """Resize to the network's input."""
    return v2.Resize(both_axes(input_size))


def _per_object(inputs: tuple[Any, dict[str, Tensor]]) -> tuple[Tensor, ...]:
    return tuple(values for name, values in inputs[1].items() if name != "boxes")


def box_tensor(boxes: Tensor, size: Size) -> tv_tensors.BoundingBoxes:
    """Boxes [G, 4] (xyxy, pixels) that transforms know as such; `size`: height and width."""
    # pyrefly: ignore[unexpected-keyword] (torchvision's `__new__` takes what torch's does not)
    return tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
