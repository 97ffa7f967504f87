"""Logging the trials of a study to a tracker while it runs, each once, without waiting for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ValidationError

from detectors.files import append
from launch.decisions.budget import Outlook
from launch.figures import FIGURES
from launch.files import SETTINGS, TRACKED
from launch.records import TrialRecord
from launch.report.history import history, scalars
from launch.report.words import design_in_words
from launch.searches.trackers import Kind, Tracked, Tracker, check_tracker
from launch.study.opening import read_records
from launch.study.search_options import TrackerName
from launch.study.study import OnEnd
from searchspace.masking import without_secrets
from searchspace.words import command

WAIT, WAIT_INTERRUPTED = 30.0, 5.0
"""Seconds that a search waits for its last trials to be logged: when it has ended, and when it was
interrupted."""

logger = logging.getLogger(__name__)


class Logged(BaseModel):
    """A line about a trial in the study's folder; the last one counts.

    Attributes:
        run: what the tracker calls its run.
        ending: which of its endings was logged, as a stopped trial may go on; None if none was.
        step: the last step of its learning curve that was logged.
    """

    number: int
    run: str
    ending: str | None = None
    step: int = 0


class Tracking:
    """While it is entered, trials that end are logged, by another thread. So are those that ended
    before and were not, as when the tracker could not be reached.

    Attributes:
        on_end: to be called with each trial that ends; calls `on_end` as given, too.
    """

    def __init__(self, name: TrackerName | None, folder: Path, on_end: OnEnd | None) -> None:
        """Raises `SettingsError` if nothing can be logged there; without a name, logs nothing."""
        self.on_end = on_end
        self._thread: threading.Thread | None = None
        if name is None:
            return
        self._name, self._folder, self._given = name, folder, on_end
        self._file = folder / TRACKED.format(name)
        # Seen now: later, a new study may be half-made.
        self._resumes = (folder / SETTINGS).exists()
        self._ended: SimpleQueue[TrialRecord | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, args=(check_tracker(name),), name="tracking", daemon=True
        )
        self.on_end = self._hear
        self._warned = False

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        self._ended.put(None)
        self._thread.join(WAIT_INTERRUPTED if kind else WAIT)
        if self._thread.is_alive():
            self._warn("it has not answered yet")

    def _hear(self, record: TrialRecord, outlook: Outlook) -> None:
        self._ended.put(record)
        if self._given is not None:
            self._given(record, outlook)

    def _work(self, kind: Kind) -> None:
        records: dict[int, TrialRecord] = {}
        tracker: Tracker | None = None
        with self._warning():
            if self._resumes:
                records = {own.number: own for own in read_records(self._folder)}
        goes_on = True
        while True:
            with self._warning():
                tracker = tracker or kind.make(self._folder)
                self._log_all(tracker, records)
            if not goes_on:
                break
            goes_on = self._take(records)

    def _take(self, records: dict[int, TrialRecord]) -> bool:
        """Wait for a trial that ended, and take all that have; False if it was the last time."""
        while (record := self._ended.get()) is not None:
            records[record.number] = record
            if self._ended.empty():
                return True
        return False

    def _log_all(self, tracker: Tracker, records: dict[int, TrialRecord]) -> None:
        """Log the trials that have ended and were not logged yet."""
        there = logged_in(self._file)
        for record in sorted(records.values(), key=lambda record: record.number):
            before = there.get(record.number)
            if record.ending and not (before and before.ending == _ending(record)):
                alike = [other for other in records.values() if other.training == record.training]
                with self._warning():
                    self._log(tracker, record, alike, before)

    def _log(
        self,
        tracker: Tracker,
        record: TrialRecord,
        alike: list[TrialRecord],
        before: Logged | None,
    ) -> None:
        trial = _tracked(self._folder, record, alike, before.step if before else 0)
        if before is None:
            before = Logged(number=record.number, run=tracker.begin(trial))
            _note(self._file, before)
        tracker.log(before.run, trial)
        step = max((one.step for one in trial.curve), default=before.step)
        _note(self._file, before.model_copy(update={"ending": _ending(record), "step": step}))

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """Turn an error into a warning: each library has its own, and none ends the search."""
        try:
            yield
        except Exception as error:
            self._warn(_in_words(error))

    def _warn(self, reason: str) -> None:
        """Say once that trials are not logged."""
        if not self._warned:
            self._warned = True
            again = command("search", "--resume", self._folder, "--track", self._name)
            logger.warning(
                f"{self._name}: trials could not be logged ({reason}). The search goes on; they "
                f"are logged with the next trial, or by {again}"
            )


def logged_in(file: Path) -> dict[int, Logged]:
    """By number, what the lines of a file say of trials; a line that was cut by a kill says
    nothing."""
    found: dict[int, Logged] = {}
    for line in file.read_bytes().split(b"\n") if file.exists() else ():
        try:
            one = Logged.model_validate_json(line)
        except ValidationError:
            continue
        found[one.number] = one
    return found


def _note(file: Path, line: Logged) -> None:
    # The empty line ends one that was cut by a kill.
    append(file, b"\n" + line.model_dump_json().encode() + b"\n")


def _ending(record: TrialRecord) -> str:
    """What tells an ending of a trial from its earlier ones."""
    return f"{record.state}, promoted {record.promoted}, retried {record.retries}"


def _tracked(folder: Path, record: TrialRecord, alike: list[TrialRecord], step: int) -> Tracked:
    """A trial as it is logged.

    Args:
        alike: the trials that share its training.
        step: the last one that was logged before.
    """
    curve = scalars(history(folder, alike, [record.number]))
    about = {
        "state": record.state,
        "reason": record.why,
        "origin": record.origin,
        "design": design_in_words(record.config, alike=False),
        "parent": "" if record.parent is None else str(record.parent),
        "seconds": f"{record.seconds:.1f}",
        "folder": str(folder / record.folder),
    }
    values = {name: record.figure(name) for name in FIGURES}
    return Tracked(
        name=record.name or f"trial {record.number}",
        study=folder.name,
        state=record.state,
        params=record.params,
        figures={name: value for name, value in values.items() if value is not None},
        about={name: text for name, text in about.items() if text},
        curve=[one for one in curve if one.step > step],
    )


def _in_words(error: Exception) -> str:
    """An error of a tracker without passwords and keys, which addresses in it may have."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return without_secrets(text)[:300]
