"""`CompressConfig`: what happens to a trained detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.distillation import Distillation, NoDistillation
from searchspace.domains import FloatRange
from searchspace.space import Config


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
        distillation: who teaches in it, whoever taught in the training.
    """

    kind: Literal["slimming"] = "slimming"
    sparsity: Annotated[float, FloatRange(1e-5, 1e-3, log=True), Field(ge=0)] = 1e-4
    ratio: Annotated[float, FloatRange(0.1, 0.8), Field(gt=0, lt=1)] = 0.5
    floor: float = Field(default=0.1, gt=0, le=1)
    finetune_epochs: int = Field(default=20, ge=1)
    finetune_rate: float = Field(default=0.5, gt=0)
    distillation: Distillation = NoDistillation()


class CompressConfig(Config):
    """What happens to a trained detector."""

    pruning: Unpruned | Slimming = Field(default=Unpruned(), discriminator="kind")
