"""The journal of a study that several drivers share: its rows in a database, and a copy on disk.

Each trial belongs to the driver that runs it, for as long as that one lives (`launch.study.heart`).
A driver writes to its own trials only, and the database checks that in the statement that writes:
one that was frozen, and whose trial was taken over, writes nothing of it any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from sqlalchemy.engine import Row

from launch.files import TRIALS
from launch.records import TrialRecord
from launch.study.database import OVERTAKEN, Database, in_words
from launch.study.heart import LOOKS, Heart
from launch.study.journal import Journal
from launch.study.optuna_study import Opener, in_database
from launch.study.rows import Rows
from launch.study.settings import StudyError, StudySettings
from launch.study.terms import check_agreed, terms_of
from launch.trial.copies import folder_beside, shown_place

NEWS = 1.0
"""Seconds between two looks for what others wrote, outside of turns."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class SharedJournal(Journal):
    """The records of all drivers.

    Args:
        path: the journal's file of this driver: a copy of what it has seen, for reports.
        study: the study's name in the database.
        driver: the id of this driver, which stays when it is resumed.
    """

    def __init__(self, path: Path, database: Database, study: str, driver: str) -> None:
        super().__init__(path)
        self._copy, self._records, self._last = self._records, {}, -1
        self._database, self._study, self._driver = database, study, driver
        self._folder = path.resolve().parent
        self._rows = Rows(database, study, driver, shown_place(self._folder))
        self._heart = Heart(self._rows)
        self._owners: dict[int, str] = {}  # of the trials that have not ended
        self._seen = -1
        self._looked = -NEWS
        self._in_turn = False
        self.salt = crc32(driver.encode())

    @contextmanager
    def joined(self, settings: StudySettings, begun: bool) -> Iterator[None]:
        """Take part in the study.

        Args:
            begun: whether this driver took part before; else the study is begun if there is none.

        Raises:
            StudyError: there is none, or its settings are others.
        """
        self.in_turn(lambda: self._join(settings, begun))
        self._heart.start()
        try:
            yield
        finally:
            self._heart.stop()
            try:
                self._rows.leave()
            except Exception as error:  # The others will find out.
                logger.debug(f"{self._database.name}: could not leave ({in_words(error)})")

    def _join(self, settings: StudySettings, begun: bool) -> None:
        name = f"{self._database.name}, study {self._study}"

        def check(found: Row | None) -> None:
            if found is None:
                raise StudyError(
                    f"{name}: there is none of that name; give the address of the database in "
                    "which it was begun"
                )
            if not begun:
                check_agreed(settings, found.terms, found.trials, name)

        trials = settings.budget.trials
        begin = None if begun else {"terms": terms_of(settings), "trials": trials}
        self._rows.join(begin, check)
        self.elapsed = self._rows.elapsed(LOOKS * self._heart.every)
        self._read()

    def append(self, record: TrialRecord) -> None:
        record = _at_home(record)
        before = self._records.get(record.number)
        version = self._lasting(lambda: self._rows.store(record, before))
        if version == self._seen + 1:
            self._seen = version  # Others wrote nothing in between.
        self._own(record.number, self._driver, ended=record.ending is not None)
        self._write(record)

    def in_turn(self, call: Callable[[], T]) -> T:
        """See `Journal.in_turn`; what others wrote is read first. Calls may be nested."""
        return self._lasting(lambda: self._turned(call), OVERTAKEN)

    def _turned(self, call: Callable[[], T]) -> T:
        if self._in_turn:
            return call()
        try:
            with self._database.turn(self._study):
                self._in_turn = True
                if self._seen >= 0:
                    self._read()
                return call()
        except Exception:
            self.news = True  # It may have ended half-way.
            raise
        finally:
            self._in_turn = False

    def _lasting(self, call: Callable[[], T], overtaken: tuple[type[Exception], ...] = ()) -> T:
        # Of a turn, the whole is repeated.
        return call() if self._in_turn else self._database.lasting(call, overtaken)

    def refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked >= NEWS:
            self._looked = now
            self._lasting(self._look)

    def _look(self) -> None:
        self._read()
        # A driver that dies writes nothing.
        self.news = self.news or (self.elsewhere and bool(self.orphans()))

    @property
    def opener(self) -> Opener:
        """Opens the Optuna study, which lies in the same database under the same name."""
        return partial(in_database, self._database.optuna, self._study)

    def is_mine(self, number: int) -> bool:
        return self._owners.get(number) == self._driver

    @property
    def elsewhere(self) -> bool:
        return any(owner != self._driver for owner in self._owners.values())

    def orphans(self) -> list[int]:
        gone, living = self._rows.bury(self._heart.dead)
        for place in gone:
            logger.warning(f"the driver in {place} is silent: its trials are taken over")
        living.add(self._driver)
        return sorted(number for number, owner in self._owners.items() if owner not in living)

    def take(self, number: int) -> TrialRecord:
        self._rows.take(number, self._owners[number])
        self._owners[number] = self._driver
        self._write(_at_home(self.get(number)))
        return self.get(number)

    def agree(self, trials: int) -> None:
        self._lasting(lambda: self._rows.agree(trials))
        self.trials = trials

    def _own(self, number: int, driver: str, ended: bool) -> None:
        if ended:
            self._owners.pop(number, None)
        else:
            self._owners[number] = driver

    def _read(self) -> None:
        """Read what others wrote since the last time, into the copy on disk."""
        version, self.trials, rows = self._rows.newer(self._seen)
        if version == self._seen:
            return
        for row in rows:
            record = TrialRecord.read(row.record)
            if row.driver != self._driver:
                folder = f"{folder_beside(self._folder, row.home)}/{record.folder}"
                record = record.model_copy(update={"folder": folder})
            self._own(record.number, row.driver, row.ended)
            if self._copy.pop(record.number, None) == record:
                self._keep(record)
            elif self._records.get(record.number) != record:
                self._write(record)
        self._seen, self.news = version, True


def _at_home(record: TrialRecord) -> TrialRecord:
    """The record of a trial that runs in the folder of this driver."""
    return record.model_copy(update={"folder": f"{TRIALS}/{Path(record.folder).name}"})
