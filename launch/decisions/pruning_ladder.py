"""The pruning ladder in a search: the best trained detectors, pruned at further ratios. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from launch.figures import DEFAULT, FIGURES, FigureName, heights, if_known
from launch.pareto import front
from launch.records import DRAWN, TrialRecord
from launch.trial.ladder import ladder_configs
from searchspace import Space, TrialConfig
from searchspace.compression import ImportancePruning, Slimming
from searchspace.trial import training_cause

PRUNINGS = (ImportancePruning, Slimming)
"""How an unpruned trial is pruned: by the first kind in the space, preferably one that needs no
special training."""


WAIT = 1 / 3
"""Share of the budget after which a search runs ladder trials, however few draws have ended."""


def is_time(records: Sequence[TrialRecord], share_spent: float, startup: int) -> bool:
    """Whether a search has explored enough to prune its best detectors.

    That is when `startup` draws, the random ones of the sampler, have ended: earlier ladder trials
    would delay them (`benchmarks.search.compare`).
    """
    drawn = sum(r.origin in DRAWN and r.state != "running" for r in records)
    return drawn >= startup or share_spent >= WAIT


def next_rung(
    records: Sequence[TrialRecord],
    space: Space,
    ratios: Sequence[float],
    objectives: Sequence[FigureName] = DEFAULT,
) -> TrialConfig | None:
    """The next ladder trial; None if there is none.

    A trained detector gets a ladder if it finds anything, and no other unpruned one dominates it;
    constraints are ignored, as a pruned detector may satisfy those that its parent violates. A
    ladder trial waits while a running trial trains the same detector.
    """
    if not ratios:
        return None
    tried = {record.as_drawn.digest() for record in records}
    training = {training_cause(r.as_drawn) for r in records if r.state == "running"}
    for parent in _parents(records, objectives):
        for rung in rungs_of(parent.as_drawn, space, ratios):
            if rung.digest() not in tried and training_cause(rung) not in training:
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


def _parents(
    records: Sequence[TrialRecord], objectives: Sequence[FigureName]
) -> Iterator[TrialRecord]:
    """The trials whose dense detectors are the front of all that score, by their number."""
    rows = [FIGURES[name] for name in objectives]
    scores = [i for i, row in enumerate(rows) if row.source == "metrics" and row.better == "up"]
    scored = [
        (record, values)
        for record in records
        if record.result is not None
        and (values := if_known(map(record.result.dense.figure, objectives)))
        and all(values[place] > 0 for place in scores)
    ]
    for index in sorted(front([heights(objectives, values) for _, values in scored])):
        yield scored[index][0]


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
