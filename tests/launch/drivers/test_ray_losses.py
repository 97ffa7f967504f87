"""What becomes of trials whose process was lost, without a cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from detectors.training.notice import NOTICE
from launch.drivers.deadlines import Limits
from launch.drivers.interrupts import handlers_kept
from launch.drivers.ray_losses import TITLES, heed_sigterm, last_words, terminate
from launch.drivers.ray_watch import HangGuard
from launch.study.failures import Failure
from launch.trial.memory import Fitted, read_fitted
from searchspace import TrialConfig

LOW = "1 worker(s) were killed due to the node running low on memory. Refer to ..."


@pytest.fixture
def lost(tiny: TrialConfig, tmp_path: Path) -> Callable[[str], Any]:
    """One of Tune's trials, whose process was lost with some words of Ray."""
    file, losses = tmp_path / "error.txt", []

    def lose(words: str) -> Any:
        losses.append(words)
        with file.open("a") as text:
            text.write(f"Failure # {len(losses)} (occurred at noon)\n{words}\n")
        trial.error_file = str(file)
        return trial

    trial = SimpleNamespace(
        trial_id="a", error_file=None, max_failures=2, temporary_state=SimpleNamespace(),
        config={"folder": str(tmp_path), "config": tiny.model_dump_json()},
    )  # fmt: skip
    assert last_words(trial) == ""  # pyrefly: ignore[bad-argument-type]
    return lose


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def guard(said: list[str]) -> HangGuard:
    return HangGuard(lambda trial_id: 3, lambda number: Limits(), said.append)


def test_the_words_on_the_last_loss_count(lost: Callable[[str], Any]) -> None:
    lost("one\nof two lines")
    assert last_words(lost("another")) == "2 (occurred at noon)\nanother\n"


def test_notice_counts_as_no_failure(guard: HangGuard, lost: Callable[[str], Any]) -> None:
    trial = lost("it was lost")
    guard.on_trial_recover(0, [], trial)
    assert trial.max_failures == 2
    guard.on_trial_recover(0, [], lost("The process receives a SIGTERM."))
    assert trial.max_failures == 3


def test_a_node_without_memory_is_met_with_smaller_parts_and_then_with_a_failure(
    guard: HangGuard, lost: Callable[[str], Any], said: list[str], tmp_path: Path
) -> None:
    guard.on_trial_recover(0, [], lost(LOW))
    assert read_fitted(tmp_path) == Fitted(accumulate=2, short=True)
    assert said == ["trial 3: its node ran out of memory; it goes on with smaller parts"]
    assert guard.overruns == {}
    guard.on_trial_recover(0, [], lost(LOW))
    reason = (
        "out of memory: Ray's memory monitor killed its process, also with a batch in 2 parts, as "
        "memory ran out with half as many"
    )
    assert guard.overruns == {"a": Failure(reason, "design")}


def test_sigterm_ends_a_process_when_its_training_has_ended() -> None:
    order, begun = [], threading.Event()

    def train() -> None:
        with NOTICE.heeding():
            begun.set()
            while not NOTICE.given:
                time.sleep(0.01)
            time.sleep(0.2)
            order.append("checkpoint")

    training = threading.Thread(target=train)
    with handlers_kept():
        signal.signal(signal.SIGTERM, lambda *_: order.append("end"))
        heed_sigterm()
        training.start()
        begun.wait()
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        training.join()
        while len(order) < 2:
            time.sleep(0.01)
    assert order[:2] == ["checkpoint", "end"]


def test_only_processes_of_trials_are_terminated() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    *trials, other = (subprocess.Popen([*command, title]) for title in (*TITLES, "another"))
    try:
        terminate([*(trial.pid for trial in trials), other.pid, 2**22 + 1])
        assert not any(psutil.pid_exists(trial.pid) for trial in trials)
        assert other.poll() is None
    finally:
        for process in (*trials, other):
            process.kill()
