"""A quiet device for measurements: while one process measures, no training step runs.

A device has a *door* and one file for each running step. A step passes the door, as any number can
at the same time, and locks its own file. A measurement locks the door, so that no step begins, and
waits until the running ones have finished. All of these locks are in a private folder of the user
on this node, are released when their process ends, and have leases (`detectors.locks`): a process
that hangs blocks the others only for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import torch

from detectors.locks import (
    Hold,
    Waiting,
    held,
    holder_of,
    is_current,
    open_lock,
    try_lock,
    wait_for,
)
from detectors.own_folder import lock_folder

MEASURING = 120.0
"""Seconds that one measured call may take."""

FIRST_STEP, LEAST_STEP, MORE_THAN_BEFORE = 600.0, 60.0, 20
"""Leases of steps: seconds for the first step of its kind in a process, the least seconds for any,
and the factor on the longest step so far that was in time."""

STEP = "taking a training step"

_numbers = itertools.count()
_longest: dict[str, float] = {}
"""Seconds of the longest step of this process, by kind of step."""


class Alone:
    """A measurement's exclusive hold on its device."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._left: list[int] = []

    def wait_for_step(self, path: Path) -> None:
        """Wait until a step is done or counts as hung, then remove its file."""
        with contextlib.ExitStack() as opened:
            try:
                file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return
            opened.callback(os.close, file)
            waiting = Waiting(f"{self._hold.path.stem}, {self._hold.what}")
            while not try_lock(file, fcntl.LOCK_EX):
                holder = holder_of(file)
                if waiting.is_over(holder):
                    waiting.give_up(holder)
                    self._left.append(os.dup(file))
                    break
                self._hold.progress()
                waiting.pause()
            path.unlink(missing_ok=True)

    def doubt(self) -> str | None:
        """Why others may have computed during the measurement; None if it was alone."""
        if self._hold.is_lost:
            return f"it made no progress for over {self._hold.lease:.0f} s, and others went on"
        if any(try_lock(file, fcntl.LOCK_EX) for file in self._left):
            return "a process that had hung resumed or ended during it"
        return None

    def close(self) -> None:
        for file in self._left:
            os.close(file)


class _Seat:
    """The files that a thread keeps open for its steps on a device: the door, and its own file.

    Opening them costs far more than locking them.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.is_taken = False
        self.folder, self._name = folder, name
        self._door_path = folder / f"{name}.door"
        self._door = -1
        self._step: Hold | None = None

    def take(self, what: str, lease: float) -> None:
        """Pass the door and lock the thread's file; waits during a measurement."""
        waiting = Waiting(f"{self._name}, {what}")
        while not self._took(what, lease, waiting):
            # A measurement removed the step's file, or replaced the door of a hung one.
            self.close()
        self.is_taken = True

    def _took(self, what: str, lease: float, waiting: Waiting) -> bool:
        step = self._open()
        if not wait_for(self._door, self._door_path, fcntl.LOCK_SH, waiting, leased=True):
            return False
        try:
            if not try_lock(step.file, fcntl.LOCK_EX):
                return False
            step.what, step.lease, step.since = what, lease, time.time()
            step.renew()
            # The door is checked last: a measurement with a newer door did not look for this step.
            return os.fstat(step.file).st_nlink > 0 and is_current(self._door, self._door_path)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)

    def is_awaited(self) -> bool:
        """Whether a measurement waits until this thread leaves; renews the lease of its step."""
        if self._step is None:
            return False
        self._step.progress()
        if not try_lock(self._door, fcntl.LOCK_SH):
            return True
        fcntl.flock(self._door, fcntl.LOCK_UN)
        return False

    def _open(self) -> Hold:
        if self._step is None:
            self._door = open_lock(self._door_path)
            while self._step is None:
                path = self.folder / f"{self._name}.step.{os.getpid()}.{next(_numbers)}"
                with contextlib.suppress(FileExistsError):
                    self._step = Hold(open_lock(path, os.O_EXCL), path, "", None)
        return self._step

    def leave(self) -> None:
        self.is_taken = False
        if self._step is not None:
            fcntl.flock(self._step.file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._step is not None:
            os.close(self._step.file)
            self._step = None
        if self._door >= 0:
            os.close(self._door)
            self._door = -1

    __del__ = close


class _Mine(threading.local):
    def __init__(self) -> None:
        self.seats: dict[str, _Seat] = {}


_mine = _Mine()


def _forget_seats() -> None:
    """A forked process shares inherited locks, and would keep them when its parent dies."""
    for seat in _mine.seats.values():
        seat.close()
    _mine.seats.clear()


os.register_at_fork(after_in_child=_forget_seats)


def device_name(device: torch.device) -> str:
    """A name that distinguishes the devices of a node: the GPU's UUID, or `cpu`."""
    if device.type == "cuda":
        return f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return device.type


@contextlib.contextmanager
def computing(device: torch.device, what: str = STEP, lease: float | None = None) -> Iterator[None]:
    """Share the device with others, for one training step or batch.

    Args:
        what: what is done, as in "has been ..."; distinguishes kinds of steps.
        lease: seconds after which it counts as hung; by default from earlier steps of its kind.
    """
    seat = _seat(device)
    if seat.is_taken:
        yield
        return
    if lease is None:
        longest = _longest.get(what)
        lease = max(LEAST_STEP, MORE_THAN_BEFORE * longest) if longest else FIRST_STEP
    try:
        seat.take(what, lease)
        start = time.monotonic()
        yield
    finally:
        seat.leave()
    seconds = time.monotonic() - start
    if seconds < lease:
        _longest[what] = max(_longest.get(what, 0.0), seconds)


class Queue:
    """The training steps of a thread on a device, between which a measurement may come in.

    The call of a step returns before a GPU has computed it. Waiting for each would leave the GPU
    without work, so the thread stays on the device from step to step, and leaves it, once all is
    computed, when a measurement waits for it or at the end of the context.

    Args:
        deferred: whether the device computes steps later; by default, whether it is a GPU.
        waits: False for steps that another process on the device waits with.
    """

    def __init__(
        self, device: torch.device, deferred: bool | None = None, waits: bool = True
    ) -> None:
        self._device, self._waits = device, waits
        self._deferred = device.type == "cuda" if deferred is None else deferred
        self._stay = contextlib.ExitStack()

    @contextlib.contextmanager
    def step(self, what: str = STEP) -> Iterator[None]:
        """One step, which begins as soon as nobody measures.

        Args:
            what: as for `computing`, where the device does not compute steps later.
        """
        if not self._waits:
            yield
            return
        if not self._deferred:
            with computing(self._device, what):
                yield
            return
        seat = _seat(self._device)
        if seat.is_taken and seat.is_awaited():
            self._leave()
        if not seat.is_taken:
            stay = computing(self._device, "taking training steps", FIRST_STEP)
            self._stay.enter_context(stay)
        yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._stay:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)


@contextlib.contextmanager
def measuring(
    device: torch.device, what: str = "measuring", lease: float = MEASURING
) -> Iterator[Alone]:
    """Hold the device exclusively.

    Args:
        lease: seconds without a timed call after which this process counts as hung, and others
            continue. `Alone.doubt` says at the end whether they did.
    """
    folder, name = lock_folder(), device_name(device)
    with (
        held(folder / f"{name}.door", what, lease) as hold,
        contextlib.closing(Alone(hold)) as alone,
    ):
        for path in sorted(folder.glob(f"{name}.step.*")):
            alone.wait_for_step(path)
        yield alone


def _seat(device: torch.device) -> _Seat:
    """This thread's seat on a device; a new one if the lock folder has changed."""
    folder, name = lock_folder(), device_name(device)
    seat = _mine.seats.get(name)
    if seat is None or (seat.folder != folder and not seat.is_taken):
        seat = _mine.seats[name] = _Seat(folder, name)
    return seat


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on `count` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
