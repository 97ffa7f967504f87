"""What is done to the images of a training: augmentation, copy-paste, further input sizes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from searchspace.config import Added, Config
from searchspace.domains import Choice
from searchspace.errors import InputError
from searchspace.geometry import InputSize, both_axes, one_if_equal
from searchspace.words import TIMES, joined, percent

Factor = Annotated[float, Field(gt=0)]

SIZE_STEP = 32
"""Pixels between the input sizes of multi-scale training: the coarsest stride of most heads."""


class Augment(Config):
    """The augmentation: probabilities of each part, in the order applied.

    All but `mosaic` is SSD's (section 2.2). Whatever happens to an image, an object keeps the area
    of its original annotation, which decides whether it is small.

    Attributes:
        mosaic: four images that meet at a random point (YOLOX, section 2.1).
        mosaic_scale: range of the factor by which the four are scaled, relative to the input size.
        mosaic_rotation: degrees by which a mosaic is turned at most, either way.
        mosaic_shear: degrees by which it is sheared at most, along each axis.
        mosaic_translation: the most that it is shifted along each axis, as a share of the side.
        mixup: another image laid half transparent over a mosaic (YOLOX, section 2.1).
        mixup_scale: range of the factor by which that image is scaled.
        photometric: colours; then brightness, contrast, saturation, hue and the order of channels
            each change with probability 0.5. SSD's own rate is 1.
        zoom_out: shrink onto a canvas of up to `max_zoom` times the side.
        crop: a random crop that keeps a minimal overlap with some object: 0.1, 0.3, 0.5, 0.7, 0.9,
            any, or no crop after all, each as likely. SSD's own rate is 1.
        flip: mirror horizontally.
        min_side: an object whose shorter side is below this share of the input's shorter side, or
            below a pixel, is not trained on; 0 keeps all.
    """

    mosaic: float = Field(default=0.0, ge=0, le=1)
    mosaic_scale: tuple[Factor, Factor] = (0.5, 1.5)
    mosaic_rotation: Annotated[float, Added(), Field(ge=0, le=180)] = 0.0
    mosaic_shear: Annotated[float, Added(), Field(ge=0, lt=45)] = 0.0
    mosaic_translation: Annotated[float, Added(), Field(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Added(), Field(ge=0, le=1)] = 0.0
    mixup_scale: Annotated[tuple[Factor, Factor], Added()] = (0.5, 1.5)
    photometric: float = Field(default=0.5, ge=0, le=1)
    zoom_out: float = Field(default=0.5, ge=0, le=1)
    max_zoom: float = Field(default=4.0, ge=1)
    crop: float = Field(default=0.85, ge=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    min_side: Annotated[float, Added(), Field(ge=0, lt=1)] = 0.01

    def in_words(self) -> str:
        """The mosaic and its mixup; the rest is what nearly every training has."""
        if not self.mosaic:
            return ""
        mixup = f" with mixup {percent(self.mixup)}" if self.mixup else ""
        return f"mosaic {percent(self.mosaic)}{mixup}"

    @model_validator(mode="after")
    def _are_ranges(self) -> Augment:
        for name in ("mosaic_scale", "mixup_scale"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] is not a range; write [{high}, {low}]")
        return self


class CopyPaste(Config):
    """Copy-paste of small objects: copies are pasted at random where there is no object (Kisantal
    et al. 2019; Manaiev 2022).

    There are two variants. `copies` adds images to the set, whose pastes are drawn once per seed
    and are the same in every epoch, as if they were stored; the original images are kept. With
    `probability`, an original image gets new pastes each time it is read.

    An object is pasted if it is not an ignore region, its annotated area is below `max_area`, and
    it is whole: a mask must be a single polygon, or one connected region of a run-length encoding.
    Manaiev's augmented data are one copy, one paste of each object, by masks.

    Attributes:
        copies: additional images for each image with small objects; one without any paste is left
            out.
        pastes: number of pastes of each small object in an image.
        probability: probability of pasting into an original image.
        source: the pixels of a paste. `mask`: the mask's pixels; objects without a mask are never
            pasted, and data without masks of small objects are rejected. `box`: all pixels of the
            box. `mask_or_box`: the mask if the annotation has one, otherwise the box.
        max_area: in square pixels of the original image.
        scale_jitter: each paste is scaled by a factor from 1 - `scale_jitter` to
            1 + `scale_jitter`.
        rotation: each paste is rotated by up to this many degrees either way. Pastes cut out by
            their box are not: the rotated box would not be tight around the object.
    """

    copies: Annotated[int, Choice(0, 1, 2, 3), Field(ge=0, le=3)] = 0
    pastes: int = Field(default=1, ge=1, le=3)
    probability: float = Field(default=0.0, ge=0, le=1)
    source: Literal["mask", "box", "mask_or_box"] = "mask_or_box"
    max_area: float = Field(default=1024.0, gt=0)
    scale_jitter: float = Field(default=0.2, ge=0, lt=1)
    rotation: float = Field(default=15.0, ge=0, le=180)

    @property
    def active(self) -> bool:
        """Whether anything is pasted at all."""
        return self.copies > 0 or self.probability > 0

    def in_words(self) -> str:
        """The settings that differ from the default, in words."""
        if not self.active:
            return ""
        stock = CopyPaste()
        jitter = (self.scale_jitter, self.rotation)
        return joined(
            f"copy-paste {self.copies}{TIMES}" if self.copies else "",
            f"online copy-paste {percent(self.probability)}" if self.probability else "",
            f"{self.pastes} pastes an object" if self.pastes > 1 else "",
            f"pasted by {self.source}" if self.source != stock.source else "",
            f"pasted below {self.max_area:g} px\N{SUPERSCRIPT TWO}"
            if self.max_area != stock.max_area
            else "",
            f"paste jitter {percent(self.scale_jitter)}, {self.rotation:g}\N{DEGREE SIGN}"
            if jitter != (stock.scale_jitter, stock.rotation)
            else "",
        )


class MultiScale(Config):
    """Training on several input sizes: every few steps, batches are made at another one.

    The sizes are the detector's input size and those whose shorter side differs from it by a
    multiple of 32 pixels; the longer side keeps the aspect ratio, rounded to such steps. All sizes
    share the weights and have their own priors or points; priors keep their sizes in pixels. A size
    at which the detector would have different layers is rejected.

    Attributes:
        smallest: the smallest factor on the input size.
        largest: the largest factor; with both at 1 there is one size.
        every: steps between draws of a size.
    """

    smallest: float = Field(default=1.0, gt=0, le=1)
    largest: float = Field(default=1.0, ge=1)
    every: int = Field(default=10, ge=1)

    @property
    def active(self) -> bool:
        """Whether there is more than one size."""
        return self.smallest < self.largest

    def in_words(self) -> str:
        if not self.active:
            return ""
        return f"input sizes {self.smallest:.3g} to {self.largest:.3g}{TIMES}"

    def sizes(self, input_size: InputSize) -> tuple[InputSize, ...]:
        """The input sizes that are drawn from, ascending; `input_size` is one of them.

        Raises:
            InputError: the range holds no other size.
        """
        sides = both_axes(input_size)
        shorter = min(sides)
        below = int(shorter * (1 - self.smallest) / SIZE_STEP + 1e-9)
        above = int(shorter * (self.largest - 1) / SIZE_STEP + 1e-9)
        if not (below or above) and self.smallest < self.largest:
            least = SIZE_STEP / shorter
            raise InputError(
                f"train.multi_scale: from {self.smallest:g} to {self.largest:g} times {shorter} "
                f"pixels there is no other size, as sizes differ by {SIZE_STEP}; set smallest to "
                f"{1 - least:.3f} or less, largest to {1 + least:.3f} or more, or both to 1"
            )
        height, width = (
            [side + SIZE_STEP * round(k * side / shorter) for k in range(-below, above + 1)]
            for side in sides
        )
        return tuple(map(one_if_equal, zip(height, width, strict=True)))
