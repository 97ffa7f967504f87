"""The pruning ladder in a search: the best trained detectors, pruned at further ratios. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

from pydantic import ValidationError

from launch.decisions.account import Account
from launch.figures import DEFAULT, FIGURES, FigureName, heights, if_known
from launch.pareto import Point, enter
from launch.records import TrialRecord
from launch.trial.ladder import ladder_configs
from searchspace import Space, TrialConfig
from searchspace.compression import ImportancePruning, Slimming
from searchspace.trial import training_cause

PRUNINGS = (ImportancePruning, Slimming)
"""How an unpruned trial is pruned: by the first kind in the space, preferably one that needs no
special training."""


WAIT = 1 / 3
"""Share of the budget after which a search runs ladder trials, however few draws have ended."""


def is_time(drawn: int, share_spent: float, startup: int) -> bool:
    """Whether a search has explored enough to prune its best detectors.

    That is when `startup` draws, the random ones of the sampler, have ended: earlier ladder trials
    would delay them (`benchmarks.search.compare`).

    Args:
        drawn: draws that have ended.
    """
    return drawn >= startup or share_spent >= WAIT


class Ladder(Account):
    """Proposes the ladder trials of a study.

    A trained detector gets a ladder if it finds anything, and no other unpruned one dominates it;
    constraints are ignored, as a pruned detector may satisfy those that its parent violates. A
    ladder trial waits while a running trial trains the same detector.
    """

    def __init__(
        self,
        space: Space,
        ratios: Sequence[float],
        objectives: Sequence[FigureName] = DEFAULT,
    ) -> None:
        self._space, self._ratios, self._objectives = space, ratios, objectives
        rows = [FIGURES[name] for name in objectives]
        self._scores = [i for i, r in enumerate(rows) if r.source == "metrics" and r.better == "up"]
        self._front: dict[int, Point] = {}
        self._rungs: dict[int, tuple[tuple[str, TrialConfig], ...]] = {}
        self._training: Counter[tuple[Any, ...]] = Counter()

    def note(self, before: TrialRecord | None, record: TrialRecord) -> None:
        if before is not None and before.state == "running":
            self._training[training_cause(before.as_drawn)] -= 1
        if record.state == "running":
            self._training[training_cause(record.as_drawn)] += 1
        if record.result is None:
            return
        values = if_known(map(record.result.dense.figure, self._objectives))
        if values is None or not all(values[place] > 0 for place in self._scores):
            return
        if enter(self._front, record.number, heights(self._objectives, values)):
            rungs = rungs_of(record.as_drawn, self._space, self._ratios)
            self._rungs[record.number] = tuple((rung.digest(), rung) for rung in rungs)

    def next(self, tried: Container[str]) -> TrialConfig | None:
        """The next trial; None if there is none.

        Args:
            tried: digests of what the space drew for the study's trials.
        """
        for parent in sorted(self._front):
            for digest, rung in self._rungs[parent]:
                if digest not in tried and not self._training[training_cause(rung)]:
                    return rung
        return None


def rungs_of(config: TrialConfig, space: Space, ratios: Sequence[float]) -> tuple[TrialConfig, ...]:
    """The same configuration pruned at each ratio, if it is in the space.

    A configuration that prunes keeps its kind of pruning; another one gets the first of `PRUNINGS`
    in the space, with the values nearest to the defaults.
    """
    pruned: TrialConfig | None = config
    if not config.compress.prunes:
        ways = (_moved(config, kind(), space) for kind in PRUNINGS)
        pruned = next((way for way in ways if way), None)
    if pruned is None:
        return ()
    return tuple(rung for rung in ladder_configs(pruned, ratios) if space.holds(rung))


def trainings_saved(records: Sequence[TrialRecord]) -> int:
    """The number of finished trials that reused the training of another trial."""
    finished = [record.training for record in records if record.state == "finished"]
    return len(finished) - len(set(finished))


def _moved(
    config: TrialConfig, pruning: ImportancePruning | Slimming, space: Space
) -> TrialConfig | None:
    """The configuration with this kind of pruning in the space; None if the space lacks it."""
    compress = config.compress.changed(pruning=pruning)
    try:
        moved = space.nearest(config.changed(compress=compress))
    except ValidationError:
        return None
    same_kind = moved.compress.pruning.kind == pruning.kind
    return moved if same_kind and space.holds(moved) else None
