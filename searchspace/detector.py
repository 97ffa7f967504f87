"""`DetectorConfig`: backbone, neck (an ordered list of steps), head."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from searchspace.backbones import MobileNetV1
from searchspace.domains import Choice
from searchspace.geometry import Level, Levels
from searchspace.heads import LevelPriors, Multibox
from searchspace.necks import Extend, L2Norm
from searchspace.space import Config

Step = Annotated[L2Norm | Extend, Field(discriminator="kind")]


class DetectorConfig(Config):
    """One detector, described by data. Whatever cannot be built is refused here.

    Attributes:
        input_size: side in pixels of the square that images are resized to.
        num_classes: foreground classes.
        width: multiplier of every channel count of backbone and neck.
    """

    input_size: Annotated[int, Choice(160, 224, 300, 512), Field(ge=64)] = 300
    num_classes: int = Field(default=80, ge=1)
    width: Annotated[float, Choice(0.25, 0.5, 0.75, 1.0), Field(gt=0, le=2)] = 1.0
    backbone: MobileNetV1 = MobileNetV1()
    neck: tuple[Step, ...] = (L2Norm(), Extend())
    head: Multibox = Multibox()

    def stages(self) -> tuple[Levels, ...]:
        """The levels behind the backbone, then behind each step of the neck."""
        stages = [self.backbone.levels(self.width, self.input_size)]
        for step in self.neck:
            stages.append(step.levels(stages[-1], self.width))
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
        self.priors()
        return self
