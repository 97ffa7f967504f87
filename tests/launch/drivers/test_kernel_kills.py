"""Attempts that the kernel killed as memory ran out, without a cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from launch.drivers import kernel_kills
from launch.drivers.attempt import attempt
from launch.drivers.kernel_kills import Begun
from launch.files import ATTEMPT
from launch.study.failures import Failure
from launch.trial.data import TrialData
from launch.trial.memory import Fitted, read_fitted
from searchspace import TrialConfig
from tests.processes import FORK


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file in which the kernel counts."""
    file = tmp_path / "vmstat"
    file.write_text("pgfault 7\noom_kill 3\n")
    monkeypatch.setattr(kernel_kills, "VMSTAT", file)
    return file


def killed(tiny: TrialConfig, shapes: TrialData, folder: Path) -> None:
    """An attempt in a process that is killed."""

    def run(*arguments: object, **named: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=attempt, args=(tiny, shapes, folder, "cpu"), kwargs={"run": run})
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def tried(tiny: TrialConfig, shapes: TrialData, folder: Path) -> object:
    return attempt(tiny, shapes, folder, "cpu", run=lambda *_, **__: "done")


def test_a_trial_that_the_kernel_killed_takes_less_once(
    kills: Path, tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    killed(tiny, shapes, folder)
    kills.write_text("oom_kill 4\n")
    killed(tiny, shapes, folder)
    assert read_fitted(folder) == Fitted(accumulate=2, short=True)
    kills.write_text("oom_kill 5\n")
    failure = tried(tiny, shapes, folder)
    assert isinstance(failure, Failure)
    assert failure.blame == "design"
    assert failure.reason == (
        "out of memory: the kernel killed its process, also with a batch in 2 parts, as memory "
        "ran out with half as many"
    )
    # Whoever has it tried again may have found more memory.
    assert tried(tiny, shapes, folder) == "done"


def test_other_deaths_are_not_taken_for_a_lack_of_memory(
    kills: Path,
    tiny: TrialConfig,
    shapes: TrialData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "t"
    killed(tiny, shapes, folder)  # by someone else
    assert tried(tiny, shapes, folder) == "done"
    assert not (folder / ATTEMPT).exists()
    kills.write_text("oom_kill 4\n")  # another process, between two attempts that ended well
    assert tried(tiny, shapes, folder) == "done"
    killed(tiny, shapes, folder)
    kills.write_text("oom_kill 5\n")
    monkeypatch.setattr(kernel_kills, "BOOT", kills)  # on another machine
    assert tried(tiny, shapes, folder) == "done"
    killed(tiny, shapes, folder)
    kills.unlink()  # on one that does not say
    assert tried(tiny, shapes, folder) == "done"
    assert read_fitted(folder) is None


def test_this_machine_counts() -> None:
    assert Begun.now() is not None
