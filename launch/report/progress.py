"""What the trials of a study are doing, read from its files while a search runs or after it.

A view is plain data, for whatever shows it. The files are the journal and each running trial's
`progress.jsonl`; only what was added since the last look is read.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from detectors.lock_holders import Holder
from detectors.remote import RemoteError
from launch.decisions.budget import Outlook, Spent, outlook
from launch.decisions.tally import Tally
from launch.figures import FigureName
from launch.files import JOURNAL, PROGRESS
from launch.records import TrialRecord
from launch.report.study import StudyView
from launch.study.journal import records_in
from launch.study.opening import worked_on
from launch.study.settings import StudySettings, read_settings
from launch.trial.copies import LAG, fetch_study
from launch.trial.progress import Note, Part, notes_in

STAGES = {
    "predict": "predict cost",
    "finetune": "fine-tune",
    "evaluate": "score",
    "rung": "score midway",
}
"""Stages in words, where these are not what the store calls them."""

TRAINING: dict[str, Part] = {"train": "dense", "finetune": "compact"}
"""The stages that train, with what they train."""


@dataclass(frozen=True)
class Now:
    """What a trial is doing, by its notes so far.

    Attributes:
        stage: the last stage that began; None before the first.
        key: of the artefact that it makes; None of one that was there.
        doing: an activity in the stage, of which `share`, from 0 to 1, is done if that is known.
        part: the detector that was last trained, for `epoch` of `epochs`.
        figures: of the detector when it was last scored.
        left: seconds of the epochs to come, at the time of the note that says so.
        heard: time of the last note; 0 before the first.
    """

    stage: str | None = None
    key: str | None = None
    doing: str | None = None
    share: float | None = None
    part: Part | None = None
    epoch: int = 0
    epochs: int | None = None
    losses: dict[str, float] = field(default_factory=dict)
    images_per_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    left: tuple[float, float] | None = None
    heard: float = 0.0

    def after(self, note: Note) -> Now:
        """The same after another note."""
        now = replace(self, heard=note.time, stage=note.stage, doing=note.doing, share=None)
        if note.key:
            return replace(now, key=None if note.reused else note.key)
        if note.doing:
            return replace(now, share=note.done / note.total if note.total else None)
        if note.figures:
            return replace(now, figures=self.figures | note.figures)
        return replace(
            now,
            part=note.part,
            epoch=note.epoch or 0,
            epochs=note.epochs,
            losses=note.losses,
            images_per_s=note.images_per_s,
            left=None if note.left is None else (note.left, note.time),
        )

    @property
    def waits(self) -> bool:
        """Whether the stage has begun and shown no sign of its own yet."""
        trained = self.stage in TRAINING and self.part == TRAINING[self.stage]
        return self.key is not None and not self.doing and not trained

    def in_words(self) -> str:
        """The stage and how far it is, such as `train, epoch 3/12 45 %`."""
        if self.stage is None:
            return "starting"
        words = STAGES.get(self.stage, self.stage)
        if self.doing:
            share = "" if self.share is None else f" {100 * self.share:.0f} %"
            return f"{words}, {self.doing[0].lower()}{self.doing[1:]}{share}"
        going_on = self.epochs and self.epoch < self.epochs
        if going_on and self.stage in TRAINING and self.part == TRAINING[self.stage]:
            return f"{words}, epoch {self.epoch + 1}/{self.epochs}"
        return words

    def seconds_left(self, time: float) -> float | None:
        """Seconds of the epochs to come; None while no epoch has ended."""
        return None if self.left is None else max(0.0, self.left[0] - (time - self.left[1]))


@dataclass(frozen=True)
class Running:
    """A running trial.

    Attributes:
        name: its name or number.
        maker: the trial that makes what this one waits for.
    """

    name: str
    now: Now
    maker: str | None = None

    def in_words(self) -> str:
        words = self.now.in_words()
        return words if self.maker is None else f"{words}, by trial {self.maker}"


def running_trials(trials: Mapping[str, Now]) -> tuple[Running, ...]:
    """Running trials by name, each with the one that it waits for."""
    makers = {now.key: name for name, now in trials.items() if now.key and not now.waits}
    return tuple(
        Running(name, now, makers.get(now.key or "") if now.waits else None)
        for name, now in trials.items()
    )


@dataclass(frozen=True)
class View:
    """A study at some moment.

    Attributes:
        time: seconds since the epoch.
        holder: the process that works on it; None if there is none.
        trials: all of them, sorted.
        running: those that run; none without a process.
        outlook: what is left of the budget, without a time where no trial runs.
    """

    folder: Path
    settings: StudySettings
    time: float
    holder: Holder | None
    trials: StudyView
    running: tuple[Running, ...]
    outlook: Outlook


class Tail:
    """The lines of a file that were completed since the last look; all of them if another file has
    taken its place, as when a resumed search sets damaged lines of its journal aside."""

    def __init__(self, file: Path) -> None:
        self._file, self._inode, self._end = file, 0, 0

    def lines(self) -> list[bytes]:
        try:
            with open(self._file, "rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._end = inode, 0
                file.seek(self._end)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._end += len(whole) + len(end)
        return whole.split(b"\n") if end else []


class TrialFollower:
    """Follows one trial by its folder."""

    def __init__(self, folder: Path) -> None:
        self._tail, self._now = Tail(folder / PROGRESS), Now()

    def look(self) -> Now:
        for note in notes_in(self._tail.lines()):
            self._now = self._now.after(note)
        return self._now


class StudyFollower:
    """Follows a study by its folder, whichever process works on it.

    Raises:
        StudyError: there is no study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings = read_settings(folder)
        self._journal = Tail(folder / JOURNAL)
        self._records: dict[int, TrialRecord] = {}
        self._trials = StudyView.of((), self._objectives)
        self._followers: dict[int, TrialFollower] = {}
        self._fetched = time.monotonic()
        self._workers = 1
        self._read()
        self._there = self._noted = self._ended
        self._began = self._last_end = time.monotonic()

    @property
    def _objectives(self) -> tuple[FigureName, ...]:
        return self._settings.goal.objectives

    @property
    def _ended(self) -> int:
        return sum(record.ending is not None for record in self._records.values())

    def _read(self) -> None:
        lines = self._journal.lines()
        # A damaged line is reported by what reads the journal to go on with it.
        found, _ = records_in(lines)
        self._records |= found
        if lines:
            # A resumed search may have another budget.
            self._settings = read_settings(self.folder)
            self._trials = StudyView.of(tuple(self._records.values()), self._objectives)

    def look(self) -> View:
        """The study now; one at an address, as it was a few seconds ago."""
        self._fetch()
        self._read()
        now, holder = time.time(), worked_on(self.folder)
        running: tuple[Running, ...] = ()
        if holder is not None:
            found = {
                record.name or str(record.number): self._follow(record)
                for record in self._trials.records
                if record.ending is None
            }
            # Those of an earlier search run only once they are taken up again.
            running = running_trials({n: t for n, t in found.items() if t.heard >= holder.since})
        self._workers = max(self._workers, len(running))
        return View(
            self.folder,
            self._settings,
            now,
            holder,
            self._trials,
            running,
            outlook(
                self._settings.budget.limits,
                self._spent(len(running), max(0.0, now - holder.since) if holder else 0.0),
            ),
        )

    def _fetch(self) -> None:
        if time.monotonic() - self._fetched > LAG:
            with contextlib.suppress(RemoteError):  # Whoever works on the study says so.
                fetch_study(self.folder)
            self._fetched = time.monotonic()

    def _follow(self, record: TrialRecord) -> Now:
        if record.number not in self._followers:
            self._followers[record.number] = TrialFollower(self.folder / record.folder)
        return self._followers[record.number].look()

    def _spent(self, running: int, elapsed: float) -> Spent:
        now, ended = time.monotonic(), self._ended
        if ended != self._noted:
            self._noted, self._last_end = ended, now
        spent = Tally.of(self._trials.records).spent(
            elapsed=elapsed,
            workers=self._workers,
            ended=ended - self._there,
            # Up to the last end only: the time of the trials that run now is not known yet, and
            # with each look the expected end would move away.
            watched=self._last_end - self._began,
            since=now - self._last_end,
        )
        # Not all that have not ended run: some wait to be taken up by a resumed search.
        return replace(spent, running=running)
