"""What an early-stopping rule is: who is stopped at a rung, and who deserves another chance.

Pure decisions: a rule sees what trials scored at equal budgets, and what it stopped.
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
"""What the trials that reached a budget had there: trial number to objectives, all maximised."""


class EarlyStopping(Config, ABC):
    """A rule that stops trainings which are not worth going on with.

    A trial is compared each time its training reaches one of `budgets`: a snapshot is scored, and
    the rule is asked whether the trial goes on. A search stores its rule, so fields are what can be
    written as JSON. A member declares `kind: Literal["its_name"] = "its_name"`, implements
    `survives`, and is registered in `launch.decisions.rules.RULES`.

    Points hold the search's objectives in its order, those that a training scores first (such as
    AP_small), then what was predicted of the others (such as the logarithm of FPS); all are to be
    maximised. Budgets are epochs. Answers must follow from the arguments alone, as a resumed study
    asks again. The baseline and the papers' systems are never stopped, whatever a rule says.

    Attributes:
        kind: the name of the rule.
        budgets: epochs at which trials are compared, rising from 1.
    """

    kind: str
    budgets: tuple[int, ...]

    @field_validator("budgets")
    @classmethod
    def _rises(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if not budgets or budgets[0] < 1 or list(budgets) != sorted(set(budgets)):
            raise ValueError(f"budgets {list(budgets)}: give rising epochs from 1, such as 2, 4")
        return budgets

    @classmethod
    def usual(cls, train: TrainConfig) -> Self:
        """The rule for a training where nothing else is said.

        Raises:
            ValueError: the training is too short to compare trials.
        """
        return cls(budgets=default_budgets(cls.model_fields["kind"].default, train))

    @abstractmethod
    def survives(self, rung: Rung, trial: int) -> bool:
        """Whether a trial goes on after a rung.

        Args:
            rung: what all trials had that have reached it, this one and stopped ones included.
        """

    def second_chances(
        self, rungs: Mapping[int, Rung], stopped: Mapping[int, int]
    ) -> tuple[int, ...]:
        """Stopped trials to go on with by what is known now, the most promising first; none here.

        A study asks when it has nothing else to run.

        Args:
            rungs: budget to what trials had there.
            stopped: trial to the budget at which it was stopped, each of which is in `rungs`.
        """
        return ()

    def in_words(self) -> str:
        """Who is stopped when, for the report: continues "trials are ended"."""
        return f"after {' and '.join(map(str, self.budgets))} epochs ({self.kind})"


def default_budgets(kind: str, train: TrainConfig) -> tuple[int, ...]:
    """A quarter and half of a training; the first after its warm-up.

    Args:
        kind: of the rule, for the message.

    Raises:
        ValueError: the training is too short for any.
    """
    first = max(math.ceil(train.epochs / 4), math.floor(_warmup(train)) + 1)
    budgets = rungs_within(sorted({first, math.ceil(train.epochs / 2)}), train)
    if not budgets:
        raise InputError(
            f"{kind}: {train.epochs} epochs of training (train.epochs) with a warm-up of "
            f"{_warmup(train):g} leave no time to compare trials: train longer"
        )
    return budgets


def rungs_within(budgets: Sequence[int], train: TrainConfig) -> tuple[int, ...]:
    """Those of the budgets that lie after the warm-up of a training and before its end."""
    return tuple(budget for budget in budgets if _warmup(train) < budget < train.epochs)


def _warmup(train: TrainConfig) -> float:
    """In epochs. One that is given in steps is the papers' of some hundred: within an epoch."""
    return train.warmup_epochs if train.warmup_steps is None else 1.0


def growth(rung: Rung, final: Rung) -> float:
    """How far the first objective grows from a rung to the end: the median over finished trials.

    Trials that scored nothing at the rung tell no ratio; 1.0 where no trial tells one.
    """
    ratios = [final[t][0] / rung[t][0] for t in rung.keys() & final.keys() if rung[t][0] > 0]
    return median(ratios) if ratios else 1.0
