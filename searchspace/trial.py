"""`TrialConfig`: everything except the data that determines a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from searchspace.compression import CompressConfig, Slimming, Unquantised
from searchspace.config import Config
from searchspace.detector import DetectorConfig
from searchspace.digests import digest_of
from searchspace.distillation import PARENT, ChannelWise, Logits, NoDistillation
from searchspace.domains import Domain
from searchspace.geometry import Size
from searchspace.initial_weights import (
    WEIGHTS,
    as_named,
    check_trained_with,
    prepared,
    resolved,
    unprepared,
)
from searchspace.measuring import AUTO, COCO_DETECTIONS, MeasureConfig
from searchspace.training import TrainConfig
from searchspace.words import joined

MOST_SEED = 2**31 - 1
"""The largest seed that all libraries accept, with room for what is added to it."""


class TrialConfig(Config):
    """Everything that determines a trial: with the data, it decides every number of the result."""

    detector: DetectorConfig = DetectorConfig()
    train: TrainConfig = TrainConfig()
    compress: CompressConfig = CompressConfig()
    measure: MeasureConfig = MeasureConfig()
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    def in_words(self) -> str:
        """A short description, e.g. `width 0.25, 160 px, S1L6, pruned 40 %`."""
        quantised = self.deployment is not self.measure  # then the runtime is in the words already
        unsaid = {"runtime": AUTO, "precision": AUTO} if quantised else {}
        return joined(
            self.detector.in_words(),
            self.train.in_words(),
            self.compress.in_words(),
            self.measure.changed(**unsaid).in_words(),
        )

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace `auto` weights by name, and set the detector as these require."""
        train, detector = values["train"], values["detector"]
        weights = resolved(train.weights, detector)
        detector = prepared(weights, detector)
        return values | {"train": train.changed(weights=weights), "detector": detector}

    def as_drawn(self, domains: Mapping[str, Domain]) -> TrialConfig:
        """With weights as named in a space, and without the settings of a detector they require."""
        detector, weights = self.detector, self.train.weights
        named = as_named(weights, detector, domains.get(WEIGHTS))
        update = {
            "detector": unprepared(weights, detector, domains),
            "train": self.train.model_copy(update={"weights": named}),
        }
        return self.model_copy(update=update)

    def started(self) -> TrialConfig:
        """The configuration with `train.weights = "auto"` replaced by the name of the weights.

        Raises:
            pydantic.ValidationError: the detector's settings are incompatible with these.
        """
        if self.train.weights != "auto":
            return self
        return type(self)(**self.completed(dict(self)))

    @model_validator(mode="after")
    def _goes_with_its_initial_weights(self) -> TrialConfig:
        check_trained_with(self.train.weights, self.detector)
        return self

    @model_validator(mode="after")
    def _rows_that_freeze_are_there(self) -> TrialConfig:
        rows, backbone = self.train.frozen.rows, self.detector.backbone
        if rows > backbone.stages:
            raise ValueError(
                f"train.frozen.rows {rows}: the backbone {backbone.family} has "
                f"{backbone.stages} rows up to its last tap"
            )
        return self

    @model_validator(mode="after")
    def _what_is_pruned_can_be(self) -> TrialConfig:
        backbone, pruning = self.detector.backbone, self.compress.pruning
        if self.compress.prunes and (reason := backbone.unprunable()):
            raise ValueError(
                f"compress.pruning {pruning.kind!r}: no channels can be removed from the backbone "
                f"{backbone.family} ({reason}): set compress.pruning to kind 'none', or use "
                "another detector.backbone"
            )
        return self

    @model_validator(mode="after")
    def _logits_have_one_size(self) -> TrialConfig:
        pruning = getattr(self.compress.pruning, "distillation", None)
        for path, lesson in (("train", self.train.distillation), ("compress.pruning", pruning)):
            if isinstance(lesson, Logits) and self.train.multi_scale.active:
                raise ValueError(
                    f"{path}.distillation logits: they are compared prior by prior, but "
                    "train.multi_scale changes the number of priors; use channel_wise, or set its "
                    "smallest and largest to 1"
                )
        return self

    @model_validator(mode="after")
    def _eight_bits_come_of_quantisation(self) -> TrialConfig:
        if self.measure.precision == "int8":
            raise ValueError(
                "measure.precision int8: a trial quantises by compress.quantisation of kind int8, "
                "which names the runtime; leave measure.precision out"
            )
        return self

    def shortened(self, share: float) -> TrialConfig:
        """This trial with a share of its epochs, such as 0.01 to see whether all of it runs."""
        return self.changed(
            train=self.train.shortened(share), compress=self.compress.shortened(share)
        )

    def with_classes(self, number: int) -> TrialConfig:
        """This trial for data with another number of classes."""
        return self.changed(detector=self.detector.changed(num_classes=number))

    def with_detections(self, number: int) -> TrialConfig:
        """This trial with so many detections kept and scored, unless it names a number itself."""
        number = self.measure.max_detections or number
        if number == COCO_DETECTIONS and self.measure.max_detections is None:
            return self
        head = self.detector.head
        head = head.model_copy(update={"postprocess": head.postprocess.keeping(number)})
        return self.changed(
            detector=self.detector.changed(head=head),
            measure=self.measure.changed(max_detections=number),
        )

    def with_images(self, size: Size, tiles: float) -> TrialConfig:
        """This trial timed on images of this size, if it cuts them into tiles and names none.

        Args:
            tiles: the number of tiles that are looked at after a first look, if there is one.
        """
        cut, measure = self.detector.canvas.tiles, self.measure
        if cut is None:
            return self
        given = {"image_size": size, "tiles": None if cut.threshold is None else tiles}
        unset = {name: value for name, value in given.items() if getattr(measure, name) is None}
        return self.changed(measure=measure.changed(**unset))

    @property
    def lessons(self) -> tuple[tuple[str, ChannelWise | Logits], ...]:
        """Its distillations that have a teacher, with their paths."""
        found = [("train.distillation", self.train.distillation)]
        if self.compress.prunes:
            found.append(("compress.pruning.distillation", self.compress.removal.distillation))
        return tuple(
            (path, lesson) for path, lesson in found if not isinstance(lesson, NoDistillation)
        )

    @property
    def detectors(self) -> tuple[str, ...]:
        """The names of the saved detectors that it needs, to start from or as teachers."""
        names = (self.train.start, *(lesson.teacher for _, lesson in self.lessons))
        return tuple(dict.fromkeys(name for name in names if name not in (None, PARENT)))

    @property
    def deployment(self) -> MeasureConfig:
        """Deployment and measurement of the final detector, quantised or not."""
        quantisation = self.compress.quantisation
        if isinstance(quantisation, Unquantised):
            return self.measure
        form = {"runtime": quantisation.runtime, "precision": "int8"}
        return self.measure.model_copy(update=form)

    @property
    def epochs(self) -> tuple[int, int]:
        """Epochs of the training, and of its second part, with or without pruning."""
        return self.train.epochs, self.compress.pruning.finetune_epochs

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration."""
        return digest_of(self.cause())


def training_cause(config: TrialConfig) -> tuple[Any, ...]:
    """The parts of a configuration that determine the training: equal ones share a training."""
    return config.detector, config.train, sparsity(config), config.seed


def sparsity(config: TrialConfig) -> float:
    """The strength of the sparsity term of the training; 0 for none."""
    pruning = config.compress.pruning
    return pruning.sparsity if isinstance(pruning, Slimming) else 0.0
