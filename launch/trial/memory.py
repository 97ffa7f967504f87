"""The number of parts in which a trial computes its batches, found by the memory that it has."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict

from detectors.files import write_atomically
from detectors.timing.measure import hardware_name
from launch.files import FITTED
from launch.trial.data import TrialError
from launch.trial.store import Store
from launch.trial.teachers import LoadTeacher
from searchspace.detector import DetectorConfig
from searchspace.distillation import PARENT
from searchspace.errors import first_line
from searchspace.reading import Unreadable, read_model
from searchspace.training import AUTO
from searchspace.trial import TrialConfig

if TYPE_CHECKING:
    from compress.memory import TeacherConfig

OF_A_PROCESS = 0.6e9
"""Bytes that a process has of a GPU before its first tensor."""

MARGIN = 1.25
"""Factor on what tensors take, for the workspaces of libraries and gaps between tensors."""

LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how many bytes a container may take."""

OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED", "out of memory")
"""Texts by which PyTorch and its libraries report a lack of memory in errors of a general type."""

logger = logging.getLogger(__name__)

Needs = Callable[[int], float]
"""The bytes that a trial needs if its batches are computed in so many parts."""


class Fitted(BaseModel):
    """How a trial's batches fit into memory.

    Attributes:
        accumulate: number of parts of a batch.
        needed: bytes that the trial needs by the estimate; 0 if it was not made.
        memory: bytes that it has; 0 likewise.
        device: the name of the device; empty likewise.
        tried: whether steps were taken to confirm it, as on a GPU.
        short: whether the trial ran out of memory with half as many parts.
    """

    model_config = ConfigDict(frozen=True)

    accumulate: int
    needed: int = 0
    memory: int = 0
    device: str = ""
    tried: bool = False
    short: bool = False

    def __str__(self) -> str:
        parts = in_words(self.accumulate)
        if self.short:
            return f"a batch in {parts}, as memory ran out with half as many"
        return (
            f"a batch in {parts}, which needs about {self.needed / 1e9:.2g} of "
            f"{self.memory / 1e9:.3g} GB ({self.device})"
        )


class OutOfMemory(TrialError):
    """A training ran out of memory; the message says with how many parts of a batch."""


def fitted(
    config: TrialConfig, store: Store, device: torch.device, load_teacher: LoadTeacher
) -> Fitted:
    """The fewest parts, a power of two, that fit into the memory of a trial.

    They are found by an estimate; on a GPU, two steps are then taken, and parts that run out of
    memory are halved. The store keeps the answer for all trials of the same training and memory.

    Raises:
        TrialError: even parts of two images do not fit.
    """
    memory, name = memory_of(device), hardware_name(device)

    def teacher(name: str) -> DetectorConfig:
        return load_teacher(name).config

    def find() -> Fitted:
        # Only here: what it imports takes a second, and only `auto` needs it.
        from compress.memory import take_trial_steps

        needs = needs_of(config, device, teacher)
        parts, tried = fewest_parts(config, memory, needs), device.type == "cuda"
        if tried:
            parts = confirmed(
                config,
                parts,
                memory,
                lambda n: take_trial_steps(in_parts(config, n), device, teacher),
            )
            torch.cuda.empty_cache()
        needed = int(needs(parts))
        return Fitted(accumulate=parts, needed=needed, memory=memory, device=name, tried=tried)

    taught = [lesson.teacher for _, lesson in config.lessons if lesson.teacher != PARENT]
    inputs = {
        "detector": config.detector.cause(),
        "recipe": config.train.cause("accumulate", "compile", "distillation"),
        "lessons": [lesson.cause() for _, lesson in config.lessons],
        "teachers": [teacher(name).cause() for name in taught],
        "memory": memory,
        "device": name,
    }
    return store.record("memory", inputs, Fitted, find)[0]


def read_fitted(folder: Path) -> Fitted | None:
    """What a trial noted in its folder when it began, so that a resumed one keeps it.

    Raises:
        TrialError: the file is damaged.
    """
    file = folder / FITTED
    if not file.exists():
        return None
    try:
        return read_model(file, Fitted, "remove the file, and the number is found again")
    except Unreadable as error:
        raise TrialError(str(error)) from None


def smaller(config: TrialConfig, before: Fitted | None) -> Fitted | None:
    """Twice as many parts for a trial that ran out of memory; None if it did so before, or batches
    cannot be divided further.

    Args:
        before: what it was begun with, if that is known.
    """
    given = config.train.accumulate
    parts = 2 * (before.accumulate if before else 1 if given == AUTO else given)
    if (before and before.short) or parts > most_parts(config):
        return None
    return Fitted(accumulate=parts, short=True)


def take_less(config: TrialConfig, folder: Path, before: Fitted | None, why: str) -> Fitted | None:
    """`smaller`, noted in the trial's folder, so that it also counts when the trial is resumed.

    Args:
        why: it is needed, for the log.
    """
    less = smaller(config, before)
    if less is not None:
        logger.warning(f"{folder}: {why}; it is tried once more: {less}")
        write_atomically(folder / FITTED, less.model_dump_json(indent=1))
    return less


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what nothing uses any more, also on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def naming_parts(parts: int) -> Iterator[None]:
    """Raise `OutOfMemory` where a training, with so many parts of a batch, runs out of memory."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"out of memory with a batch in {in_words(parts)}: {first_line(error)}"
        ) from error


def in_words(parts: int) -> str:
    return "one part" if parts == 1 else f"{parts} parts"


def needs_of(config: TrialConfig, device: torch.device, teacher: TeacherConfig) -> Needs:
    """The estimate for a trial, by its number of parts."""
    from compress.memory import trial_memory

    def needs(parts: int) -> float:
        return MARGIN * trial_memory(in_parts(config, parts), device, teacher) + OF_A_PROCESS

    return needs


def fewest_parts(config: TrialConfig, memory: float, needs: Needs) -> int:
    """The lowest power of two of parts that fit.

    Raises:
        TrialError: even parts of two images do not.
    """
    parts, most = 1, most_parts(config)
    while (needed := needs(parts)) > memory:
        if 2 * parts > most:
            raise TrialError(_too_large(parts, f"about {needed / 1e9:.2g} GB", memory))
        parts *= 2
    return parts


def confirmed(
    config: TrialConfig, parts: int, memory: float, attempt: Callable[[int], None]
) -> int:
    """The number of parts with which an attempt has enough memory, twice as many after each
    failure.

    Raises:
        TrialError: even parts of two images fail.
    """
    while True:
        try:
            attempt(parts)
        except (torch.OutOfMemoryError, MemoryError):
            if 2 * parts > most_parts(config):
                raise TrialError(_too_large(parts, "more memory", memory)) from None
            parts *= 2
            torch.cuda.empty_cache()
        else:
            return parts


def memory_of(device: torch.device) -> int:
    """The bytes that a trial may take.

    On a GPU, the share that this process has of it. On a CPU, the share of the machine's memory, or
    its container's, that PyTorch's threads are of its cores.
    """
    if device.type == "cuda":
        share = torch.cuda.get_per_process_memory_fraction(device)
        return int(share * torch.cuda.get_device_properties(device).total_memory)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = LIMIT.read_text().strip() if LIMIT.is_file() else ""
    there = min(there, int(limit)) if limit.isdecimal() else there
    return int(there * min(1.0, torch.get_num_threads() / (os.cpu_count() or 1)))


def most_parts(config: TrialConfig) -> int:
    """Batch norms need two images in each part."""
    return max(1, config.train.batch_size // 2)


def in_parts(config: TrialConfig, parts: int) -> TrialConfig:
    """The trial with its batches in so many parts."""
    return config.changed(train=config.train.changed(accumulate=parts))


def _too_large(parts: int, needed: str, memory: float) -> str:
    return (
        f'train.accumulate "auto": a batch in {parts} parts needs {needed}, and the trial has '
        f"{memory / 1e9:.2g} GB: lower detector.width or detector.input_size, or let fewer trials "
        "share the device"
    )
