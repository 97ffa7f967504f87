"""Signals that end a search in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.training import notice
from detectors.training.notice import NOTICE
from launch.drivers import local
from launch.drivers.deadlines import Limits
from launch.drivers.interrupts import handlers_kept, interruptible
from launch.searches import resume, search
from launch.study.opening import read_records
from launch.study.settings import read_settings
from launch.trial.result import TrialResult
from searchspace import Space
from tests.launch.conftest import Run

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stopped_twice(number: signal.Signals) -> list[str]:
    """The progress of a shutdown during which further signals arrive."""
    reached = []
    with interruptible():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            reached.append("end")
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            raise InterruptedError(*reached, "ended")


@pytest.mark.parametrize("number", STOPS)
def test_the_first_signal_interrupts_and_the_second_does_not(number: signal.Signals) -> None:
    with pytest.raises(InterruptedError) as stopped:
        stopped_twice(number)
    assert isinstance(stopped.value.__context__, KeyboardInterrupt)
    assert stopped.value.args == ("end", "ended")


def interrupted_in_a_step(*numbers: signal.Signals) -> bool:
    """Whether a training was given notice by the first of some signals, and interrupted."""
    with interruptible(), NOTICE.heeding():
        try:
            for sent, number in enumerate(numbers):
                assert NOTICE.given == (sent > 0)
                os.kill(os.getpid(), number)
                time.sleep(0.01)
            time.sleep(10)
        except KeyboardInterrupt:
            return NOTICE.given
    return False


def test_a_step_of_a_training_is_interrupted_when_ctrl_c_is_pressed_again() -> None:
    assert interrupted_in_a_step(signal.SIGINT, signal.SIGTERM, signal.SIGINT)


def test_a_step_that_takes_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "GRACE", 0.2)
    start = time.monotonic()
    # Service managers repeat themselves.
    assert interrupted_in_a_step(signal.SIGTERM, signal.SIGTERM)
    assert 0.2 <= time.monotonic() - start < 5


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in STOPS]
    with interruptible():
        assert [signal.getsignal(number) for number in STOPS] != before
        with handlers_kept():
            signal.signal(signal.SIGTERM, lambda *_: None)
    assert [signal.getsignal(number) for number in STOPS] == before


def test_nohup_and_other_peoples_handlers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(*_: object) -> None:
        return None

    with handlers_kept():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, own)
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is own


def test_other_threads_know_no_signals() -> None:
    done = []

    def run() -> None:
        with interruptible():
            done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]


def test_an_end_that_takes_too_long_can_be_cut_short() -> None:
    code = (
        "import os, signal, time\n"
        "from launch.drivers import interrupts\n"
        "interrupts.GRACE = 0.2\n"
        "with interrupts.interruptible():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        time.sleep(0.3)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(10)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGTERM


def test_a_terminated_search_says_how_to_go_on(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    space_file: Path,
    shapes_folder: Path,
    tmp_path: Path,
) -> None:
    def terminated(*_: object, **__: object) -> TrialResult:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        raise AssertionError

    monkeypatch.setattr(local, "attempt", terminated)
    out = tmp_path / "study"
    status, printed = run(
        "search", "--data", shapes_folder, "--space", space_file, "--trials", 1, "--out", out,
        "--driver", "local", "--device", "cpu",
    )  # fmt: skip
    assert status == 130
    assert printed.splitlines()[-1] == f"Interrupted. Go on with: sparrow search --resume {out}"
    assert (out / "report.html").exists()
    assert [r.state for r in read_records(out)] == ["running"]


def test_a_search_that_is_terminated_before_it_began_does_not_ask_to_be_resumed(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    space_file: Path,
    shapes_folder: Path,
    tmp_path: Path,
) -> None:
    def terminated(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr("launch.searches.inputs.check_named_detectors", terminated)
    out = tmp_path / "study"
    status, printed = run(
        "search", "--data", shapes_folder, "--space", space_file, "--out", out, "--driver", "local",
    )  # fmt: skip
    assert status == 130
    assert "nothing was written" in printed.splitlines()[-1]
    assert not out.exists()


def hang(finishes: Callable[..., TrialResult], hung: int) -> Callable[..., TrialResult]:
    """Attempts of which the first ones hang; `finishes` makes the others."""
    left = [hung]

    def attempt(*arguments: object, **named: object) -> TrialResult:
        if left[0]:
            left[0] -= 1
            time.sleep(60)
        return finishes(*arguments, **named)

    return attempt


@pytest.fixture
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    def watchman(*arguments: object) -> local.Watchman:
        return real(*arguments, tick=0.05)

    real = local.Watchman
    monkeypatch.setattr(local, "Watchman", watchman)


@pytest.mark.usefixtures("short_ticks")
def test_a_trial_that_hangs_in_this_process_is_ended_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    monkeypatch.setattr(local, "attempt", hang(local.attempt, 1))
    monkeypatch.setattr(
        local, "limits", lambda record, *_: Limits(1.0 if record.number == 0 else 600)
    )
    start = time.monotonic()
    search(space, shapes_folder, out, trials=2, driver="local", device="cpu")
    first, second = read_records(out)
    assert first.state == "failed"
    assert first.reason.startswith("no sign of life for 1 second")
    assert 1 <= first.seconds < 10
    assert second.state == "finished"
    assert time.monotonic() - start < 60
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


@pytest.mark.usefixtures("short_ticks")
def test_a_timeout_is_kept_and_may_be_changed_on_resume(
    monkeypatch: pytest.MonkeyPatch, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    monkeypatch.setattr(local, "attempt", hang(local.attempt, 2))
    more = {"driver": "local", "device": "cpu"}
    search(space, shapes_folder, out, trials=1, trial_timeout=0.01, **more)
    assert read_settings(out).budget.trial_timeout == 0.01
    resume(out, trials=2, trial_timeout=0.02, driver="local")
    assert read_settings(out).budget.trial_timeout == 0.02
    reasons = [record.reason for record in read_records(out)]
    assert reasons == [
        "longer than 0.01 minutes (--trial-timeout)",
        "longer than 0.02 minutes (--trial-timeout)",
    ]
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="trial_timeout"):
            resume(out, trial_timeout=wrong, driver="local")
    assert read_settings(out).budget.trial_timeout == 0.02


def test_a_timeout_that_cannot_be_kept_is_refused(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    errors = []

    def run() -> None:
        try:
            search(space, shapes_folder, tmp_path / "s", driver="local", trial_timeout=1)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "use driver ray" in errors[0]
    assert not (tmp_path / "s").exists()
