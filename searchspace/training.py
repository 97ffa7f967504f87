"""`TrainConfig`: how a detector is trained, and on what images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.domains import Choice, FloatRange
from searchspace.space import Config

SmallBy = Literal["annotation", "input"]


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


class SmallObjects(Config):
    """The loss of small objects: a * loss + c for them, the loss itself for all others.

    The loss is the head's localisation loss: 1 - IoU^2 (YOLOX), 1 - GIoU (GFL), smooth L1 on coded
    boxes (multibox, where a acts on the cross-entropy of small objects too).

    A weight **above 1** is what turns more of the gradient to small objects. The published setting
    (Manaiev 2022) writes 1 - 0.95 * IoU^2, which is a = 0.95 and c = 0.05: the loss of a small
    object rises by a constant that no gradient sees, and its gradient becomes 5 % *smaller*. At
    IoU 0.5 the loss goes from 0.75 to 0.7625, its slope from -1.00 to -0.95. The algebra is in
    `docs/small_objects.md`.

    Attributes:
        weight: a; 1 for no difference, below 1 weakens small objects.
        offset: c; added to logged losses, without effect on training.
        by: what is small: an `annotation` below 32^2 square pixels in its original image, which is
            how AP_small counts, or a box below 32^2 in the network's `input`, after resizing and
            augmentation.
    """

    weight: Annotated[float, FloatRange(0.5, 4.0, log=True), Field(gt=0)] = 1.0
    offset: float = 0.0
    by: SmallBy = "annotation"


class TrainConfig(Config):
    """Gradient descent with warm-up and a cosine to zero.

    Attributes:
        optimizer: `sgd` with `momentum` is what the papers use; `adamw` gets further in few steps.
        weights: what the backbone starts from: nothing, the backbone trained on generated shapes
            that ships with the package, or ImageNet weights, which torchvision or timm downloads.
        warmup_epochs: linear warm-up, in epochs.
        precision: `auto` is bfloat16 autocast on GPUs and on CPUs that have it in hardware, for
            networks of dense convolutions; float32 otherwise.
        max_gradient: gradients are clipped to this norm.
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
    small_objects: SmallObjects = SmallObjects()
