"""A detector before and after a long training, and where it is now beside the front it is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.evaluation.comparison import Difference, differences
from detectors.thresholds import Thresholds
from launch.figures import (
    DEFAULT,
    FIGURES,
    FigureName,
    columns,
    heights,
    is_own,
    of_source,
    show_change,
)
from launch.pareto import dominates
from launch.report.certainty import show_within
from launch.report.comparison import change_bounds
from launch.report.study import StudyView, volume_of
from launch.study.opening import read_records
from launch.study.settings import read_settings
from launch.trial.result import Outcome, TrialResult
from searchspace.words import counted, numbered

HEADINGS = ("Figure", "Before", "After", "Change", "95 % of the change")

COUNTS = ("params", "macs")
"""The costs that are the same on every device."""

SAME_NETWORK = (
    *COUNTS, "input_size", "device", "threads", "runtime", "precision", "batch", "candidates",
    "image_size", "inputs",
)  # fmt: skip
"""Facts of a cost: where all are equal, a network differs from an earlier one by its weights
alone, on which its speed does not depend."""


class AgainstFront(BaseModel):
    """Where a detector is beside the front of a study.

    Attributes:
        members: number of members of the front.
        why_not: why its figures cannot be compared with theirs; then nothing else is known.
        dominates: numbers of the members that it is better than.
        dominated_by: numbers of those that are better than it is.
        broken: the study's constraints that it does not keep to.
        hypervolume: of the front, and of the front with it; None where an objective has no
            reference.
    """

    model_config = ConfigDict(frozen=True)

    study: Path
    objectives: tuple[FigureName, ...]
    members: int
    why_not: str | None = None
    dominates: tuple[int, ...] = ()
    dominated_by: tuple[int, ...] = ()
    broken: tuple[str, ...] = ()
    hypervolume: tuple[float, float] | None = None

    @property
    def joins(self) -> bool:
        """Whether it would be on the front."""
        return not (self.why_not or self.broken or self.dominated_by)

    def sentences(self) -> Iterator[str]:
        """The same in words."""
        front = f"the front of {counted(self.members, 'trial')} in {self.study}"
        if self.why_not:
            yield f"It cannot be compared with {front}: {self.why_not}."
            return
        if self.broken:
            yield f"It would not be on {front}: not {', not '.join(self.broken)}."
            return
        if self.dominated_by:
            verb = "dominates" if len(self.dominated_by) == 1 else "dominate"
            yield f"It would not be on {front}: {numbered('trial', self.dominated_by)} {verb} it."
        else:
            better = numbered("trial", self.dominates) if self.dominates else "none of them"
            yield f"It would be on {front}; it dominates {better}."
        if self.hypervolume:
            before, after = self.hypervolume
            yield f"Hypervolume of the front: {before:.3f} before, {after:.3f} with it."


class Trained(BaseModel):
    """The outcome of a long training.

    Attributes:
        model: what was trained, as it was named.
        detector: folder of what the figures were measured on.
        epochs: of this training.
        before: its figures before the training on the same images, in the same form and on the
            same device; None if it was not trained before, or had other classes.
        changes: of each figure that has one; accuracy with its interval.
        front: where it is beside the front of its study; None if it is from none.
        thresholds: chosen on the validation split.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    detector: Path
    epochs: int
    before: Outcome | None
    after: Outcome
    changes: dict[FigureName, Difference]
    front: AgainstFront | None
    thresholds: Thresholds

    def rows(self) -> Iterator[tuple[str, ...]]:
        """By figure: `HEADINGS`; without figures from before, its label and its value."""
        for name in columns(self.front.objectives if self.front else DEFAULT):
            label, now = FIGURES[name].label, show_within(self.after, name)
            if self.before is None:
                yield label, now
                continue
            change = show_change(name, self.before.figure(name), self.after.figure(name))
            bounds = change_bounds(self.changes[name]) if name in self.changes else ""
            yield label, show_within(self.before, name), now, change, bounds


def changes_of(before: Outcome | None, after: Outcome) -> dict[FigureName, Difference]:
    """How far the metrics of a detector changed that was scored on the same images before."""
    if before is None:
        return {}
    names = [name for name in of_source("metrics", FIGURES) if not is_own(name)]
    found = differences(before.metrics, after.metrics, names)
    return {name: change for name, change in found.items() if change.change is not None}


def against_front(study: Path, result: TrialResult, fingerprint: str, origin: str) -> AgainstFront:
    """Where the detector of a trial is beside the front of a study.

    Args:
        fingerprint: of the data that it was trained and scored on.
        origin: the name of the folder of the study's trial that it was in before.
    """
    settings = read_settings(study)
    names = settings.goal.objectives
    view = StudyView.of(read_records(study), names)
    before = next((r.result for r in view.scored if Path(r.folder).name == origin), None)
    if before is not None:
        result = _as_fast(result, before)
    found = AgainstFront(study=study, objectives=names, members=len(view.front))
    if why := _incomparable(view, settings.fingerprint, result, fingerprint):
        return found.model_copy(update={"why_not": why})
    own = heights(names, [value for value in map(result.figure, names) if value is not None])
    others = {record.number: view.heights(record) for record in view.front}
    broken = settings.broken_by(result)
    return found.model_copy(
        update={
            "dominates": tuple(n for n, point in others.items() if dominates(own, point)),
            "dominated_by": tuple(n for n, point in others.items() if dominates(point, own)),
            "broken": broken,
            "hypervolume": None if broken else _volumes(names, [*others.values()], own),
        }
    )


def _as_fast(result: TrialResult, before: TrialResult) -> TrialResult:
    """A result with the cost of one of the same network, form and device: another measurement
    differs from it by noise alone, which would decide whether one of the two dominates the
    other."""
    now, then = result.final.cost, before.final.cost
    if any(getattr(now, name) != getattr(then, name) for name in SAME_NETWORK):
        return result
    final = result.final.model_copy(update={"cost": then})
    return result.model_copy(update={"compact" if result.compact else "dense": final})


def _incomparable(view: StudyView, fingerprint: str, result: TrialResult, data: str) -> str | None:
    """Why a trial cannot be compared with a front; None if it can be."""
    if data != fingerprint:
        return "it was trained and scored on other data"
    unknown = [name for name in view.objectives if result.figure(name) is None]
    if unknown:
        return f"its {FIGURES[unknown[0]].label} is not known"
    if all(name in COUNTS for name in of_source("cost", view.objectives)):
        return None
    here = _measured_on(result)
    for place in dict.fromkeys(_measured_on(record.finished) for record in view.front):
        if place != here:
            return f"its speed was measured on {here}, and theirs on {place}"
    return None


def _measured_on(result: TrialResult) -> str:
    cost = result.final.cost
    threads = "" if cost.threads is None else f", {counted(cost.threads, 'thread')}"
    return f"{cost.device}{threads}"


def _volumes(
    names: Sequence[FigureName], points: list[tuple[float, ...]], own: tuple[float, ...]
) -> tuple[float, float] | None:
    before, after = volume_of(names, points), volume_of(names, [*points, own])
    return None if before is None or after is None else (before, after)
