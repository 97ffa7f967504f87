"""`CompressConfig`: what happens to a trained detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.distillation import Distillation, NoDistillation
from searchspace.domains import Choice, Fixed, FloatRange
from searchspace.words import joined, percent

Ratio = Annotated[float, FloatRange(0.1, 0.8), Field(gt=0, lt=1)]


class ContinuedTraining(Config):
    """The second part of a training: what follows the pruning, or takes its place.

    Attributes:
        finetune_epochs: epochs of it.
        finetune_rate: its learning rate, as a factor of the training's.
    """

    finetune_epochs: int = Field(default=0, ge=0)
    finetune_rate: float = Field(default=0.5, gt=0)


class Unpruned(ContinuedTraining):
    """Remove nothing; train the detector on for as long as a pruned one, if `finetune_epochs` says.

    A pruned detector is trained for `train.epochs` and then fine-tuned. Only an unpruned one with
    the same total shows what pruning costs; with 0, the trained detector stays as it is.
    """

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


Target = Literal["channels", "params", "macs", "latency"]

SHARES_OF: dict[Target, str] = {
    "channels": "",
    "params": " of the parameters",
    "macs": " of the MACs",
    "latency": " of the time",
}
"""What a ratio is a share of, by the target of a pruning."""

Criterion = Literal["l2", "taylor", "lamp", "random"]

CRITERIA: dict[Criterion, str] = {
    "l2": "L2 norm",
    "taylor": "Taylor expansion",
    "lamp": "LAMP",
    "random": "chance",
}


class ChannelPruning(ContinuedTraining):
    """What every way of removing channels has; which of them go, the ways say.

    Attributes:
        target: what `ratio` is a share of: the prunable channels, the parameters, the
            multiply-accumulates, or the time that a frame takes.
        scope: one threshold for the whole network, or the same share of every layer.
        round_to: every layer that loses channels keeps a multiple of so many.
        floor: share of each layer's channels that stays whatever they are worth.
        finetune_epochs: epochs of training after the pruning; with 0, only the statistics of batch
            norms are taken anew.
        distillation: who teaches in the fine-tuning, whoever taught in the training.
    """

    target: Target = "channels"
    scope: Annotated[Literal["global", "layer"], Choice("global", "layer")] = "global"
    round_to: Annotated[int, Choice(1, 8), Field(ge=1)] = 1
    floor: float = Field(default=0.1, gt=0, le=1)
    finetune_epochs: int = Field(default=20, ge=0)
    distillation: Distillation = NoDistillation()

    def _pruned(self, ratio: float, by: str = "") -> str:
        """How much goes, by what, and who teaches what is left."""
        words = f"pruned {percent(ratio)}{SHARES_OF[self.target]}{by}"
        return joined(words, self.distillation.in_words())

    @model_validator(mode="after")
    def _teaches_in_some_epoch(self) -> ChannelPruning:
        if not self.finetune_epochs and not isinstance(self.distillation, NoDistillation):
            raise ValueError(
                "distillation: with finetune_epochs 0 nobody is taught; set finetune_epochs to 1 "
                "or more, or leave distillation out"
            )
        return self


class Slimming(ChannelPruning):
    """Network slimming: L1 on batch-norm scales in training, then the smallest scales go.

    Attributes:
        sparsity: strength of the L1 term on the gated batch-norm scales.
        ratio: share of `target` that goes.
    """

    kind: Literal["slimming"] = "slimming"
    sparsity: Annotated[float, FloatRange(1e-5, 1e-3, log=True), Field(ge=0)] = 1e-4
    ratio: Ratio = 0.5

    def in_words(self) -> str:
        return self._pruned(self.ratio)


class ImportancePruning(ChannelPruning):
    """The channels of least importance go, batch norm or not; training needs no preparation.

    Attributes:
        criterion: `l2`, the norm of all weights that go with a channel; `taylor`, the change of the
            loss to first order; `lamp`, a weight's share of those of its layer that are no smaller;
            `random`, the control.
        steps: how often channels go; what is left is judged anew before each.
        ratio: share of `target` that goes.
    """

    kind: Literal["importance"] = "importance"
    criterion: Annotated[Criterion, Choice("l2", "taylor", "lamp", "random")] = "taylor"
    steps: Annotated[int, Choice(1, 4), Field(ge=1)] = 4
    ratio: Ratio = 0.5

    def in_words(self) -> str:
        return self._pruned(self.ratio, f" by {CRITERIA[self.criterion]}")


class Unquantised(Config):
    """Leave the numbers of the trained detector as they are."""

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


class Int8(Config):
    """Post-training quantisation: the trained network's convolutions compute in eight bits.

    Attributes:
        runtime: what quantises the network, and then runs it.
        images: training images, at most, that the ranges of values are taken from.
    """

    kind: Literal["int8"] = "int8"
    runtime: Literal["openvino", "onnxruntime"] = "openvino"
    images: int = Field(default=128, ge=1)

    def in_words(self) -> str:
        return f"int8 by {self.runtime}"


class CompressConfig(Config):
    """What happens to a trained detector.

    Attributes:
        pruning: which channels go.
        quantisation: what the deployed detector computes in; a space that does not name its kind
            leaves it out.
    """

    pruning: Unpruned | Slimming | ImportancePruning = Field(
        default=Unpruned(), discriminator="kind"
    )
    quantisation: Annotated[Unquantised | Int8, Fixed("none"), Field(discriminator="kind")] = (
        Unquantised()
    )

    def in_words(self) -> str:
        return joined(self.pruning.in_words(), self.quantisation.in_words())

    @property
    def prunes(self) -> bool:
        """Whether channels go."""
        return not isinstance(self.pruning, Unpruned)

    @property
    def leaves_dense(self) -> bool:
        """Whether the detector of the first training is the final one."""
        return not self.prunes and not self.pruning.finetune_epochs
