"""SSD's augmentation with torchvision's transforms, on images and boxes together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from detectors.canvas import place
from searchspace.geometry import Canvas, InputSize, Size, canvas_of
from searchspace.training import Augment

Sample = tuple[Tensor, dict[str, Tensor]]
"""An image uint8 [3, H, W], and its target: tensors by name, one row per object."""

CLOSEST_CROP = 1 / 0.3
"""The factor by which the smallest crop of `RandomIoUCrop` enlarges its content."""

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean colour, which fills the frame around a zoomed-out image."""


def training_transform(augment: Augment, input_size: InputSize | Canvas) -> v2.Transform:
    """From a stored image and its target to the network's input (SSD, section 2.2).

    Takes and returns `(image, target)`: an `Image` of uint8 [3, H, W] and a dictionary of `boxes`
    (`BoundingBoxes`, [M, 4]), `labels`, `area` and `pasted` ([M]); objects that leave the image are
    removed from all four. Colours change after the resize, when there are fewer pixels. A mosaic is
    made before this transform.
    """
    canvas = canvas_of(input_size)
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
            _Place(canvas),
            _large_enough(least_side(augment, canvas)),
            *(colour if augment.photometric else ()),
        ]
    )


class _Place(v2.Transform):
    """Places images and their boxes on the network's input."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self.canvas = canvas

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return place(inpt, self.canvas)


def _large_enough(least: float) -> v2.Transform:
    """Removes objects below a shorter side in pixels, and those that a crop has emptied."""
    if least:
        return v2.SanitizeBoundingBoxes(min_size=least, labels_getter=_per_object)
    return _NotEmpty()


class _NotEmpty(v2.Transform):
    """Removes the objects that a crop has emptied; `SanitizeBoundingBoxes` removes all below a
    pixel, too."""

    def forward(self, *inputs: Any) -> Sample:
        image, target = inputs
        boxes = target["boxes"]
        kept = (boxes[:, 2:] > boxes[:, :2]).as_subclass(Tensor).all(-1)
        rest = {name: values[kept] for name, values in target.items() if name != "boxes"}
        return image, {"boxes": tv_tensors.wrap(boxes[kept], like=boxes), **rest}


def _per_object(inputs: tuple[Any, dict[str, Tensor]]) -> tuple[Tensor, ...]:
    return tuple(values for name, values in inputs[1].items() if name != "boxes")


def least_side(augment: Augment, canvas: Canvas) -> float:
    """The shorter side, in pixels of the input, below which an object is not trained on."""
    return max(1.0, augment.min_side * min(canvas.size)) if augment.min_side else 0.0


def evaluation_transform(input_size: InputSize | Canvas) -> Callable[[Tensor], Tensor]:
    """Places an image on the network's input."""
    return partial(place, canvas=canvas_of(input_size))


def box_tensor(boxes: Tensor, size: Size) -> tv_tensors.BoundingBoxes:
    """Boxes [G, 4] (xyxy, pixels) that transforms know as such; `size`: height and width."""
    # pyrefly: ignore[unexpected-keyword] (torchvision's `__new__` takes what torch's does not)
    return tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
