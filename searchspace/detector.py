"""`DetectorConfig`: backbone, neck (an ordered list of steps), head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from searchspace.backbones import VGG16, MobileNetV1, ResNet
from searchspace.domains import Choice, Fixed
from searchspace.geometry import Level, Levels
from searchspace.heads import LevelPriors, Multibox
from searchspace.necks import Extend, Join, L2Norm, Split, Step
from searchspace.space import Config


class DetectorConfig(Config):
    """One detector, described by data. Whatever cannot be built is refused here.

    Attributes:
        input_size: side in pixels of the square that images are resized to.
        num_classes: foreground classes.
        pixels: what images are normalised to: `imagenet` is mean 0 and deviation 1 (torchvision's
            ImageNet weights), `inception` -1 to 1 (timm's of MobileNetV1), `caffe` mean 0 in steps
            of 0 to 255 (torchvision's SSD300).
        width: multiplier of every channel count of backbone and neck.
        backbone: a space without a kind of its own searches MobileNetV1.
    """

    input_size: Annotated[int, Choice(160, 224, 300, 512), Field(ge=64)] = 300
    num_classes: int = Field(default=80, ge=1)
    pixels: Literal["imagenet", "inception", "caffe"] = "imagenet"
    width: Annotated[float, Choice(0.25, 0.5, 0.75, 1.0), Field(gt=0, le=2)] = 1.0
    backbone: Annotated[
        MobileNetV1 | VGG16 | ResNet, Fixed("mobilenet_v1"), Field(discriminator="kind")
    ] = MobileNetV1()
    neck: tuple[Step, ...] = (L2Norm(), Extend())
    head: Multibox = Multibox()

    def stages(self) -> tuple[Levels, ...]:
        """The levels behind the backbone, then behind each step of the neck."""
        stages = [self.backbone.levels(self.width, self.input_size)]
        for number, step in enumerate(self.neck):
            try:
                stages.append(step.levels(stages[-1], self.width))
            except ValueError as error:
                raise ValueError(f"neck.{number}, {step.kind}: {error}") from None
        return tuple(stages)

    def levels(self) -> tuple[Level, ...]:
        """The maps that the head reads, finest first."""
        return self.stages()[-1].maps

    def priors(self) -> tuple[LevelPriors, ...]:
        """The priors of each level."""
        return self.head.priors.for_levels(self.levels(), self.input_size)

    @model_validator(mode="after")
    def _can_be_built(self) -> DetectorConfig:
        for level in self.levels():
            if level.size < 1:
                raise ValueError(f"input_size {self.input_size} leaves an empty map; raise it")
        if self.backbone.second_path and not any(isinstance(s, Join | Split) for s in self.neck):
            raise ValueError("second_path: nothing reads it; add a step join or split to the neck")
        self.priors()
        return self
