"""The progress of a trial as data: what it does, its epochs and its figures, a JSON line each.

The file is for people who watch or look back. Nothing of a trial's result depends on it, so that it
is never waited for: lines are not flushed to disk, and one that cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detectors.activity import Activity, Advance
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import FIGURES
from launch.trial.result import figure_of

Part = Literal["dense", "compact"]
"""The detector that is trained or scored: before the second part of the training, or after it."""

EVERY = 2.0
"""The fewest seconds between two lines about how far one activity is."""

STEPS = 20
"""The most such lines of one activity."""


class Note(BaseModel):
    """A line of the file.

    Attributes:
        time: seconds since the epoch.
        stage: the running stage of the trial, as the store of stages calls it, such as `train`.
        key: of the artefact of a stage that begins.
        reused: it was there already, so that the stage has ended.
        doing: an activity in a stage, such as `Decoding images`, of which `done` of `total` are
            done.
        part: the detector that an epoch trained, or that was scored.
        epoch: finished epochs of that part, of `epochs`.
        losses: the mean of each term over the epoch.
        rate: the learning rate of its last step.
        images_per_s: training images per second.
        seconds: duration of the epoch.
        left: seconds that all further epochs of the trial will take at this pace.
        figures: of a scored or measured detector, by name.
        midway: they are those of a snapshot at a rung.
    """

    model_config = ConfigDict(frozen=True)

    time: float
    stage: str | None = None
    key: str | None = None
    reused: bool = False
    doing: str | None = None
    done: int = 0
    total: int | None = None
    part: Part | None = None
    epoch: int | None = None
    epochs: int | None = None
    losses: dict[str, float] = Field(default_factory=dict)
    rate: float | None = None
    images_per_s: float | None = None
    seconds: float | None = None
    left: float | None = None
    figures: dict[str, float] = Field(default_factory=dict)
    midway: bool = False


class Progress:
    """Appends notes to a trial's file, in one process at a time; without a file, to none.

    Args:
        epochs: of both parts of the training.
    """

    def __init__(self, file: Path | None = None, epochs: tuple[int, int] = (0, 0)) -> None:
        self._file = file
        self._epochs = dict(zip(get_args(Part), epochs, strict=True))
        self._stage: str | None = None
        self._mended = False
        self._seconds = 0.0  # of the last activity that ended

    def begin(self, stage: str, key: str, reused: bool) -> None:
        """A stage begins, or has found its artefact."""
        self._stage = stage
        self._note(key=key, reused=reused)

    def trained(
        self, part: Part, epoch: int, losses: Mapping[str, float], rate: float, images: int
    ) -> None:
        """An epoch, which is the last activity, has trained on so many images."""
        seconds, after = self._seconds, self._epochs["compact"] if part == "dense" else 0
        self._note(
            part=part,
            epoch=epoch,
            epochs=self._epochs[part],
            losses=losses,
            rate=rate,
            images_per_s=images / max(seconds, 1e-9),
            seconds=seconds,
            left=seconds * (self._epochs[part] - epoch + after),
        )

    def scored(self, part: Part, found: Metrics | Cost, rung: int | None = None) -> None:
        """A detector was scored or measured: after a part of the training, or at a rung of it."""
        metrics = found if isinstance(found, Metrics) else None
        cost = found if isinstance(found, Cost) else None
        values = {name: figure_of(name, metrics, cost) for name in FIGURES}
        figures = {name: value for name, value in values.items() if value is not None}
        epoch = self._epochs[part] if rung is None else rung
        self._note(part=part, epoch=epoch, figures=figures, midway=rung is not None)
        if rung is not None:
            self._stage = "train"  # which goes on

    @contextmanager
    def show(self, activity: Activity) -> Iterator[Advance]:
        """Note how far an activity is, for `detectors.activity.shown_by`."""
        start = last = time.monotonic()
        done = noted = 0

        def advance(count: int) -> None:
            nonlocal done, noted, last
            done += count
            now = time.monotonic()
            if now - last < EVERY or STEPS * (done - noted) < (activity.total or 0):
                return
            noted, last = done, now
            self._note(doing=activity.what, done=done, total=activity.total)

        yield advance
        self._seconds = time.monotonic() - start

    def _note(self, **fields: object) -> None:
        if self._file is None:
            return
        note = Note.model_validate({"time": round(time.time(), 3), "stage": self._stage, **fields})
        with contextlib.suppress(OSError):
            self._append(note.model_dump_json(exclude_defaults=True).encode() + b"\n", self._file)

    def _append(self, line: bytes, path: Path) -> None:
        with open(path, "ab+") as file:
            if not self._mended and file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                # An earlier attempt was killed while it wrote.
                line = line if file.read() == b"\n" else b"\n" + line
            file.write(line)
        self._mended = True


NOWHERE = Progress()
"""Takes notes of nothing."""


def notes_in(lines: Iterable[bytes]) -> Iterator[Note]:
    """The notes in lines of a file; those that were cut by a kill or a full disk are left out."""
    for line in lines:
        with contextlib.suppress(ValidationError):
            yield Note.model_validate_json(line)


def read_progress(file: Path) -> tuple[Note, ...]:
    """All notes of a trial; none without a file, as of trials of earlier versions."""
    try:
        return tuple(notes_in(file.read_bytes().split(b"\n")))
    except FileNotFoundError:
        return ()
