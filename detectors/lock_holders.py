"""Who holds a lock: a process, by what identifies it on its node and across nodes."""

from __future__ import annotations

import functools
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holder:
    """The holder of a lock.

    Attributes:
        what: what it does with the lock, as in "has been ...".
        since: seconds since the epoch, for messages: a clock may be set.
        until: when its lease expires, by the node's monotonic clock; None without a lease.
        born: when its process began, in ticks of the node's boot; None of an earlier version.
    """

    pid: int
    host: str
    what: str
    since: float
    until: float | None
    born: int | None = None

    @property
    def is_late(self) -> bool:
        """Whether its lease has expired; only known on its own node."""
        if self.until is None or self.host != platform.node():
            return False
        return time.monotonic() > self.until

    @property
    def is_alive(self) -> bool:
        """Whether its process runs; of one on another node that is not known, and assumed."""
        if self.host != platform.node():
            return True
        # A later process may have its number.
        if self.born is not None:
            return birth_of(self.pid) == self.born
        try:
            return psutil.Process(self.pid).create_time() <= self.since + 1
        except psutil.Error:
            return False

    def __str__(self) -> str:
        who = f"process {self.pid}"
        if self.host != platform.node():
            who += f" on {self.host}"
        elif command := _command(self.pid):
            who += f" ({command})"
        clock = time.strftime("%X", time.localtime(self.since))
        return f"{who}, which has been {self.what} since {clock}"


def birth_of(pid: int) -> int | None:
    """When a process of this node began, in ticks of its boot; None if it has ended.

    Unlike the time of day that libraries give, no change of the clock moves it.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])  # the name before may hold anything


own_birth = functools.cache(birth_of)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = b" ".join(words).decode(errors="replace").strip()
    return text if len(text) <= 100 else f"{text[:97]}..."
