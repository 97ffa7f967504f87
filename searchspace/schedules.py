"""Learning-rate schedules after the warm-up: half a cosine, or steps."""

from __future__ import annotations

import bisect
import itertools
import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from searchspace.config import Config


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
