"""The learning curves of a study's trials: what each epoch gave, and each score on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.figures import FIGURES
from launch.files import PROGRESS
from launch.records import TrialRecord
from launch.report.progress import TRAINING
from launch.trial.progress import Note, Part, read_progress
from searchspace.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

ABOUT = (
    "number", "part", "epoch", "evaluation", "trained_by", "time", "seconds", "rate",
    "images_per_s",
)  # fmt: skip
"""The columns before the losses, which are called `loss_TERM`, and the figures."""

EVENTS = ".sparrow"
"""How the names of event files for TensorBoard end."""


@dataclass(frozen=True)
class Point:
    """An epoch of a trial, or a score.

    Attributes:
        number: of the trial.
        epoch: finished epochs of its part.
        note: of the epoch; None where a detector was scored that was not trained in it.
        by: the trial that ran the epoch, whose training this one shares.
        evaluation: `midway`, or the part that was scored; None if none was.
        time: seconds since the epoch of Unix.
    """

    number: int
    part: Part
    epoch: int
    time: float
    note: Note | None = None
    by: int | None = None
    evaluation: str | None = None
    figures: Mapping[str, float] | None = None

    def cells(self) -> dict[str, Any]:
        """The values of its row in the table."""
        note = self.note
        about = (
            self.number, self.part, self.epoch, self.evaluation, self.by, self.time,
            note and note.seconds, note and note.rate, note and note.images_per_s,
        )  # fmt: skip
        losses = {f"loss_{name}": value for name, value in (note.losses if note else {}).items()}
        return {**dict(zip(ABOUT, about, strict=True)), **losses, **(self.figures or {})}


Curves = dict[str, dict[int, tuple[int, Note]]]
"""By key of a trained detector and epoch, the trial that ran the epoch, and its note."""


def history(
    folder: Path, records: Sequence[TrialRecord], numbers: Collection[int] = ()
) -> list[Point]:
    """The epochs and scores of trials, in their order.

    A trial that shares its training with another has the epochs of that one.

    Args:
        folder: of the study.
        numbers: the trials; by default all.

    Raises:
        InputError: there is no such trial.
    """
    there = {record.number for record in records}
    if unknown := sorted(set(numbers) - there):
        raise InputError(f"trial {unknown[0]}: the study has no such trial")
    notes = {r.number: read_progress(folder / r.folder / PROGRESS) for r in records}
    curves: Curves = {}
    for number, key, note in _epochs(notes):
        curves.setdefault(key, {})[note.epoch or 0] = (number, note)
    return [
        point
        for number in sorted(set(numbers) or there)
        for point in _points(number, notes[number], curves)
    ]


def history_table(points: Sequence[Point]) -> DataFrame:
    """A row for each epoch and score; see `ABOUT` for the columns."""
    from pandas import DataFrame  # loads for half a second

    rows = [point.cells() for point in points]
    names = dict.fromkeys(name for row in rows for name in row)
    losses = [name for name in names if name not in ABOUT and name not in FIGURES]
    figures = [name for name in FIGURES if name in names]
    return DataFrame(rows, columns=[*ABOUT, *losses, *figures])


def write_events(points: Sequence[Point], folder: Path) -> int:
    """Write the curves for TensorBoard: a folder with events for each trial, whose step is the
    number of finished epochs. Events that were written before are replaced.

    Returns:
        The number of trials.
    """
    from tensorboardX import SummaryWriter  # loads for a second

    numbers = list(dict.fromkeys(point.number for point in points))
    for number in numbers:
        place = folder / f"{number:04d}"
        for old in place.glob(f"events.*{EVENTS}"):
            old.unlink()
        with SummaryWriter(str(place), filename_suffix=EVENTS) as writer:
            for one in scalars([point for point in points if point.number == number]):
                writer.add_scalar(one.name, one.value, one.step, one.time)
    return len(numbers)


class Scalar(NamedTuple):
    """One number of a learning curve, such as `loss/box` or `metrics/ap`.

    Attributes:
        step: finished epochs of both parts of the training.
        time: seconds since the epoch of Unix.
    """

    name: str
    value: float
    step: int
    time: float


def scalars(points: Sequence[Point]) -> Iterator[Scalar]:
    """All numbers of the points of one trial."""
    dense = max((point.epoch for point in points if point.part == "dense"), default=0)
    for point in points:
        step = point.epoch + (dense if point.part == "compact" else 0)
        for name, value in _named(point):
            yield Scalar(name, value, step, point.time)


def _named(point: Point) -> Iterator[tuple[str, float]]:
    if note := point.note:
        for name, value in note.losses.items():
            yield f"loss/{name}", value
        for name in ("rate", "images_per_s"):
            if (value := getattr(note, name)) is not None:
                yield f"training/{name}", value
    for name, value in (point.figures or {}).items():
        yield f"{FIGURES[name].source}/{name}" if name in FIGURES else f"own/{name}", value


def _epochs(notes: Mapping[int, Sequence[Note]]) -> Iterator[tuple[int, str, Note]]:
    """All epochs, each with its trial and the key of the detector that it trained."""
    for number, own in notes.items():
        key = ""
        for note in own:
            if note.key and note.stage in TRAINING:
                key = note.key
            elif note.losses:
                yield number, key, note


def _points(number: int, notes: Sequence[Note], curves: Curves) -> Iterator[Point]:
    found: dict[tuple[Part, int], Point] = {}
    for part, key in _trainings(notes):
        for epoch, (by, note) in sorted(curves.get(key, {}).items()):
            other = None if by == number else by
            found[part, epoch] = Point(number, part, epoch, note.time, note, other)
    for note in notes:
        if note.figures and note.part:
            place = (note.part, note.epoch or 0)
            point = found.get(place) or Point(number, *place, note.time)
            found[place] = replace(
                point,
                evaluation="midway" if note.midway else note.part,
                figures={**(point.figures or {}), **note.figures},
            )
    yield from (found[place] for place in sorted(found, key=lambda p: (p[0] != "dense", p[1])))


def _trainings(notes: Sequence[Note]) -> list[tuple[Part, str]]:
    """The detectors that a trial trained or took, in order, each once."""
    begun = [(TRAINING[n.stage], n.key) for n in notes if n.key and n.stage in TRAINING]
    return list(dict.fromkeys(begun))
