"""The PostgreSQL database that several drivers share a study in: its tables, connections, errors.

Three tables of ours lie beside Optuna's: the studies, their drivers, and their trials. A trial's
row has the same record as a line of the journal, and names the driver that runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar

import sqlalchemy as sql
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from detectors.patience import patiently
from launch.study.failures import SearchStopped
from launch.study.journal import Lost
from launch.study.settings import StudyError
from searchspace.masking import without_secrets
from searchspace.words import install

SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")

KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Parameters of libpq: a connection to a machine that is gone fails within a minute."""

IMPATIENT = "idle_in_transaction_session_timeout TO '10s'"
"""A setting by which the server ends a transaction in which nothing happens: who is frozen in it
would keep all others from writing."""

PATIENT = "LOCAL idle_in_transaction_session_timeout TO '60s'"
"""The same of a turn, in which samplers compute."""

RELAXED = "synchronous_commit TO off"
"""A setting by which commits do not wait for the disk: what a crash of the server loses of Optuna's
tables is in the rows of the trials."""

PATIENCE = 600.0
"""Seconds for which a driver waits for a database that does not answer."""

LONGEST_PAUSE = 10.0
"""Seconds between two attempts to reach it, at most: others may take over what is not reported."""

OFTEN = 5
"""How often in a row a driver may lose its turn."""

SCHEMA = 0x5BA440
"""The key of the lock under which tables are created."""

META = sql.MetaData()

STUDIES = sql.Table(
    "sparrow_studies",
    META,
    sql.Column("name", sql.String(200), primary_key=True),
    sql.Column("terms", sql.Text, nullable=False),
    sql.Column("trials", sql.BigInteger, nullable=False),
    sql.Column("version", sql.BigInteger, nullable=False, default=0),
    sql.Column("opened", sql.DateTime(timezone=True), nullable=False),
)
"""`terms`: the settings that all drivers share. `trials`: how many in all. `version`: counts the
changes of the study. `opened`: when the first of the drivers that work on it now began."""

DRIVERS = sql.Table(
    "sparrow_drivers",
    META,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("place", sql.Text, nullable=False),
    sql.Column("beat", sql.BigInteger, nullable=False),
    sql.Column("seen", sql.DateTime(timezone=True), nullable=False),
)
"""The drivers at work. `place`: machine and folder. `beat`: raised by the driver while it lives.
`seen`: when it was raised last."""

TRIALS = sql.Table(
    "sparrow_trials",
    META,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("digest", sql.String(64), nullable=False),
    sql.Column("driver", sql.String(64), nullable=False),
    sql.Column("home", sql.Text, nullable=False),
    sql.Column("ended", sql.Boolean, nullable=False),
    sql.Column("version", sql.BigInteger, nullable=False, index=True),
    sql.Column("record", sql.Text, nullable=False),
    sql.UniqueConstraint("study", "digest"),
)
"""`digest`: of the configuration as drawn, which no two trials share. `driver`: the one that runs
it, or ran it last, and `home` that one's folder. `version`: of the study when it was written."""

NOW = sql.func.clock_timestamp()
"""The server's time; that of drivers' machines is never compared."""

AWAY = (DBAPIError, StorageInternalError)
"""Errors of a database that may answer again."""

OVERTAKEN = (IntegrityError, UpdateFinishedTrialError, Lost)
"""Errors of a driver that lost its turn: others have written what it was about to write."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Database:
    """A connection pool, and Optuna's storage, in one database.

    Args:
        address: such as `postgresql://user:password@host:5432/database`.

    Raises:
        StudyError: it is no such address, psycopg is missing, or the database refuses to be used.
    """

    def __init__(self, address: str) -> None:
        self._url = _parsed(address)
        shown = self._url.set(drivername=SCHEMES[0])
        self.name = without_secrets(shown.render_as_string(hide_password=True))
        _check_driver()
        self._engine = sql.create_engine(self._url, **_options(IMPATIENT))
        try:
            with self._engine.begin() as connection:
                # Two drivers that begin at once would both create the tables.
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(SCHEMA)))
                META.create_all(connection)
                url = self._url.render_as_string(hide_password=False)
                self.optuna = RDBStorage(url, _options(IMPATIENT, RELAXED))
        except (SQLAlchemyError, RuntimeError) as error:  # Optuna's, for tables of another version
            raise StudyError(f"storage {self.name}: {in_words(error)}") from None

    def close(self) -> None:
        self.optuna.remove_session()
        self.optuna.engine.dispose()
        self._engine.dispose()

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction, which is committed at the end."""
        return self._engine.begin()

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """A connection each of whose statements is a transaction of its own, so that a driver that
        is frozen between them holds nothing."""
        with self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def turn(self, study: str) -> Iterator[None]:
        """Hold the turn of a study, which one driver has at a time.

        The server takes it from one that is frozen, whose later writes find that others have
        written.
        """
        with self._engine.connect() as connection:
            connection.execute(sql.text(f"SET {PATIENT}"))
            key = sql.func.hashtextextended(f"sparrow {study}", 0)
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(key)))
            yield
            try:
                connection.rollback()
            except DBAPIError as error:
                logger.warning(f"{self.name}: the turn was lost ({in_words(error)})")

    def lasting(
        self,
        call: Callable[[], T],
        overtaken: tuple[type[Exception], ...] = (),
        patience: float = PATIENCE,
    ) -> T:
        """The value of a call, which is repeated while the database does not answer.

        Args:
            overtaken: errors after which it is repeated, too, a few times.

        Raises:
            SearchStopped: it has not answered for `patience` seconds.
        """

        def once() -> T:
            for _ in range(OFTEN):
                with suppress(*overtaken):
                    return call()
            return call()

        def passing(error: Exception) -> str | None:
            away = isinstance(error, AWAY) and is_away(error)
            return f"it does not answer ({in_words(error)})" if away else None

        try:
            return patiently(once, passing, self.name, patience, LONGEST_PAUSE)
        except AWAY as error:
            if not is_away(error):
                raise
            raise SearchStopped(
                f"the search stopped: the database {self.name} has not answered for "
                f"{patience:.0f} seconds ({in_words(error)}). Nothing that finished is "
                "lost: resume the search once it answers"
            ) from None


def is_away(error: BaseException) -> bool:
    """Whether an error is one of the connection, and not of what was asked."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            broken = cause.connection_invalidated
            return broken or type(cause).__name__ in ("OperationalError", "InterfaceError")
        cause = cause.__cause__ or cause.__context__
    return False


def in_words(error: BaseException) -> str:
    """What a database said, on one line, without SQL and passwords."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return without_secrets(" ".join(str(cause).split()))[:300]


def _parsed(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        url = None
    if url is None or url.drivername not in SCHEMES:
        raise StudyError(
            f"storage {without_secrets(address)}: give the address of a PostgreSQL database, such "
            "as postgresql://user:password@host:5432/sparrow"
        )
    return url.set(drivername="postgresql+psycopg")


def _check_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StudyError(
            f"storage: it needs psycopg, which is not installed: {install('postgres')}"
        ) from None


def _options(*settings: str) -> dict[str, Any]:
    """The options of an engine, each connection of which has these settings."""

    def set_all(connection: Any, _: Any) -> None:
        for setting in settings:
            connection.execute(f"SET {setting}")
        connection.commit()

    events = [(set_all, "connect")]
    return {"connect_args": KEEPALIVE, "pool_pre_ping": True, "pool_events": events}
