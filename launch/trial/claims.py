"""Claims of processes at an address: that they work on a study, or make one of its stages.

Object stores have no locks. A claim is an object that its process writes again and again while it
lives; one that has not been written for a while counts as that of a process that was killed. Ages
are taken by that place's own clock. If two nodes claim a stage at the same moment, both may make
it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from detectors.lock_holders import Holder
from detectors.locks import PATIENCE, Busy
from detectors.regularly import regularly
from detectors.remote import RemoteError
from launch.trial.remote_study import RemoteStudy

RENEWED = 30.0
"""Seconds after which a claim is written again."""

LEASE = timedelta(seconds=120)
"""Age of a claim whose process counts as killed."""

PAUSE = 5.0
"""Seconds between two looks of a process that waits."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Claim:
    """A claim of this process.

    Attributes:
        place: folder at the address with all claims to the same.
        name: of this one; the first by name goes first.
        holder: who this is.
    """

    remote: RemoteStudy
    place: str
    name: str
    holder: Holder

    def write(self, patience: float | None = None) -> None:
        content = json.dumps(vars(self.holder)).encode()
        given = {} if patience is None else {"patience": patience}
        self.remote.write(self.name, content, **given)

    def others(self, earlier: bool) -> Iterator[Holder]:
        """Living processes with a claim, or only those whose claim comes before this one."""
        found = self.remote.listing(self.place)
        mine = found.get(self.name)
        for name in sorted(found.keys() - {self.name}):
            late = mine is not None and not _is_fresh(found[name].mtime, mine.mtime)
            if late or (earlier and name > self.name):
                continue
            if (holder := _read(self.remote, name)) is not None and holder.is_alive:
                yield holder


@contextmanager
def claimed(remote: RemoteStudy, place: str, what: str, wait: bool = True) -> Iterator[None]:
    """While this process has claimed something at an address, no other one that asks has it.

    Args:
        place: folder of the claims.
        what: what it does, as in "has been ...".
        wait: whether to wait for others.

    Raises:
        Busy: another process has it, and `wait` is False.
        RemoteError: the address does not answer.
    """
    name = f"{place}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    who = Holder(os.getpid(), platform.node(), what, time.time(), None)
    claim = _Claim(remote, place, name, who)
    claim.write()
    try:
        _wait(claim, wait)
        with _renewed(claim):
            yield
    finally:
        try:
            remote.remove(name, patience=0)
        except RemoteError as error:
            logger.warning(f"{name} could not be removed: {error}")


def claimants(remote: RemoteStudy, place: str) -> Iterator[Holder]:
    """The living processes with a claim, seen from outside: by this machine's clock."""
    for name, info in remote.listing(place, patience=0).items():
        fresh = info.mtime is None or _is_fresh(info.mtime, datetime.now(info.mtime.tzinfo))
        if fresh and (holder := _read(remote, name)) is not None and holder.is_alive:
            yield holder


def _wait(claim: _Claim, wait: bool) -> None:
    begun, said = time.monotonic(), False
    while (other := next(claim.others(earlier=wait), None)) is not None:
        if not wait:
            raise Busy(f"{other} (one that was killed counts for {LEASE.seconds} s)")
        if not said and time.monotonic() - begun > PATIENCE:
            said = True
            logger.warning(f"{claim.remote}/{claim.place}: waiting for {other}")
        time.sleep(PAUSE)
        claim.write()


def _renewed(claim: _Claim) -> AbstractContextManager[None]:
    def renew() -> None:
        try:
            claim.write(patience=0)
        except RemoteError as error:
            logger.warning(f"{claim.name} could not be renewed: {error}")

    return regularly(renew, RENEWED, "claim")


def _is_fresh(written: datetime | None, now: datetime | None) -> bool:
    return written is None or now is None or now - written < LEASE


def _read(remote: RemoteStudy, name: str) -> Holder | None:
    """Who wrote a claim; None where it is gone, or cannot be read."""
    try:
        return Holder(**json.loads(remote.read(name)))
    except (FileNotFoundError, ValueError, TypeError):
        return None
