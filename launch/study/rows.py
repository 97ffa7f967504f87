"""The rows of one shared study in the database, as one of its drivers reads and writes them.

Each method is one transaction. Whatever changes the study counts up its version first, by which
others wait until the transaction ends: versions become visible in their order, so that a reader who
has seen one misses none before it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Row

from launch.records import TrialRecord
from launch.study.database import DRIVERS, NOW, STUDIES, TRIALS, Database
from launch.study.journal import Lost

Condition = sql.ColumnElement[bool]


class Rows:
    """The rows of a study.

    Args:
        study: its name.
        driver: the id of this driver.
        home: its folder, or its address.
    """

    def __init__(self, database: Database, study: str, driver: str, home: str) -> None:
        self._database, self._study = database, study
        self._driver, self._home = driver, home
        self._named = STUDIES.c.name == study
        self._ours = DRIVERS.c.study == study
        self._me = self._driver_is(driver)

    def join(self, begin: Mapping[str, Any] | None, check: Callable[[Row | None], None]) -> None:
        """Take part in the study.

        Args:
            begin: the columns of the study, if it may be begun.
            check: refuses a study that is there, by its columns; called with None if there is none
                and none may be begun.
        """
        with self._database.begin() as connection:
            found = connection.execute(sql.select(STUDIES).where(self._named)).one_or_none()
            if found is None and begin is not None:
                row = sql.insert(STUDIES).values(name=self._study, version=0, opened=NOW, **begin)
                connection.execute(row)
            else:
                check(found)
            self._enter(connection)

    def elapsed(self, lately: float) -> float:
        """Seconds since the first of the drivers at work began.

        It is now, if no other has been seen within the latest `lately` seconds.
        """
        recent = sql.func.max(DRIVERS.c.seen) > NOW - sql.func.make_interval(
            0, 0, 0, 0, 0, 0, lately
        )
        others = sql.select(recent).where(self._ours, ~self._me)
        age = sql.select(sql.extract("epoch", NOW - STUDIES.c.opened)).where(self._named)
        with self._database.begin() as connection:
            if not connection.execute(others).scalar():
                connection.execute(sql.update(STUDIES).where(self._named).values(opened=NOW))
            return max(0.0, float(connection.execute(age).scalar_one()))

    def leave(self) -> None:
        """Take part no more: the own trials that have not ended are others' to take."""
        with self._database.begin() as connection:
            connection.execute(sql.delete(DRIVERS).where(self._me))

    def beat(self) -> Mapping[str, int]:
        """Raise the own beat; returns those of the others, by their ids. A driver that was given up
        for dead takes part again."""
        raised = sql.update(DRIVERS).where(self._me).values(beat=DRIVERS.c.beat + 1, seen=NOW)
        others = sql.select(DRIVERS.c.id, DRIVERS.c.beat).where(self._ours, ~self._me)
        with self._database.single() as connection:
            missing = not connection.execute(raised).rowcount
            found = {row.id: row.beat for row in connection.execute(others)}
        if missing:
            with self._database.begin() as connection:
                self._enter(connection)
        return found

    def bury(self, dead: Mapping[str, int]) -> tuple[list[str], set[str]]:
        """Remove dead drivers, unless they beat again in this moment.

        Args:
            dead: their ids, with the beat at which they stopped.

        Returns:
            where those worked that were removed, and the ids of all that take part.
        """
        living = sql.select(DRIVERS.c.id).where(self._ours)
        with self._database.begin() as connection:
            gone = [
                connection.execute(
                    sql.delete(DRIVERS)
                    .where(self._driver_is(driver), DRIVERS.c.beat == beat)
                    .returning(DRIVERS.c.place)
                ).scalar()
                for driver, beat in dead.items()
            ]
            ids = set(connection.execute(living).scalars())
        return [place for place in gone if place is not None], ids

    def take(self, number: int, before: str) -> None:
        """Take over a trial from a driver; raises `Lost` if that one has ended it."""
        with self._database.begin() as connection:
            version = self._next_version(connection)
            values = {"driver": self._driver, "home": self._home, "version": version}
            free = (TRIALS.c.driver == before) & ~TRIALS.c.ended
            _update(connection, self._row(number) & free, values)

    def store(self, record: TrialRecord, before: TrialRecord | None) -> int:
        """Write a record into the row of its trial; returns the version of the study.

        Args:
            before: its latest record that was read or written; None for a new trial.

        Raises:
            Lost: another driver runs the trial, or has ended it.
        """
        with self._database.begin() as connection:
            version, text = self._next_version(connection), record.model_dump_json()
            ended = record.ending is not None
            values: dict[str, Any] = {"driver": self._driver, "home": self._home, "record": text}
            values |= {"ended": ended, "version": version}
            row = self._row(record.number)
            there = sql.select(TRIALS.c.record, TRIALS.c.driver).where(row)
            if connection.execute(there).one_or_none() == (text, self._driver):
                return version  # It had been written when the connection broke.
            if before is None:
                digest = record.as_drawn.digest()
                key = {"study": self._study, "number": record.number, "digest": digest}
                connection.execute(sql.insert(TRIALS).values(**key, **values))
            elif before.ending is not None and not ended:
                _update(connection, row & TRIALS.c.ended, values)  # It is promoted or retried.
            else:
                _update(
                    connection, row & (TRIALS.c.driver == self._driver) & ~TRIALS.c.ended, values
                )
        return version

    def newer(self, seen: int) -> tuple[int, int, Sequence[Row]]:
        """What was written after a version: the version now, the study's number of trials in all,
        and the rows of its trials that changed."""
        state = sql.select(STUDIES.c.version, STUDIES.c.trials).where(self._named)
        with self._database.begin() as connection:
            version, trials = connection.execute(state).one()
            if version == seen:
                return version, trials, ()
            changed = (
                sql.select(TRIALS)
                .where(TRIALS.c.study == self._study)
                .where(TRIALS.c.version > seen, TRIALS.c.version <= version)
                .order_by(TRIALS.c.version)
            )
            return version, trials, connection.execute(changed).all()

    def agree(self, trials: int) -> None:
        """Change how many trials the study has in all."""
        with self._database.begin() as connection:
            self._next_version(connection)
            connection.execute(sql.update(STUDIES).where(self._named).values(trials=trials))

    def _enter(self, connection: Connection) -> None:
        connection.execute(sql.delete(DRIVERS).where(self._me))
        place = f"{platform.node()}:{self._home}"
        row = {"study": self._study, "id": self._driver, "place": place, "beat": 0}
        connection.execute(sql.insert(DRIVERS).values(seen=NOW, **row))

    def _next_version(self, connection: Connection) -> int:
        counted = sql.update(STUDIES).where(self._named).values(version=STUDIES.c.version + 1)
        return connection.execute(counted.returning(STUDIES.c.version)).scalar_one()

    def _driver_is(self, driver: str) -> Condition:
        return self._ours & (DRIVERS.c.id == driver)

    def _row(self, number: int) -> Condition:
        return (TRIALS.c.study == self._study) & (TRIALS.c.number == number)


def _update(connection: Connection, rows: Condition, values: Mapping[str, Any]) -> None:
    """Update the row of a trial; raises `Lost` if there is none that may be."""
    if not connection.execute(sql.update(TRIALS).where(rows).values(**values)).rowcount:
        raise Lost
