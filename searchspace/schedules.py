"""Learning rates: schedules after the warm-up (half a cosine, or steps), and factors by part."""

from __future__ import annotations

import bisect
import itertools
import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from searchspace.config import Config
from searchspace.words import TIMES, joined


class Cosine(Config):
    """Half a cosine from the end of the warm-up to the end of training.

    Attributes:
        floor: the final rate, as a fraction of the learning rate; 0.05 in YOLOX.
    """

    kind: Literal["cosine"] = "cosine"
    floor: float = Field(default=0.0, ge=0, lt=1)

    def in_words(self) -> str:
        return f"rate falls to {100 * self.floor:.2g} %" if self.floor else ""

    def rate(self, step: int, total: int, warm: float) -> float:
        """The learning rate of a step after the warm-up, as a fraction of the configured one."""
        done = (step - warm) / max(total - warm, 1)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


class Steps(Config):
    """A rate that is constant between milestones.

    Attributes:
        milestones: when the rate falls, as fractions of the training, so that they apply to any
            number of epochs, including a fine-tuning's. The default is epochs 8 and 11 of 12.
        factor: factor on the rate at each milestone.
    """

    kind: Literal["steps"] = "steps"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (8 / 12, 11 / 12)
    factor: float = Field(default=0.1, gt=0, lt=1)

    def in_words(self) -> str:
        shares = ", ".join(f"{100 * share:.0f}" for share in self.milestones)
        return f"rate falls at {shares} %"

    @field_validator("milestones")
    @classmethod
    def _rise(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in itertools.pairwise(milestones)):
            raise ValueError(f"milestones must rise, not {milestones}")
        return milestones

    def rate(self, step: int, total: int, warm: float) -> float:
        """The learning rate of a step after the warm-up, as a fraction of the configured one."""
        return self.factor ** bisect.bisect_right(self.milestones, step / total)


Schedule = Cosine | Steps


class RateFactors(Config):
    """Factors on the learning rate of some parameters; those of both kinds get their product.

    Attributes:
        backbone: of the backbone; 0.1 spares what it learned from many images.
        new: of what the initial weights leave random, such as the neck and the head on a backbone
            from ImageNet; 2 in FSSD. In a fine-tuning nothing is new.
    """

    backbone: float = Field(default=1.0, gt=0)
    new: float = Field(default=1.0, gt=0)

    def in_words(self) -> str:
        return joined(
            f"backbone at {self.backbone:.2g}{TIMES} the rate" if self.backbone != 1 else "",
            f"new parts at {self.new:.2g}{TIMES} the rate" if self.new != 1 else "",
        )
