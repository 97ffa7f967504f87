"""What each choice of a space does to the objectives: medians by option, and importance."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from launch.figures import FigureName, height
from launch.records import Param, TrialRecord
from launch.report.study import StudyView, choices_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

LEAST = 20
"""The fewest finished trials from which importance is computed: of fewer it is noise."""

DRAWS = 15
"""Draws of the trials with replacement, by which importance has an interval."""

MOST = 250
"""The most trials in a draw."""

POOL = 1000
"""The most trials that draws are from."""

BEST = 0.25
"""Importance is what distinguishes this share of the trials, the best ones, from all."""

OPTIONS = 6
"""A choice with more numbers than this is shown in as many ranges as `RANGES`."""

RANGES = 4


@dataclass(frozen=True)
class Importance:
    """The share of a choice in what makes trials good in an objective: 5 %, 50 % and 95 %
    quantiles over draws of the trials."""

    low: float
    share: float
    high: float


@dataclass(frozen=True)
class Option:
    """The trials of one option of a choice, or of a range of its values.

    Attributes:
        values: by objective, the median and the quartiles around it.
    """

    label: str
    trials: int
    values: dict[str, tuple[float, float, float]]


# ---- medians


def options_of_choice(view: StudyView, choice: str) -> list[Option]:
    """The options of a choice that were drawn, with the objectives of their trials."""
    drawn = [record for record in view.scored if choice in record.params]
    groups: dict[str, list[TrialRecord]] = {}
    for label, record in zip(_labels([r.params[choice] for r in drawn]), drawn, strict=True):
        groups.setdefault(label, []).append(record)
    return [
        Option(
            label,
            len(records),
            {n: _spread([view.columns[n][r.number] for r in records]) for n in view.objectives},
        )
        for label, records in groups.items()
    ]


def _labels(values: Sequence[Param]) -> list[str]:
    """The option of each value; many numbers are divided into ranges of as many trials."""
    numbers = numbers_in(values)
    if len(numbers) < len(values) or len(set(numbers)) <= OPTIONS:
        return [shown_value(value) for value in values]
    edges = np.quantile(numbers, np.linspace(0, 1, RANGES + 1))
    places = np.searchsorted(edges[1:-1], numbers, side="right")
    return [f"{edges[i]:.3g} to {edges[i + 1]:.3g}" for i in places]


def numbers_in(values: Sequence[Param]) -> list[int | float]:
    """The numbers among some options; true and false are none."""
    return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def shown_value(value: Param) -> str:
    """An option in words."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "none" if value is None else str(value)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The quartiles of some values."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


# ---- importance


def importances(view: StudyView, name: FigureName) -> dict[str, Importance]:
    """The importance of each choice for an objective by Optuna's PED-ANOVA, the most important
    first; empty with fewer than `LEAST` trials.

    Watanabe et al., PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces, 2023.
    """
    if len(view.scored) < LEAST or not view.choices:
        return {}
    generator = np.random.default_rng(0)
    count = len(view.scored)
    pool = [view.scored[i] for i in generator.permutation(count)[:POOL]]
    kinds = {choice: _distribution(pool, choice) for choice in choices_of(pool)}
    trials = [_as_optuna(record, name, kinds) for record in pool]
    draws = generator.choice(len(trials), (DRAWS, min(count, MOST)))
    shares = [_shares([trials[i] for i in draw], kinds) for draw in draws]
    found = {
        choice: Importance(*np.quantile([s[choice] for s in shares], (0.05, 0.5, 0.95)).tolist())
        for choice in kinds
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _as_optuna(record: TrialRecord, name: FigureName, kinds: dict[str, Any]) -> FrozenTrial:
    """A trial with the loss in an objective, which Optuna minimises."""
    from optuna.trial import create_trial

    return create_trial(
        value=-height(name, record.score(name)),
        params={c: _plain(v) for c, v in record.params.items() if c in kinds},
        distributions={c: kinds[c] for c in record.params if c in kinds},
    )


def _shares(trials: list[FrozenTrial], kinds: dict[str, Any]) -> dict[str, float]:
    """Importance as shares of their sum, on one draw of trials."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    from launch.study.bounded import View

    study = View(optuna.create_study(), trials)
    with warnings.catch_warnings():
        # Of values that a single trial has; the interval shows how little is known of them.
        warnings.simplefilter("ignore", UserWarning)
        found = PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(study)
    total = sum(found.values())
    return {choice: found.get(choice, 0.0) / total if total else 0.0 for choice in kinds}


def _distribution(records: Sequence[TrialRecord], choice: str) -> Any:
    """What Optuna would have drawn these values from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values = [_plain(r.params[choice]) for r in records if choice in r.params]
    if all(isinstance(value, float) for value in values) and len(set(values)) > OPTIONS:
        numbers = [float(value) for value in values if value is not None]
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def _plain(value: Param) -> Param:
    """A value as the distributions here have it: whole numbers are real ones."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
