"""`TrainConfig`: the recipe of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.config import Added, Config, Follows
from searchspace.distillation import PARENT, Distillation, NoDistillation
from searchspace.domains import Fixed, FloatRange
from searchspace.errors import InputError
from searchspace.schedules import Cosine, RateFactors, Schedule
from searchspace.words import end_of_path, joined

Weights = Annotated[str, Field(min_length=1)]
"""One of `WEIGHTS_BY_NAME`, or the path of a saved detector."""

WEIGHTS_BY_NAME = ("none", "auto", "shapes", "imagenet")

AUTO = "auto"
"""Of `batch_size` and `accumulate`: found by the memory of the device. Of `compile`: by time."""

SmallBy = Literal["annotation", "input"]


Parts = Annotated[int, Field(ge=1)]


class SmallObjects(Config):
    """The loss of small objects: a * loss + c for them, the loss itself for all others.

    The loss is the head's localisation loss: 1 - IoU^2 (YOLOX), 1 - GIoU (GFL), smooth L1 on
    encoded boxes (multibox, where a acts on the cross-entropy of small objects too).

    Small objects get more of the gradient with a weight **above 1**. The published setting (Manaiev
    2022) is 1 - 0.95 * IoU^2, that is a = 0.95 and c = 0.05: the loss of a small object increases
    by a constant without gradient, and its gradient becomes 5 % *smaller*. At IoU 0.5 the loss
    changes from 0.75 to 0.7625, its slope from -1.00 to -0.95. See `docs/small_objects.md`.

    Attributes:
        weight: a; 1 for no difference, below 1 small objects count less.
        offset: c; added to logged losses, without effect on training. In a search, it is as
            published, 1 - a, for a weight below 1, and 0 otherwise, unless the space names it.
        by: which objects are small: by their `annotation`, below 32^2 pixels in the original image
            as for AP_small, or by their box in the network's `input`, below 32^2 pixels after
            resizing and augmentation.
    """

    weight: Annotated[float, FloatRange(0.5, 4.0, log=True), Field(gt=0)] = 1.0
    offset: Annotated[float, Follows(nameable=True)] = 0.0
    by: SmallBy = "annotation"

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Set the offset that belongs to the weight, unless it was drawn."""
        weight = values.get("weight", 1.0)
        return {"offset": max(0.0, round(1 - weight, 12)), **values}

    def in_words(self) -> str:
        if self.weight == 1:
            return ""
        where = " in the input" if self.by == "input" else ""
        return f"small objects{where} weigh {self.weight:.2g}"


class Frozen(Config):
    """The parts of the backbone that keep their initial weights.

    Attributes:
        rows: number of rows at the front that are not trained and keep their batch-norm statistics;
            for a backbone without rows, all that this number of its taps depends on, finest first.
        statistics: all batch norms of the backbone keep their statistics; scales and shifts are
            trained.
    """

    rows: int = Field(default=0, ge=0)
    statistics: bool = False


class TrainConfig(Config):
    """Gradient descent with a linear warm-up, then a schedule.

    Attributes:
        batch_size: images in a step of gradient descent. "auto", which is read where a number may
            stand (a configuration, a space, `--set`), keeps the number that there would be without
            it, and sets `accumulate` to "auto": it is the memory that limits the parts, not the
            batch. So the learning rate, the number of steps and the comparison with other trials
            stay as they are, whatever the device.
        optimizer: `sgd` with `momentum` as in the papers; `adamw` learns more in few steps.
        weights: what the backbone starts from. `none`: random numbers. `shapes`: the backbone
            trained on generated shapes that ships with the package. `imagenet`: the weights that
            torchvision or timm publishes. `auto`: `imagenet` where these exist for the backbone,
            else `none`; a trial says which as soon as it is drawn or run, and the detector's pixels
            and activation become those that the weights were trained with. Any other value is the
            path of a saved detector, whose weights are taken for the whole detector where names and
            shapes match, and the head's rows where the names of classes match: the folder of a
            detector or of a trial (then its detector before pruning), or a file of tensors.
        rates: factors on the learning rate of the backbone and of new parts.
        nesterov: Nesterov momentum, for `sgd` only.
        schedule: how the rate falls after the warm-up. A space without a kind of its own keeps
            the cosine.
        warmup_epochs: length of the warm-up in epochs.
        warmup_steps: length of the warm-up in steps, instead of `warmup_epochs`.
        plain_epochs: number of epochs at the end without mosaic and with YOLOX's L1 term; 15 in
            YOLOX. In a fine-tuning of no more epochs, all are plain.
        precision: `auto` is bfloat16 autocast on GPUs and on CPUs that have it in hardware, for
            networks of dense convolutions; float32 otherwise.
        tf32: on a GPU, what is computed in float32 may be rounded to TF32, as PyTorch does for
            convolutions unless told otherwise.
        accumulate: the number of parts in which a batch is computed, one after the other, so that
            only one part's activations are in memory. A step takes about a third longer. Losses
            and gradients are those of the whole batch, but batch norms see a part. "auto" is the
            lowest power of two whose parts fit into the memory of the device, or into the trial's
            share of it. The trial notes the number, and a resumed trial keeps it.
        compile: whether PyTorch compiles the network's part of a step: `on`, `off`, or `auto`,
            where that pays by the node's figures or those of the first steps, see
            `detectors.training.compiling`. Losses are equal but for rounding; with `auto`, times
            decide it, so that a trial that is repeated may differ in its last digits.
        max_gradient: gradients are clipped to this norm.
        ema: decay d of an exponential moving average of the weights, which is evaluated and saved;
            None for no average. After t steps the decay is d * (1 - exp(-t / 2000)), so that the
            average follows the first steps closely (YOLOX).
        distillation: distillation from a saved detector; not searched unless a space names it.
    """

    epochs: int = Field(default=100, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=1e-4, ge=0)
    rates: Annotated[RateFactors, Added()] = RateFactors()
    schedule: Annotated[Schedule, Fixed("cosine"), Field(discriminator="kind")] = Cosine()
    warmup_epochs: float = Field(default=1.0, ge=0)
    warmup_steps: int | None = Field(default=None, ge=0)
    plain_epochs: int = Field(default=0, ge=0)
    max_gradient: float = Field(default=10.0, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    multi_scale: MultiScale = MultiScale()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    tf32: Annotated[bool, Added()] = True
    accumulate: Annotated[Parts | Literal["auto"], Added()] = 1
    compile: Annotated[Literal["off", "on", "auto"], Added()] = "off"
    weights: Weights = "none"
    augment: Augment = Augment()
    copy_paste: CopyPaste = CopyPaste()
    small_objects: SmallObjects = SmallObjects()
    frozen: Frozen = Frozen()
    distillation: Annotated[Distillation, Fixed("none")] = NoDistillation()

    def in_words(self) -> str:
        """The particular settings in words, without epochs and learning rates."""
        mosaic = self.augment.in_words()
        plain = f" but for {self.plain_epochs} epochs" if mosaic and self.plain_epochs else ""
        return joined(
            f"starts from {end_of_path(self.start)}" if self.start else "",
            self.copy_paste.in_words(),
            f"{mosaic}{plain}",
            f"EMA {self.ema:g}" if self.ema else "",
            self.multi_scale.in_words(),
            self.schedule.in_words(),
            self.rates.in_words(),
            self.small_objects.in_words(),
            self.distillation.in_words(),
        )

    @property
    def start(self) -> str | None:
        """The path of the saved detector that training starts from, if `weights` is one."""
        return None if self.weights in WEIGHTS_BY_NAME else self.weights

    def shortened(self, share: float) -> TrainConfig:
        """The recipe with a share of its epochs, at least one."""
        return self.lasting(max(1, round(self.epochs * share)))

    def lasting(self, epochs: int) -> Self:
        """The recipe for another number of epochs, over which its schedule is spread. Plain epochs
        keep their share; a warm-up shrinks likewise, but does not grow."""
        share = epochs / self.epochs
        most_plain = epochs - 1 if self.augment.mosaic else epochs
        steps = self.warmup_steps
        return self.changed(
            epochs=epochs,
            plain_epochs=min(most_plain, round(self.plain_epochs * share)),
            warmup_epochs=self.warmup_epochs * min(1.0, share),
            warmup_steps=None if steps is None else round(steps * min(1.0, share)),
        )

    def is_plain(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is one of the last, without mosaic."""
        return epoch >= self.epochs - self.plain_epochs

    def warmup(self, steps_per_epoch: int) -> float:
        """Length of the warm-up in steps."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return self.warmup_epochs * steps_per_epoch

    @property
    def parts(self) -> int:
        """`accumulate` as a number.

        Raises:
            InputError: it is "auto", which a trial replaces before it trains.
        """
        if self.accumulate == AUTO:
            raise InputError(
                'train.accumulate "auto": the number depends on the device, and `run_trial` finds '
                "it; give a number here"
            )
        return self.accumulate

    def changed(self, **fields: Any) -> Self:
        return super().changed(**{**fields, **_with_auto_batch(fields, self.batch_size)})

    @model_validator(mode="before")
    @classmethod
    def _reads_auto_batch(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        default = cls.model_fields["batch_size"].default
        return {**fields, **_with_auto_batch(fields, default)}

    @model_validator(mode="after")
    def _goes_together(self) -> TrainConfig:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError(
                f"nesterov: optimizer {self.optimizer!r} with momentum {self.momentum} has none; "
                "use 'sgd' with a momentum above 0, or set nesterov to false"
            )
        if self.augment.mosaic and self.plain_epochs >= self.epochs:
            raise ValueError(
                f"plain_epochs: {self.plain_epochs} of {self.epochs} epochs leave none for "
                f"augment.mosaic ({self.augment.mosaic}); lower it, or set mosaic to 0"
            )
        return self

    @model_validator(mode="after")
    def _has_two_images_for_each_part(self) -> TrainConfig:
        most = max(1, self.batch_size // 2)
        if self.accumulate != AUTO and self.accumulate > most:
            raise ValueError(
                f"accumulate: {self.accumulate} parts of a batch of {self.batch_size} would have "
                f"less than two images, and batch norms need two; set it to {most} or less, or "
                "raise batch_size"
            )
        return self

    @field_validator("distillation")
    @classmethod
    def _has_a_teacher(cls, distillation: Distillation) -> Distillation:
        if not isinstance(distillation, NoDistillation) and distillation.teacher == PARENT:
            raise ValueError(
                "teacher 'parent': the first training has no parent; give the folder of a saved "
                "detector"
            )
        return distillation

    @model_validator(mode="after")
    def _has_something_old(self) -> TrainConfig:
        if self.weights == "none" and self.rates.new != 1:
            raise ValueError(
                f"rates.new {self.rates.new:g}: with weights 'none' all parts are new; set it to 1 "
                "and change learning_rate, or name weights to start from"
            )
        return self

    @model_validator(mode="after")
    def _has_something_to_keep(self) -> TrainConfig:
        if self.weights == "none" and self.frozen != Frozen():
            raise ValueError(
                "frozen: with weights 'none' the backbone starts from random weights, which should "
                "not be frozen; set weights to 'imagenet' or 'shapes', or remove frozen"
            )
        return self


def auto_batch(path: str, value: Any) -> str:
    """The path of the field that a value is for: "auto" as a batch size is the number of parts."""
    owner, dot, name = path.rpartition(".")
    auto = name == "batch_size" and value == AUTO
    return f"{owner}{dot}accumulate" if auto else path


def _with_auto_batch(fields: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The two fields that batch size "auto" stands for; nothing where it is a number."""
    if fields.get("batch_size") != AUTO:
        return {}
    return {"batch_size": number, "accumulate": AUTO}
