"""The result of a study: its front and its trials by state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from launch.figures import DEFAULT, FIGURES, FigureName, height, heights, if_known
from launch.pareto import front, hypervolume
from launch.records import STATES, UNTRAINED, State, TrialRecord
from launch.report.words import design_in_words


@dataclass(frozen=True)
class StudyView:
    """The trials of a study, sorted.

    Attributes:
        records: all of them, by number.
        scored: the finished ones with a value for each objective. A validation split without
            small objects gives no AP_small.
        front: those of `scored` that satisfy all constraints and are not dominated by another such
            trial, best in the first objective first.
        objectives: sentences are about the first two.
    """

    records: tuple[TrialRecord, ...]
    scored: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    objectives: tuple[FigureName, ...] = DEFAULT

    @classmethod
    def of(
        cls, records: Sequence[TrialRecord], objectives: tuple[FigureName, ...] = DEFAULT
    ) -> StudyView:
        ordered = tuple(sorted(records, key=lambda record: record.number))
        values = {r.number: found for r in ordered if (found := r.values(objectives))}
        scored = tuple(record for record in ordered if record.number in values)
        kept = [record for record in scored if not record.broken]
        indices = front([heights(objectives, values[record.number]) for record in kept])
        return cls(ordered, scored, tuple(kept[i] for i in indices), objectives)

    @property
    def baseline(self) -> TrialRecord | None:
        return next((r for r in self.records if r.origin == "baseline"), None)

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The parameters that differ between scored trials, in the order of the space."""
        return choices_of(self.scored)

    @cached_property
    def columns(self) -> dict[FigureName, dict[int, float]]:
        """The objectives of the scored trials, by their numbers."""
        rows = {record.number: record.scores(self.objectives) for record in self.scored}
        return {
            name: {number: row[i] for number, row in rows.items()}
            for i, name in enumerate(self.objectives)
        }

    @property
    def axes(self) -> tuple[FigureName, FigureName]:
        """The figures that the plot shows upwards and to the right: the first two objectives, or
        the only one and a cost that every trial has."""
        vertical, horizontal, *_ = dict.fromkeys((*self.objectives, "fps", "params"))
        return vertical, horizontal

    @property
    def hypervolume(self) -> float | None:
        """Hypervolume of the front above the objectives' references, by logarithms where ratios
        count; None where an objective has no reference."""
        return volume_of(self.objectives, [self.heights(record) for record in self.front])

    def heights(self, record: TrialRecord) -> tuple[float, ...]:
        """A scored trial's objectives on scales on which more is better."""
        return heights(self.objectives, record.scores(self.objectives))

    def in_state(self, state: State) -> tuple[TrialRecord, ...]:
        return tuple(record for record in self.records if record.state == state)

    def counts(self) -> dict[State, int]:
        """The number of trials in each state."""
        return {state: len(self.in_state(state)) for state in STATES}

    def in_words(self, record: TrialRecord) -> str:
        """The design of a trial in words, without how it is run where all are run alike."""
        if record.number not in self._designs:
            words = design_in_words(record.config, alike=self._run_alike)
            self._designs[record.number] = words
        return self._designs[record.number]

    @cached_property
    def _designs(self) -> dict[int, str]:
        """What `in_words` has found, by number: a page says each design several times."""
        return {}

    @cached_property
    def _run_alike(self) -> bool:
        return len({record.config.measure for record in self.records}) <= 1

    def best(self, name: FigureName) -> TrialRecord:
        """The member of the front that is best in an objective; raises `ValueError` without a
        front."""
        return max(self.front, key=lambda record: height(name, record.score(name)))

    @property
    def untrained(self) -> tuple[TrialRecord, ...]:
        """The trials that ended before training."""
        return tuple(record for record in self.records if record.state in UNTRAINED)


def choices_of(records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """The parameters that differ between trials, in the order of the space."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.params.items():
            values.setdefault(name, set()).add(repr(value))
    return tuple(name for name, found in values.items() if len(found) > 1)


def volume_of(
    objectives: Sequence[FigureName], points: Sequence[tuple[float, ...]]
) -> float | None:
    """Hypervolume of points above the references of objectives; None where one has no reference.

    Args:
        points: heights of the objectives, see `launch.figures.height`.
    """
    references = if_known(FIGURES[name].reference for name in objectives)
    return None if references is None else hypervolume(points, heights(objectives, references))
