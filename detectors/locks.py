"""Locks between processes that name their holder, and that a hung holder does not keep forever.

A lock is an advisory lock (`flock`) on a file, so it is released when its process ends. The holder
writes its identity into the file. A holder with a *lease* renews it while it makes progress; one
whose lease has expired counts as hung. A waiting process then removes the file, and all continue
with a new one. The old holder can check whether that happened (`Hold.is_lost`).

Waiting is done in short sleeps: it can be interrupted, and notices changes of the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import math
import os
import platform
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from detectors.lock_holders import Holder, own_birth

PATIENCE = 30.0
"""Seconds of waiting after which a waiter logs whom it waits for."""

GRACE = 1.0
"""Seconds for which a waiter watches an expired lease before it counts the holder as hung."""

UNKNOWN = 60.0
"""The same for a holder that has not written its identity, which takes microseconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.2
"""Seconds between two checks. Many may wait while one measures, and must not disturb it."""

RECORD = 256
"""Bytes of a holder's record, padded, so that a shorter one overwrites a longer one."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


@dataclass
class Hold:
    """A lock that this process holds.

    Attributes:
        file: the open file.
        lease: seconds without progress after which others need not wait; None for no limit.
    """

    file: int
    path: Path
    what: str
    lease: float | None
    since: float = field(default_factory=time.time)
    renewed: float = -math.inf

    def renew(self) -> None:
        """Write the holder, and restart the lease."""
        self.renewed = time.monotonic()
        until = None if self.lease is None else self.renewed + self.lease
        pid = os.getpid()
        holder = Holder(pid, platform.node(), self.what, self.since, until, own_birth(pid))
        os.pwrite(self.file, json.dumps(vars(holder)).encode().ljust(RECORD), 0)

    def progress(self) -> None:
        """Renew the lease if a good part of it has passed."""
        if self.lease is not None and time.monotonic() - self.renewed > self.lease / 10:
            self.renew()

    @property
    def is_lost(self) -> bool:
        """Whether this lease expired and others continued without waiting."""
        return not is_current(self.file, self.path)


class _Mine(threading.local):
    def __init__(self) -> None:
        self.holds: list[Hold] = []


_mine = _Mine()


def progress() -> None:
    """Renew the leases of the locks held by this thread; cheap."""
    for hold in _mine.holds:
        hold.progress()


class Waiting:
    """One wait for a lock."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = time.monotonic()
        self._seen: tuple[Holder | None, float] = (None, self._start)
        self._pause = FIRST_PAUSE
        self._patience = PATIENCE

    def is_over(self, holder: Holder | None) -> bool:
        """Whether a holder counts as hung, by how long it has been seen unchanged.

        Logs once whom it waits for.
        """
        now = time.monotonic()
        if holder != self._seen[0]:
            self._seen = (holder, now)
        if now - self._start > self._patience:
            logger.warning(f"{self._name}: waiting for {holder or 'a process'}")
            self._patience = math.inf
        if holder is None:
            return now - self._seen[1] > UNKNOWN
        return holder.is_late and now - self._seen[1] > GRACE

    def pause(self) -> None:
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def give_up(self, holder: Holder | None) -> None:
        """Log that a hung holder is no longer waited for."""
        logger.warning(f"{self._name}: going on without {holder or 'a process'}: it seems to hang")


class Busy(RuntimeError):
    """Another process holds a lock; the message says which."""


@contextlib.contextmanager
def held(path: Path, what: str, lease: float | None = None, wait: bool = True) -> Iterator[Hold]:
    """Hold a lock exclusively.

    Args:
        path: the lock's file, created if missing.
        what: what it is held for, as in "has been ...".
        lease: seconds without `progress` after which this holder counts as hung. All users of the
            lock must agree on whether there is a lease.
        wait: whether to wait for the lock.

    Raises:
        Busy: it is held already, and `wait` is False.
        OSError: the file is not a regular file, or its file system does not support locks.
    """
    hold = Hold(_taken(path, lease is not None, wait), path, what, lease)
    try:
        hold.renew()
        _mine.holds.append(hold)
        yield hold
    finally:
        _mine.holds = [other for other in _mine.holds if other is not hold]
        os.ftruncate(hold.file, 0)
        fcntl.flock(hold.file, fcntl.LOCK_UN)  # forks of this process may still have it open
        os.close(hold.file)


def _taken(path: Path, leased: bool, wait: bool) -> int:
    """A descriptor of the file at `path`, locked."""
    waiting = Waiting(str(path))
    while True:
        with contextlib.ExitStack() as opened:
            file = open_lock(path)
            opened.callback(os.close, file)
            if not wait and not try_lock(file, fcntl.LOCK_EX):
                raise Busy(str(holder_of(file) or "another process"))
            if wait_for(file, path, fcntl.LOCK_EX, waiting, leased) and is_current(file, path):
                opened.pop_all()
                return file


def wait_for(file: int, path: Path, mode: int, waiting: Waiting, leased: bool) -> bool:
    """Lock an open file as soon as possible.

    Args:
        mode: `LOCK_EX` or `LOCK_SH`.
        leased: whether a holder can count as hung.

    Returns:
        Whether it is locked; False if the file at `path` has been replaced.
    """
    while not try_lock(file, mode):
        if not is_current(file, path):
            return False
        holder = holder_of(file)
        if waiting.is_over(holder) and leased and _replace(file, path, holder):
            waiting.give_up(holder)
        else:
            waiting.pause()
    return True


def _replace(file: int, path: Path, holder: Holder | None) -> bool:
    """Remove the file of a hung holder, unless it moved or another waiter was faster."""
    guard = open_lock(path.with_name(f"{path.name}.guard"))
    try:
        if not try_lock(guard, fcntl.LOCK_EX):
            return False
        if not is_current(file, path) or holder_of(file) != holder:
            return False
        os.unlink(path)
        return True
    finally:
        os.close(guard)


def open_lock(path: Path, flags: int = 0) -> int:
    """A descriptor of a lock's file, created if missing; it follows no link and truncates nothing.

    Args:
        flags: further flags of `os.open`.

    Raises:
        OSError: there is something other than a regular file.
    """
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _no_lock(path) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _no_lock(path)
    return file


def _no_lock(path: Path) -> OSError:
    return OSError(f"{path}: a lock must be a regular file, which this is not; delete it")


def try_lock(file: int, mode: int) -> bool:
    """Lock a file if that is possible at once; `mode` is `LOCK_EX` or `LOCK_SH`.

    Raises:
        OSError: the file system does not support locks.
    """
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            where = os.readlink(f"/proc/self/fd/{file}")
            raise OSError(
                f"{where}: this file system does not support locks ({error.strerror}); use another "
                "one"
            ) from None
        raise
    return True


def is_current(file: int, path: Path) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False


def living_holder(path: Path) -> Holder | None:
    """The process that holds the lock of a file; None if there is none, or no such file.

    Nothing is locked, so that another may take it at any moment.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        holder = holder_of(file)
    finally:
        os.close(file)
    return holder if holder and holder.is_alive else None


def holder_of(file: int) -> Holder | None:
    """The last holder written into a lock's file; None if there is none or it released the lock."""
    try:
        return Holder(**json.loads(os.pread(file, RECORD, 0)))
    except (ValueError, TypeError):
        return None
