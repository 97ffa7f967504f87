"""The contract of an early-stopping rule: who is stopped at a rung, and who gets a second chance.

Pure decisions: a rule sees the scores of trials at equal budgets, and the trials it stopped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Self

from pydantic import field_validator

from launch.pareto import Point
from searchspace.config import Config
from searchspace.errors import InputError
from searchspace.training import TrainConfig

Rung = Mapping[int, Point]
"""The objectives of trials when they reached a budget: by trial number, all to be maximised."""


class EarlyStopping(Config, ABC):
    """A rule that stops unpromising trainings.

    A trial is compared each time its training reaches one of `budgets`: a snapshot is scored, and
    the rule decides whether the trial continues. A search stores its rule as JSON, so its fields
    must be serialisable. A subclass declares `kind: Literal["its_name"] = "its_name"`, implements
    `survives`, and is registered in `launch.decisions.rules.RULES`.

    Points hold the search's objectives in order: first those that are scored (such as AP_small),
    then the predictions of the others (such as the logarithm of FPS); all are to be maximised.
    Budgets are epochs. Answers must depend on the arguments only, as a resumed study asks again.
    The baseline and the papers' systems are never stopped.

    Attributes:
        kind: the name of the rule.
        budgets: epochs at which trials are compared, ascending, at least 1.
    """

    kind: str
    budgets: tuple[int, ...]

    @field_validator("budgets")
    @classmethod
    def _rises(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if not budgets or budgets[0] < 1 or list(budgets) != sorted(set(budgets)):
            raise ValueError(f"budgets {list(budgets)}: give ascending epochs from 1, e.g. 2, 4")
        return budgets

    @classmethod
    def usual(cls, train: TrainConfig) -> Self:
        """The default rule for a training.

        Raises:
            ValueError: the training is too short to compare trials.
        """
        budgets = default_budgets(cls.model_fields["kind"].default, train)
        return cls.model_validate({"budgets": budgets})

    @abstractmethod
    def survives(self, rung: Rung, trial: int) -> bool:
        """Whether a trial continues after a rung.

        Args:
            rung: the objectives of all trials that reached it, this and stopped ones included.
        """

    def second_chances(
        self, rungs: Mapping[int, Rung], stopped: Mapping[int, int]
    ) -> tuple[int, ...]:
        """Stopped trials to resume by current knowledge, the most promising first; default: none.

        A study asks when it has nothing else to run.

        Args:
            rungs: by budget, the objectives of trials there.
            stopped: by trial, the budget at which it was stopped, which is in `rungs`.
        """
        return ()

    def in_words(self) -> str:
        """When trials are stopped, for the report."""
        return f"after {' and '.join(map(str, self.budgets))} epochs ({self.kind})"


def default_budgets(kind: str, train: TrainConfig) -> tuple[int, ...]:
    """A quarter and half of a training; the first one is after the warm-up.

    Args:
        kind: the rule's, for the message.

    Raises:
        ValueError: the training is too short for any.
    """
    first = max(math.ceil(train.epochs / 4), math.floor(_warmup(train)) + 1)
    budgets = rungs_within(sorted({first, math.ceil(train.epochs / 2)}), train)
    if not budgets:
        raise InputError(
            f"{kind}: {train.epochs} epochs of training (train.epochs) with a warm-up of "
            f"{_warmup(train):g} epochs are too short to compare trials: train longer"
        )
    return budgets


def rungs_within(budgets: Sequence[int], train: TrainConfig) -> tuple[int, ...]:
    """The budgets between the warm-up and the end of a training."""
    return tuple(budget for budget in budgets if _warmup(train) < budget < train.epochs)


def check_rungs(budgets: Sequence[int], train: TrainConfig) -> None:
    """Raise `InputError` where some budgets are not between the warm-up and the end."""
    if rungs_within(budgets, train) == tuple(budgets):
        return
    if train.warmup_steps is None:
        warmup = f"train.warmup_epochs ({train.warmup_epochs:g})"
        fix = "train longer, or lower train.warmup_epochs"
    else:
        warmup, fix = "1 (train.warmup_steps count as one epoch)", "or train longer"
    raise InputError(
        f"rungs {', '.join(map(str, budgets))}: must be above {warmup} and below train.epochs "
        f"({train.epochs}); give others, {fix}"
    )


def _warmup(train: TrainConfig) -> float:
    """The warm-up in epochs. Step-based warm-ups (a few hundred steps) count as one epoch."""
    return train.warmup_epochs if train.warmup_steps is None else 1.0


def growth(rung: Rung, final: Rung) -> float:
    """Growth factor of the first objective from a rung to the end: the median over finished trials.

    Trials with a score of 0 at the rung have no factor; 1.0 if there is none.
    """
    ratios = [final[t][0] / rung[t][0] for t in rung.keys() & final.keys() if rung[t][0] > 0]
    return median(ratios) if ratios else 1.0
