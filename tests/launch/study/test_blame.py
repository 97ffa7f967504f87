"""Whom an error of a trial is blamed on, and what is said of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from detectors.training.train import TrainingFailed
from launch.study.failures import (
    BROKEN_PLACES,
    broken_place,
    failure_of,
    os_error_in_words,
)
from launch.trial.data import TrialError


@pytest.mark.parametrize(
    ("error", "blame", "reason"),
    [
        (TrialError("does not fit"), "design", "does not fit"),
        (TrainingFailed("loss is nan"), "design", "loss is nan"),
        (MemoryError("no more"), "design", "out of memory: no more"),
        (torch.OutOfMemoryError("CUDA out of memory."), "design", "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "design",
            "out of memory",
        ),
        (KeyError("x"), "passing", "KeyError: 'x'"),
        (FileNotFoundError(errno.ENOENT, "gone", "a.png"), "passing", "FileNotFoundError"),
        (OSError(errno.ENOSPC, "full", "w"), "surroundings", "w: there is no space left"),
        (PermissionError(errno.EACCES, "no", "w"), "surroundings", "w: permission denied"),
        (OSError(errno.EROFS, "no", "w"), "surroundings", "w: the file system is read-only"),
        (RuntimeError("I/O error: x (os error 122)"), "surroundings", "quota"),
    ],
)
def test_who_is_to_blame(error: Exception, blame: str, reason: str, tmp_path: Path) -> None:
    failure = failure_of(error, tmp_path, 2.0)
    assert failure.blame == blame
    assert reason in failure.reason
    assert "\n" not in failure.reason
    assert failure.seconds == 2.0


def test_a_wrapped_error_of_the_disk_is_found(tmp_path: Path) -> None:
    error = RuntimeError("the run failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")
    assert broken_place(error, tmp_path) == f"journal.jsonl: {BROKEN_PLACES[errno.ENOSPC]}"


@pytest.mark.parametrize(
    "write",
    [
        lambda file: save_file({"a": torch.zeros(100_000)}, file),
        lambda file: torch.save(torch.zeros(100_000), file),
        lambda file: torch.save(torch.zeros(100_000), file.open("wb")),
        lambda file: file.write_bytes(bytes(400_000)),
    ],
    ids=["safetensors", "torch", "torch into a file", "python"],
)
def test_a_full_disk_is_recognised_whoever_writes(
    write: Callable[[Path], None], full_disk: Path
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each library has its own)
        write(full_disk / "weights")
    failure = failure_of(caught.value, full_disk, 0.0)
    assert failure.blame == "surroundings"
    assert "no space left" in failure.reason


def test_an_error_is_one_sentence_with_its_path() -> None:
    assert os_error_in_words(NotADirectoryError(errno.ENOTDIR, "x", "a/b")) == (
        "a/b: a file is in the way, where a folder should be"
    )
    assert os_error_in_words(FileNotFoundError(errno.ENOENT, "No such file", b"a")) == (
        "a: No such file"
    )
