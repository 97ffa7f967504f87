"""`TrainConfig`: how a detector is trained, and on what images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from searchspace.distillation import PARENT, Distillation, NoDistillation
from searchspace.domains import Choice, Fixed, FloatRange
from searchspace.space import Config


class Augment(Config):
    """SSD's augmentation (section 2.2): probabilities of each part, in the order applied.

    Attributes:
        photometric: brightness, contrast, saturation, hue.
        zoom_out: shrink onto a canvas of up to `max_zoom` times the side.
        crop: a random crop that keeps a minimal overlap with some object.
        flip: mirror horizontally.
    """

    photometric: float = Field(default=0.5, ge=0, le=1)
    zoom_out: float = Field(default=0.5, ge=0, le=1)
    max_zoom: float = Field(default=4.0, ge=1)
    crop: float = Field(default=0.85, ge=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)


class CopyPaste(Config):
    """Copy-paste of small objects: every image that has some yields `copies` further images.

    Attributes:
        copies: further images an epoch for each image with small objects.
        pastes: how often each small object is pasted into a further image.
    """

    copies: Annotated[int, Choice(0, 1, 2, 3), Field(ge=0, le=3)] = 0
    pastes: int = Field(default=1, ge=1, le=3)


class TrainConfig(Config):
    """Gradient descent with warm-up and a cosine to zero.

    Attributes:
        optimizer: `sgd` with `momentum` is what the papers use; `adamw` gets further in few steps.
        weights: what the backbone starts from: nothing, the backbone trained on generated shapes
            that ships with the package, or torchvision's ImageNet weights, which it downloads.
        warmup_epochs: linear warm-up, in epochs.
        small_object_weight: factor on the losses of priors matched to objects that are small by
            their original annotation area (< 32^2 pixels).
        precision: `auto` is bfloat16 autocast on GPUs and on CPUs that have it in hardware, for
            networks of dense convolutions; float32 otherwise.
        max_gradient: gradients are clipped to this norm.
        distillation: a saved detector that teaches. A space that names none does not search it.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_epochs: float = Field(default=1.0, ge=0)
    max_gradient: float = Field(default=10.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    weights: Literal["none", "shapes", "imagenet"] = "none"
    augment: Augment = Augment()
    copy_paste: CopyPaste = CopyPaste()
    small_object_weight: Annotated[float, FloatRange(0.5, 4.0, log=True), Field(gt=0)] = 1.0
    distillation: Annotated[Distillation, Fixed("none")] = NoDistillation()

    @field_validator("distillation")
    @classmethod
    def _has_a_teacher(cls, distillation: Distillation) -> Distillation:
        if not isinstance(distillation, NoDistillation) and distillation.teacher == PARENT:
            raise ValueError(
                "teacher 'parent': nothing was trained before, so there is none; name the folder "
                "of a saved detector"
            )
        return distillation
