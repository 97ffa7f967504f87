"""`TrialConfig`: the whole cause of a trial, data apart."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from searchspace.detector import DetectorConfig
from searchspace.domains import Choice, FloatRange
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


class Unpruned(Config):
    """Leave the trained detector as it is."""

    kind: Literal["none"] = "none"


class Slimming(Config):
    """Network slimming: L1 on batch-norm scales in training, then global channel pruning.

    Attributes:
        sparsity: strength of the L1 term on the gated batch-norm scales.
        ratio: share of the gated channels that goes.
        floor: share of each layer's channels that stays whatever their scale.
        finetune_epochs: training behind the pruning.
        finetune_rate: its learning rate, as a factor of the training's.
    """

    kind: Literal["slimming"] = "slimming"
    sparsity: Annotated[float, FloatRange(1e-5, 1e-3, log=True), Field(ge=0)] = 1e-4
    ratio: Annotated[float, FloatRange(0.1, 0.8), Field(gt=0, lt=1)] = 0.5
    floor: float = Field(default=0.1, gt=0, le=1)
    finetune_epochs: int = Field(default=20, ge=1)
    finetune_rate: float = Field(default=0.5, gt=0)


class CompressConfig(Config):
    """What happens to a trained detector."""

    pruning: Unpruned | Slimming = Field(default=Unpruned(), discriminator="kind")


class MeasureConfig(Config):
    """How frames per second are measured: single images, boxes out, median latency.

    Attributes:
        runs: timed images a pass; the best of `passes` medians counts.
        threads: CPU threads; a GPU ignores it.
    """

    runs: int = Field(default=20, ge=5)
    passes: int = Field(default=15, ge=1)
    threads: int = Field(default=1, ge=1)


class TrialConfig(Config):
    """The whole cause of a trial: with the data, it decides every number that comes out."""

    detector: DetectorConfig = DetectorConfig()
    train: TrainConfig = TrainConfig()
    compress: CompressConfig = CompressConfig()
    measure: MeasureConfig = MeasureConfig()
    seed: int = Field(default=0, ge=0)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
