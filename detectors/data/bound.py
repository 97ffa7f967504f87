"""How large training images have to be kept: what a recipe can ever need of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detectors.data.pixels import WHOLE, Form, Reduced
from detectors.data.records import ImageRecord
from detectors.data.transforms import CLOSEST_CROP
from searchspace.geometry import Canvas
from searchspace.training import TrainConfig

LEAST_BOUND = 1024
"""Pixels of a side to which images are never reduced: those of this size are small to keep, and
recipes on small inputs then share one copy."""


def training_form(images: Sequence[ImageRecord], config: TrainConfig, canvas: Canvas) -> Form:
    """The form in which a recipe needs the images of a split: whole, unless some are so large that
    no crop of them is ever seen at their full size. Images that are cut into tiles stay whole."""
    if canvas.tiles is not None:
        return WHOLE
    form = Reduced(needed(config, canvas))
    sizes = {(image.height, image.width) for image in images}
    return WHOLE if all(form.size(size) == size for size in sizes) else form


def needed(config: TrainConfig, canvas: Canvas) -> Canvas:
    """The canvas on which a whole image has at least the pixels that any part of it ever gets.

    Sides are rounded up to powers of two, so that recipes of similar needs share a copy.
    """
    augment, pasting = config.augment, config.copy_paste
    factor = config.multi_scale.largest
    size = canvas.size
    if augment.crop:
        factor *= CLOSEST_CROP
    if augment.mosaic:
        size = (max(size),) * 2
        mixup = augment.mixup_scale[1] if augment.mixup else 1.0
        factor *= max(1.0, augment.mosaic_scale[1], mixup)
        factor *= 1 + math.tan(math.radians(augment.mosaic_shear))
    if pasting.active:
        factor *= 1 + pasting.scale_jitter
    height, width = (max(LEAST_BOUND, _power_of_two(factor * side)) for side in size)
    return Canvas((height, width), canvas.resize)


def _power_of_two(side: float) -> int:
    return 1 << math.ceil(math.log2(side) - 1e-9)
