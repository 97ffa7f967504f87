"""Attempts whose process the kernel has killed as memory ran out, noticed by the next attempt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.files import write_atomically
from launch.files import ATTEMPT
from launch.trial.data import TrialError
from launch.trial.memory import read_fitted, take_less
from searchspace import TrialConfig

VMSTAT = Path("/proc/vmstat")
"""Where Linux counts the processes that it has killed, in containers as well."""

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Begun(BaseModel):
    """What an attempt notes while it runs; what is left of it is of one that was killed.

    Attributes:
        boot: names the machine, until it is started again.
        kills: the processes that its kernel had killed when the attempt began.
    """

    model_config = ConfigDict(frozen=True)

    boot: str
    kills: int

    @classmethod
    def now(cls) -> Begun | None:
        """None where the kernel does not say."""
        try:
            lines = dict(line.split() for line in VMSTAT.read_text().splitlines())
            return cls(boot=BOOT.read_text().strip(), kills=int(lines["oom_kill"]))
        except (OSError, KeyError, ValueError):
            return None


@contextlib.contextmanager
def noticing_kills(config: TrialConfig, folder: Path) -> Iterator[None]:
    """Note an attempt at a trial while it runs; if the one before was killed for lack of memory,
    this one has its batches in more parts.

    Raises:
        TrialError: so was the one before that, or batches cannot be divided further.
    """
    file = folder / ATTEMPT
    killed = _ran_out_of_memory(file)
    file.unlink(missing_ok=True)
    if killed:
        begin_again(config, folder, "the kernel killed its process")
    if now := Begun.now():
        write_atomically(file, now.model_dump_json())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # its storage may have gone
            file.unlink(missing_ok=True)


def begin_again(config: TrialConfig, folder: Path, how: str) -> None:
    """Let a trial that was killed for lack of memory begin again with its batches in more parts.

    Args:
        how: it was killed.

    Raises:
        TrialError: it was killed so before, or batches cannot be divided further.
    """
    before, why = read_fitted(folder), f"out of memory: {how}"
    if take_less(config, folder, before, why) is None:
        raise TrialError(f"{why}, also with {before}" if before else why)


def _ran_out_of_memory(file: Path) -> bool:
    try:
        before = Begun.model_validate_json(file.read_text())
    except (OSError, ValidationError):
        return False
    now = Begun.now()
    return now is not None and now.boot == before.boot and now.kills > before.kills
