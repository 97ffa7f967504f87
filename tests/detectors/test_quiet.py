"""Locks between processes. Order is told by files, never by the clock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from detectors.quiet import computing, device_name, measuring
from tests.processes import process

CPU = torch.device("cpu")
PATIENCE = 60.0

Role = Callable[[torch.device], AbstractContextManager[None]]
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


def test_devices_have_names() -> None:
    assert device_name(CPU) == "cpu"
