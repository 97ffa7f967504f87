"""Pruning in several rounds: what each removes, and how it is fine-tuned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compress import Plan
from searchspace.compression import Pruning, Slimming

ROUNDING = 1e-9
"""Makes up for the rounding of a share, which would cost a channel."""


@dataclass(frozen=True)
class Round:
    """One removal of channels, and the fine-tuning after it.

    Attributes:
        number: counted from 1.
        epochs: of the fine-tuning.
        before: epochs of fine-tuning in earlier rounds.
        sparsity: strength of the sparsity term of the fine-tuning; 0 in the last round.
    """

    number: int
    epochs: int
    before: int
    sparsity: float


def rounds(pruning: Pruning) -> Iterator[Round]:
    """The rounds of a pruning: they share its epochs of fine-tuning, the last of them the rest."""
    count = _count(pruning)
    each, rest = divmod(pruning.finetune_epochs, count)
    for number in range(1, count + 1):
        last = number == count
        sparsity = 0.0 if last or not isinstance(pruning, Slimming) else pruning.sparsity
        yield Round(number, each + rest * last, each * (number - 1), sparsity)


def removal_in(pruning: Pruning, number: int, so_far: Plan | None) -> Pruning:
    """The pruning of one round: what is missing to its share of the whole ratio.

    What earlier rounds really removed counts, so that their deviations do not add up. Only a
    latency is assumed to have fallen as planned.

    Args:
        so_far: the channels removed in earlier rounds, in one plan; None in the first.
    """
    count = _count(pruning)
    share = pruning.ratio * number / count
    if so_far is None:
        ratio = share
    elif pruning.target == "channels":
        ratio = 1 - (1 - share) / (1 - so_far.share) + ROUNDING
    elif pruning.target == "latency":
        ratio = 1 - (1 - share) / (1 - pruning.ratio * (number - 1) / count)
    else:
        before, after = (getattr(s, pruning.target) for s in (so_far.before, so_far.after))
        ratio = 1 - (1 - share) * before / after
    # An earlier round may have removed more than this one's share: nothing is missing then.
    return pruning.model_copy(update={"ratio": max(ratio, 0.0)})


def _count(pruning: Pruning) -> int:
    return pruning.rounds if isinstance(pruning, Slimming) else 1
