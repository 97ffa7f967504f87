"""Locks between processes that say who holds them, and that a hung holder need not keep for ever.

A lock is an advisory one (`flock`) on a file, so it dies with its process. Its holder writes into
the file who it is. A holder with a *lease* renews it while it makes progress; one whose lease has
ended counts as hung. Whoever waits for it then removes the file, and all go on with a new one. The
old holder finds out by looking (`Hold.is_lost`).

Waiting is done in short sleeps: it can be interrupted, and sees what becomes of the file.
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

PATIENCE = 30.0
"""Seconds of waiting after which a waiter says whom it waits for."""

GRACE = 1.0
"""Seconds for which a waiter watches a lease that has ended before it counts the holder as hung."""

UNKNOWN = 60.0
"""The same in seconds for a holder that has not written who it is, which takes microseconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.2
"""Seconds between two looks. Many may wait while one measures, and should not be noticed."""

RECORD = 256
"""Bytes of a holder's record, padded, so that a shorter one leaves nothing of a longer one."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        what: what it does with it, as in "has been ...".
        since: seconds since the epoch.
        until: when its lease ends, by the node's monotonic clock; None without a lease.
    """

    pid: int
    host: str
    what: str
    since: float
    until: float | None

    @property
    def is_late(self) -> bool:
        """Whether its lease has ended, which only its own node can tell."""
        known = self.until is not None and self.host == platform.node()
        return known and time.monotonic() > self.until

    def __str__(self) -> str:
        who = f"process {self.pid}"
        if self.host != platform.node():
            who += f" on {self.host}"
        elif command := _command(self.pid):
            who += f" ({command})"
        clock = time.strftime("%X", time.localtime(self.since))
        return f"{who}, which has been {self.what} since {clock}"


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = b" ".join(words).decode(errors="replace").strip()
    return text if len(text) <= 100 else f"{text[:97]}..."


@dataclass
class Hold:
    """A lock that this process holds.

    Attributes:
        file: the open file.
        lease: seconds without progress after which others need not wait; None for no end.
    """

    file: int
    path: Path
    what: str
    lease: float | None
    since: float = field(default_factory=time.time)
    renewed: float = -math.inf

    def renew(self) -> None:
        """Write who holds the lock, and that the lease begins anew."""
        self.renewed = time.monotonic()
        until = None if self.lease is None else self.renewed + self.lease
        holder = Holder(os.getpid(), platform.node(), self.what, self.since, until)
        os.pwrite(self.file, json.dumps(vars(holder)).encode().ljust(RECORD), 0)

    def progress(self) -> None:
        """Renew the lease if a good part of it is over."""
        if self.lease is not None and time.monotonic() - self.renewed > self.lease / 10:
            self.renew()

    @property
    def is_lost(self) -> bool:
        """Whether others went on without waiting, as this lease had ended."""
        return not is_current(self.file, self.path)


class _Mine(threading.local):
    def __init__(self) -> None:
        self.holds: list[Hold] = []


_mine = _Mine()


def progress() -> None:
    """Say that the holder of whatever this thread holds is not hung; costs next to nothing."""
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
        """Whether a holder counts as hung, going by how long it has been seen unchanged.

        Says once who is waited for.
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
        """Say that a hung holder is not waited for any longer."""
        logger.warning(f"{self._name}: going on without {holder or 'a process'}: it seems to hang")


class Busy(RuntimeError):
    """Somebody else holds a lock; the message says who."""


@contextlib.contextmanager
def held(path: Path, what: str, lease: float | None = None, wait: bool = True) -> Iterator[Hold]:
    """Hold a lock alone.

    Args:
        path: the lock's file, made where it is not there.
        what: what it is held for, as in "has been ...".
        lease: seconds without `progress` after which this holder counts as hung. All that want the
            lock must agree on whether there is one.
        wait: until the lock can be had.

    Raises:
        Busy: it is held already, and is not to be waited for.
        OSError: the file is no ordinary one, or its file system keeps no locks.
    """
    hold = Hold(_taken(path, lease is not None, wait), path, what, lease)
    try:
        hold.renew()
        _mine.holds.append(hold)
        yield hold
    finally:
        _mine.holds = [other for other in _mine.holds if other is not hold]
        os.ftruncate(hold.file, 0)
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
    """Lock an open file as soon as that can be had.

    Args:
        mode: `LOCK_EX` or `LOCK_SH`.
        leased: whether a holder can count as hung.

    Returns:
        Whether it is locked; False where the file at `path` is another one by now.
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
    """A descriptor of a lock's file, made where it is not there; follows no link, empties nothing.

    Args:
        flags: further ones of `os.open`.

    Raises:
        OSError: there is something else in its place.
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
    return OSError(f"{path}: a lock is an ordinary file, which this is not; delete it")


def try_lock(file: int, mode: int) -> bool:
    """Lock a file if that can be had at once; `mode` is `LOCK_EX` or `LOCK_SH`."""
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            where = os.readlink(f"/proc/self/fd/{file}")
            raise OSError(
                f"{where}: this file system keeps no locks ({error.strerror}); use another one"
            ) from None
        raise
    return True


def is_current(file: int, path: Path) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False


def holder_of(file: int) -> Holder | None:
    """Who wrote into a lock's file last, unless it left the lock; None where nobody did."""
    try:
        return Holder(**json.loads(os.pread(file, RECORD, 0)))
    except (ValueError, TypeError):
        return None
