"""Searches on a real Ray whose workers hang, or that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray._private.services import psutil

from launch.drivers import deadlines
from launch.drivers.deadlines import Limits
from launch.drivers.ray_searcher import StudySearcher
from launch.files import LOG
from launch.searches import search
from launch.study.opening import read_records
from searchspace import load_space
from tests.launch.drivers.started import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

ENOUGH = 60
"""Seconds in which an interrupted search ends, on a machine that computes other things."""


OURS = "SPARROW_TEST"
"""The variable by which the processes of one test are known, whatever else runs on the machine."""


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OURS, str(tmp_path))


def is_ours(process: psutil.Process) -> bool:
    try:
        return process.environ().get(OURS) == os.environ[OURS]
    except psutil.Error:
        return False


@pytest.fixture
def long_space(space_file: Path, tmp_path: Path) -> Path:
    """The tiny space with trainings that do not end by themselves."""
    file = tmp_path / "long.toml"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 500\nbatch"))
    return file


class Driver:
    """`sparrow search` in a session of its own."""

    def __init__(self, output: Path, *arguments: object) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "launch.cli", "search", *map(str, arguments)]
        self.output = output
        with open(output, "w") as file:
            self.process = subprocess.Popen(
                command, env=environment, start_new_session=True, stdout=file, stderr=file
            )

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def session(self) -> list[psutil.Process]:
        """The processes that it started, those that Ray gave another session included."""
        return [p for p in psutil.process_iter() if p.pid != self.process.pid and is_ours(p)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, lambda: self.process.poll() is None)


def wait_for(condition: Callable[[], bool], runs: Callable[[], bool] = lambda: True) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert runs(), "the search has ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def workers() -> list[psutil.Process]:
    """The processes in which trials run."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = (process.info["cmdline"] or [""])[0]
        if command.startswith("ray::ImplicitFunc") and is_ours(process):
            found.append(process)
    return found


def trained(study: Path) -> bool:
    """Whether a trial has made a checkpoint."""
    return any(study.glob("stages/*/scratch/checkpoint"))


@pytest.fixture
def started(
    shapes_folder: Path, long_space: Path, tmp_path: Path
) -> Iterator[Callable[..., Driver]]:
    drivers = []

    def start(*more: object) -> Driver:
        arguments = (
            "--data", shapes_folder, "--space", long_space, "--trials", 2, "--no-papers",
            "--device", "cpu", "--out", tmp_path / "study",
        )  # fmt: skip
        drivers.append(Driver(tmp_path / "output.txt", *arguments, *more))
        return drivers[-1]

    yield start
    for driver in drivers:
        left = driver.session()
        if driver.process.poll() is None:
            driver.process.kill()
        for process in left:
            process.kill()


def assert_ended_well(driver: Driver, study: Path) -> None:
    assert driver.process.wait(ENOUGH) == 130
    lines = driver.lines()
    assert lines[-1] == f"Interrupted. Go on with: sparrow search --resume {study}"
    assert not any("Traceback" in line or "stack trace" in line.lower() for line in lines), lines
    assert driver.session() == []
    assert (study / "report.html").exists()
    assert {r.state for r in read_records(study)} == {"running"}
    assert trained(study)


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGTERM, False), (signal.SIGHUP, True), (signal.SIGTERM, True)],
)
def test_a_terminated_search_ends_in_good_order(
    started: Callable[..., Driver], tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    """A terminal that is closed, and service managers, send their signals to all processes."""
    study, driver = tmp_path / "study", started()
    driver.wait_for(lambda: trained(study))
    (os.killpg if group else os.kill)(driver.process.pid, number)
    time.sleep(0.5)
    driver.process.send_signal(number)
    assert_ended_well(driver, study)


def test_a_terminated_search_without_ray_ends_in_good_order(
    started: Callable[..., Driver], tmp_path: Path
) -> None:
    study, driver = tmp_path / "study", started("--driver", "local")
    driver.wait_for(lambda: trained(study))
    driver.process.send_signal(signal.SIGTERM)
    assert_ended_well(driver, study)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_search_whose_workers_hang_can_be_interrupted(
    started: Callable[..., Driver], tmp_path: Path, number: signal.Signals
) -> None:
    study, driver = tmp_path / "study", started()
    driver.wait_for(lambda: trained(study))
    for process in workers():
        process.suspend()
    time.sleep(1)
    driver.process.send_signal(number)
    assert_ended_well(driver, study)


def test_a_search_that_is_terminated_while_ray_starts_leaves_nothing(
    started: Callable[..., Driver], tmp_path: Path
) -> None:
    driver = started()
    driver.wait_for(lambda: bool(driver.session()))
    driver.process.send_signal(signal.SIGTERM)
    assert driver.process.wait(ENOUGH) == 130
    assert driver.lines()[-1] == "Interrupted before the search began; nothing was written."
    assert driver.session() == []
    assert not (tmp_path / "study").exists()


def test_rays_words_on_a_lost_worker_go_to_the_studys_log(
    started: Callable[..., Driver], tmp_path: Path
) -> None:
    study, driver = tmp_path / "study", started("--trials", 1)
    driver.wait_for(lambda: trained(study))
    (first,) = workers()
    first.kill()
    driver.wait_for(lambda: any(process.pid != first.pid for process in workers()))
    driver.process.send_signal(signal.SIGTERM)
    assert_ended_well(driver, study)
    shown, said = driver.output.read_text(), (study / "ray.log").read_text()
    for words in ("Traceback", "A worker died or was killed"):
        assert words in said
        assert words not in shown


def test_trials_whose_processes_are_stopped_are_started_again_in_others(
    long_space: Path, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, said, stopped = tmp_path / "study", [], []
    space = load_space(long_space)

    def stop_the_first() -> None:
        wait_for(lambda: trained(study))
        for process in workers():
            process.suspend()
            stopped.append(process.pid)

    # Those that may be stopped, and others, which have all the time that they need.
    monkeypatch.setattr(deadlines, "QUIET", 10.0)
    monkeypatch.setattr(
        StudySearcher, "limits", lambda _, number: Limits(60.0 if number < 2 else 600.0)
    )
    thread = threading.Thread(target=stop_the_first, daemon=True)
    thread.start()
    search(
        space.fix("train.epochs", 20), shapes_folder, study, trials=3, device="cpu", papers=False,
        on_wait=said.append,
    )  # fmt: skip
    assert [record.state for record in read_records(study)] == ["finished"] * 3
    ended = [words for words in said if words.endswith("; it is started again")]
    assert len(ended) == len(stopped)
    assert all(": no sign of life for " in words for words in ended)
    assert any(words.startswith("waiting for trial") for words in said)
    assert not any(psutil.pid_exists(pid) for pid in stopped)


def test_a_trial_that_takes_too_long_is_not_tried_again(
    long_space: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    search(
        load_space(long_space), shapes_folder, study, trials=2, device="cpu", papers=False,
        trial_timeout=0.4,
    )  # fmt: skip
    records = read_records(study)
    assert {r.reason for r in records} == {"longer than 0.4 minutes (--trial-timeout)"}
    assert all(24 < r.seconds < 100 for r in records)
    assert all((study / r.folder / LOG).exists() for r in records)
