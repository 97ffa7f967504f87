"""`CompressConfig`: pruning, fine-tuning and quantisation of a trained detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from searchspace.config import Added, Config
from searchspace.distillation import Distillation, NoDistillation
from searchspace.domains import Choice, Fixed, FloatRange
from searchspace.names import Names
from searchspace.runtimes import Quantiser
from searchspace.words import joined, percent

Ratio = Annotated[float, FloatRange(0.1, 0.8), Field(gt=0, lt=1)]


class ContinuedTraining(Config):
    """The second part of the training, after pruning or instead of it.

    Attributes:
        finetune_epochs: number of epochs.
        finetune_rate: learning rate, as a factor of the first part's.
    """

    finetune_epochs: int = Field(default=0, ge=0)
    finetune_rate: float = Field(default=0.5, gt=0)


class Unpruned(ContinuedTraining):
    """No pruning; the detector is trained for `finetune_epochs` more.

    A pruned detector is trained for `train.epochs` and then fine-tuned. Only an unpruned one with
    the same total shows the cost of pruning; with 0, the trained detector is the final one.
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
"""By pruning target, the quantity that the ratio is a share of."""

CRITERIA = Names[str](
    "criterion",
    {
        "l2": "L2 norm",
        "taylor": "Taylor expansion",
        "lamp": "LAMP",
        "random": "chance",
    },
)
"""What channels are ranked by, in words. How is in `compress.criteria`, which adds those of users'
modules."""

Criterion = Annotated[str, AfterValidator(CRITERIA.check)]
"""The name of a criterion."""


class ChannelPruning(ContinuedTraining):
    """The common settings of all kinds of channel pruning; the criteria are in the subclasses.

    Attributes:
        target: the quantity that `ratio` is a share of: the prunable channels, the parameters, the
            multiply-accumulates, or the latency.
        scope: one threshold for the whole network, or the same share of every layer.
        round_to: the number of channels kept in a pruned layer is a multiple of this.
        floor: share of each layer's channels that is kept whatever their scores.
        finetune_epochs: epochs of training after the pruning; with 0, only the statistics of batch
            norms are re-estimated.
        distillation: the teacher of the fine-tuning, independent of that of the training.
    """

    target: Target = "channels"
    scope: Annotated[Literal["global", "layer"], Choice("global", "layer")] = "global"
    round_to: Annotated[int, Choice(1, 8), Field(ge=1)] = 1
    floor: float = Field(default=0.1, gt=0, le=1)
    finetune_epochs: int = Field(default=20, ge=0)
    distillation: Distillation = NoDistillation()

    def _pruned(self, ratio: float, by: str = "") -> str:
        """The ratio, the criterion and the teacher in words."""
        words = f"pruned {percent(ratio)}{SHARES_OF[self.target]}{by}"
        return joined(words, self.distillation.in_words())

    @model_validator(mode="after")
    def _teaches_in_some_epoch(self) -> ChannelPruning:
        if not self.finetune_epochs and not isinstance(self.distillation, NoDistillation):
            raise ValueError(
                "distillation has no effect with finetune_epochs 0; set finetune_epochs to 1 or "
                "more, or remove distillation"
            )
        return self


class Slimming(ChannelPruning):
    """Network slimming (Liu et al., 2017): an L1 penalty on batch-norm scales in training, then
    removal of the channels with the smallest scales.

    Attributes:
        sparsity: strength of the L1 penalty.
        ratio: share of `target` to remove.
        rounds: number of removals, each of an equal part of `ratio` (multi-pass slimming, section
            3). They divide `finetune_epochs` among them; the training between two removals is
            sparse too. In each, a layer keeps the `floor` of what the one before left.
    """

    kind: Literal["slimming"] = "slimming"
    sparsity: Annotated[float, FloatRange(1e-5, 1e-3, log=True), Field(ge=0)] = 1e-4
    ratio: Ratio = 0.5
    rounds: Annotated[int, Added(), Field(ge=1, le=20)] = 1

    def in_words(self) -> str:
        return self._pruned(self.ratio, f" in {self.rounds} rounds" if self.rounds > 1 else "")

    @model_validator(mode="after")
    def _trains_in_every_round(self) -> Slimming:
        if 1 < self.rounds > self.finetune_epochs:
            raise ValueError(
                f"rounds {self.rounds}: each needs an epoch of finetune_epochs "
                f"({self.finetune_epochs}); raise these, or lower rounds"
            )
        return self


class ImportancePruning(ChannelPruning):
    """Removal of the least important channels, with or without batch norm; needs no special
    training.

    Attributes:
        criterion: `l2`, the norm of all weights that belong to a channel; `taylor`, the first-order
            change of the loss; `lamp`, a weight's square as a share of those in its layer that are
            no smaller; `random`, as a control.
        steps: number of pruning steps; the remaining channels are scored again before each.
        ratio: share of `target` to remove.
    """

    kind: Literal["importance"] = "importance"
    criterion: Annotated[Criterion, Choice(*CRITERIA)] = "taylor"
    steps: Annotated[int, Choice(1, 4), Field(ge=1)] = 4
    ratio: Ratio = 0.5

    def in_words(self) -> str:
        return self._pruned(self.ratio, f" by {CRITERIA[self.criterion]}")


class Unquantised(Config):
    """No quantisation."""

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


class Int8(Config):
    """Post-training quantisation: the trained network's convolutions compute in eight bits.

    Attributes:
        runtime: the runtime that quantises the network and runs it.
        images: the most training images for calibration.
    """

    kind: Literal["int8"] = "int8"
    runtime: Quantiser = "openvino"
    images: int = Field(default=128, ge=1)

    def in_words(self) -> str:
        return f"int8 by {self.runtime}"


Pruning = Slimming | ImportancePruning


class CompressConfig(Config):
    """Compression of a trained detector.

    Attributes:
        pruning: kind and amount of pruning, and the second part of the training.
        quantisation: int8 or none; a space that does not name its kind has none.
    """

    pruning: Unpruned | Slimming | ImportancePruning = Field(
        default=Unpruned(), discriminator="kind"
    )
    quantisation: Annotated[Unquantised | Int8, Fixed("none"), Field(discriminator="kind")] = (
        Unquantised()
    )

    def in_words(self) -> str:
        return joined(self.pruning.in_words(), self.quantisation.in_words())

    def shortened(self, share: float) -> CompressConfig:
        """The same with a share of the epochs of the second part: at least one in each round, if
        there are any."""
        epochs = self.pruning.finetune_epochs
        least = min(epochs, getattr(self.pruning, "rounds", 1))
        fewer = max(least, round(epochs * share))
        return self.changed(pruning=self.pruning.changed(finetune_epochs=fewer))

    @property
    def calibration(self) -> int:
        """The most training images for calibration; 0 without quantisation."""
        return self.quantisation.images if isinstance(self.quantisation, Int8) else 0

    @property
    def prunes(self) -> bool:
        """Whether channels are removed."""
        return not isinstance(self.pruning, Unpruned)

    @property
    def leaves_dense(self) -> bool:
        """Whether the detector of the first training is the final one."""
        return not self.prunes and not self.pruning.finetune_epochs

    @property
    def removal(self) -> Pruning:
        """How the detector is pruned, which it is.

        Raises:
            TypeError: it is not.
        """
        if isinstance(self.pruning, Slimming | ImportancePruning):
            return self.pruning
        raise TypeError("compress.pruning is none: there is nothing to prune")
