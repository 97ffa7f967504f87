"""Locks between processes. Order is shown by files, never by the clock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors.own_folder import lock_folder
from detectors.quiet import FIRST_STEP, Queue, _seat, computing, device_name, measuring
from detectors.timing.blocks import timed
from tests.processes import process

CPU = torch.device("cpu")
PATIENCE = 60.0

Role = Callable[..., AbstractContextManager[Any]]
Start = Callable[..., BaseProcess]


def wait_for(file: Path) -> None:
    """Until the file is there; an error after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{file.name} never came")
        time.sleep(0.005)


def hold(role: Role, folder: Path, name: str) -> None:
    """Take the device, say so, and keep it until told to release it."""
    (folder / f"{name}-asks").touch()
    with role(CPU):
        (folder / f"{name}-in").touch()
        wait_for(folder / f"{name}-release")
        (folder / f"{name}-out").touch()


def pass_through(role: Role, folder: Path, name: str, others: str) -> None:
    """Take the device and write down whether `others` had left it."""
    (folder / f"{name}-asks").touch()
    with role(CPU):
        (folder / f"{name}-in").write_text(str((folder / f"{others}-out").exists()))


def compute_on(folder: Path, name: str, seconds: float) -> None:
    """Steps of training, one after the other, until told to stop."""
    while not (folder / "stop").exists():
        with computing(CPU):
            (folder / f"{name}-in").touch()
            time.sleep(seconds)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes, and ends those that are left."""
    processes: list[BaseProcess] = []

    def run(target: Callable[..., None], *arguments: object) -> BaseProcess:
        started = process(target, *arguments)
        started.start()
        processes.append(started)
        return started

    yield run
    for left in processes:
        left.kill()
        left.join()


def ended(process: BaseProcess) -> None:
    process.join(PATIENCE)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("holder", "other"), [(measuring, computing), (computing, measuring), (measuring, measuring)]
)
def test_a_measurement_is_alone(start: Start, tmp_path: Path, holder: Role, other: Role) -> None:
    first = start(hold, holder, tmp_path, "first")
    wait_for(tmp_path / "first-in")
    second = start(pass_through, other, tmp_path, "second", "first")
    wait_for(tmp_path / "second-asks")
    time.sleep(0.2)
    assert not (tmp_path / "second-in").exists()
    (tmp_path / "first-release").touch()
    ended(first)
    ended(second)
    assert (tmp_path / "second-in").read_text() == "True"


def test_trainings_share_the_device(start: Start, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    holders = [start(hold, computing, tmp_path, name) for name in names]
    for name in names:
        wait_for(tmp_path / f"{name}-in")
    assert not any((tmp_path / f"{name}-out").exists() for name in names)
    for name in names:
        (tmp_path / f"{name}-release").touch()
    for holder in holders:
        ended(holder)


def test_a_measurement_comes_in_between_two_queued_steps() -> None:
    """A GPU computes steps after their calls, so the device is kept from one to the next."""
    order = []

    def measure() -> None:
        with measuring(CPU):
            order.append("measured")

    with ThreadPoolExecutor(1) as pool, Queue(CPU, deferred=True) as queue:
        with queue.step():
            assert not _seat(CPU).is_awaited()
        measured = pool.submit(measure)
        while not _seat(CPU).is_awaited():
            time.sleep(0.005)
        assert not measured.done()
        with queue.step():
            order.append("step")
        measured.result(PATIENCE)
        last = pool.submit(measure)
        queue.__exit__()
        last.result(PATIENCE)
    assert order == ["measured", "step", "measured"]


@pytest.mark.parametrize("role", [measuring, computing])
def test_a_killed_holder_leaves_the_device(start: Start, tmp_path: Path, role: Role) -> None:
    holder = start(hold, role, tmp_path, "victim")
    wait_for(tmp_path / "victim-in")
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(PATIENCE)
    ended(start(pass_through, measuring, tmp_path, "heir", "victim"))
    assert (tmp_path / "heir-in").exists()


def test_a_measurement_is_not_starved_by_many_trainings(start: Start, tmp_path: Path) -> None:
    steps = {"a": 0.02, "b": 0.031, "c": 0.047, "d": 0.071}
    trainings = [start(compute_on, tmp_path, name, seconds) for name, seconds in steps.items()]
    for name in steps:
        wait_for(tmp_path / f"{name}-in")
    measurement = start(pass_through, measuring, tmp_path, "measurement", "nobody")
    wait_for(tmp_path / "measurement-in")
    ended(measurement)
    assert all(training.is_alive() for training in trainings)
    (tmp_path / "stop").touch()
    for training in trainings:
        ended(training)


@pytest.mark.parametrize("role", [measuring, computing])
def test_an_error_inside_releases_the_device(role: Role, start: Start, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), role(CPU):
        raise RuntimeError("inside")
    ended(start(pass_through, measuring, tmp_path, "next", "nobody"))


def stand_still(role: Role, folder: Path, lease: float) -> None:
    """Take the device, stop in the middle, and say in the end what came of it."""
    with role(CPU, lease=lease) as alone:
        (folder / "in").touch()
        os.kill(os.getpid(), signal.SIGSTOP)
        (folder / "doubt").write_text(str(alone and alone.doubt()))
    with role(CPU):
        (folder / "again").touch()


@pytest.mark.parametrize("holder", [measuring, computing])
@pytest.mark.parametrize("other", [measuring, computing])
def test_a_hung_holder_is_named_and_no_longer_waited_for(
    start: Start,
    tmp_path: Path,
    holder: Role,
    other: Role,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("detectors.locks.PATIENCE", 0.2)
    hung = start(stand_still, holder, tmp_path, 1.0)
    wait_for(tmp_path / "in")
    begun = time.monotonic()
    with other(CPU) as alone:
        if {holder, other} != {computing}:
            assert 0.5 < time.monotonic() - begun < PATIENCE
            waited, went_on = (r.message for r in caplog.records)
            for line in (waited, went_on):
                assert f"process {hung.pid} (" in line
                assert "has been " in line
            assert "waiting for process" in waited
            assert "going on without process" in went_on
        if other is measuring:
            assert alone.doubt() is None
        os.kill(hung.pid, signal.SIGCONT)
        wait_for(tmp_path / "doubt")
        if (holder, other) == (computing, measuring):
            until = time.monotonic() + PATIENCE
            while alone.doubt() is None and time.monotonic() < until:
                time.sleep(0.01)
            assert "had hung resumed" in alone.doubt()
    ended(hung)
    assert (tmp_path / "again").exists()
    late = (tmp_path / "doubt").read_text()
    assert ("made no progress for over 1 s" in late) == (holder is measuring)
    caplog.clear()
    with measuring(CPU) as next_one:
        assert next_one.doubt() is None
    assert not caplog.records


def make_progress(folder: Path, lease: float) -> None:
    """Measure for longer than the lease, call by call."""
    with measuring(CPU, lease=lease) as alone:
        (folder / "in").touch()
        until = time.monotonic() + 4 * lease
        while time.monotonic() < until:
            timed(lambda: time.sleep(0.02), CPU)
        (folder / "out").write_text(str(alone.doubt()))


def test_a_measurement_that_goes_on_keeps_the_device(start: Start, tmp_path: Path) -> None:
    long = start(make_progress, tmp_path, 2.0)
    wait_for(tmp_path / "in")
    with computing(CPU):
        assert (tmp_path / "out").read_text() == "None"
    ended(long)


def test_a_killed_holders_record_and_files_do_no_harm(start: Start, tmp_path: Path) -> None:
    for role in (measuring, computing):
        victim = start(stand_still, role, tmp_path, 0.0)
        wait_for(tmp_path / "in")
        victim.kill()
        victim.join(PATIENCE)
        (tmp_path / "in").unlink()
    assert list(lock_folder().glob("cpu.step.*"))
    with measuring(CPU) as alone:
        assert not list(lock_folder().glob("cpu.step.*"))
        assert alone.doubt() is None


@pytest.mark.parametrize("role", [measuring, computing])
def test_waiting_can_be_interrupted(start: Start, tmp_path: Path, role: Role) -> None:
    start(hold, measuring, tmp_path, "first")
    wait_for(tmp_path / "first-in")
    waiter = start(pass_through, role, tmp_path, "second", "first")
    wait_for(tmp_path / "second-asks")
    time.sleep(0.3)
    os.kill(waiter.pid, signal.SIGINT)
    waiter.join(PATIENCE)
    assert waiter.exitcode == 1
    assert not (tmp_path / "second-in").exists()


def test_steps_may_take_a_multiple_of_what_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    leases: list[float] = []
    monkeypatch.setattr("detectors.quiet._longest", {})
    monkeypatch.setattr("detectors.quiet.LEAST_STEP", 0.5)
    monkeypatch.setattr(
        "detectors.quiet._Seat.take", lambda self, what, lease: leases.append(lease)
    )
    for what, seconds in (("a", 0.1), ("a", 0.0), ("b", 0.0), ("b", 0.0)):
        with computing(CPU, what):
            time.sleep(seconds)
    assert leases[0] == leases[2] == FIRST_STEP
    assert leases[1] > 1.9
    assert leases[3] == 0.5


def test_a_step_within_a_step_is_one(start: Start, tmp_path: Path) -> None:
    with computing(CPU):
        waiter = start(pass_through, measuring, tmp_path, "measurement", "nobody")
        wait_for(tmp_path / "measurement-asks")
        time.sleep(0.3)
        with computing(CPU):
            pass
        time.sleep(0.3)
        assert not (tmp_path / "measurement-in").exists()
    ended(waiter)


def fork_in_a_step(folder: Path) -> None:
    """Die in a step and leave a fork, as a worker that loads images is one."""
    with computing(CPU):
        pass
    with computing(CPU):
        if os.fork() == 0:
            (folder / "in").touch()
            wait_for(folder / "stop")
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_fork_does_not_keep_the_steps_of_its_parent(start: Start, tmp_path: Path) -> None:
    parent = start(fork_in_a_step, tmp_path)
    parent.join(PATIENCE)
    wait_for(tmp_path / "in")
    begun = time.monotonic()
    with measuring(CPU):
        (tmp_path / "stop").touch()
    assert time.monotonic() - begun < PATIENCE


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps() -> int:
        with computing(CPU):
            pass
        return len(list(Path("/proc/self/fd").iterdir()))

    before = steps()
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(steps).result()
        after = steps()
    assert after <= before + 2


def test_devices_have_names() -> None:
    assert device_name(CPU) == "cpu"
