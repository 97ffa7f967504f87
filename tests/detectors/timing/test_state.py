from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from detectors.timing import state
from detectors.timing.memory import peak_memory
from detectors.timing.state import CoreTimes, DeviceState, Watch, device_state

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose files are ours."""
    monkeypatch.setattr(state, "_CPU", tmp_path / "cpu")
    monkeypatch.setattr(state, "_THERMAL", tmp_path / "thermal")
    monkeypatch.setattr(state, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(state, "_STAT", tmp_path / "stat")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_clock_governor_and_temperature_are_read(machine: Path) -> None:
    write(machine / "cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    write(machine / "cpu/cpu0/cpufreq/scaling_cur_freq", "800000\n")
    write(machine / "cpu/cpu1/cpufreq/scaling_cur_freq", "3600000\n")
    write(machine / "thermal/thermal_zone0/temp", "41000\n")
    write(machine / "thermal/thermal_zone1/temp", "67500\n")
    found = device_state(CPU)
    assert (found.governor, found.clock_mhz, found.temperature_c) == ("powersave", 3600.0, 67.5)
    assert found.load >= 0


def test_a_machine_without_a_governor_tells_its_clock(machine: Path) -> None:
    write(machine / "cpuinfo", "model name\t: X\ncpu MHz\t\t: 2596.148\ncpu MHz\t\t: 1200.000\n")
    found = device_state(CPU)
    assert (found.governor, found.clock_mhz, found.temperature_c) == (None, 2596.148, None)


def test_a_machine_that_tells_nothing_has_a_state(machine: Path) -> None:
    found = device_state(CPU)
    assert (found.governor, found.clock_mhz, found.temperature_c) == (None, None, None)
    assert CoreTimes.now() is None
    assert Watch(CPU).circumstances().disturbance is None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A GPU that `nvidia-smi` knows; gives the commands that were run."""
    commands = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout="1980, 43, 7, P0, 0x0000000000000004\n")

    monkeypatch.setattr(subprocess, "run", run)
    known = SimpleNamespace(uuid="1-2-3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: known)
    return commands


def test_a_gpu_is_asked_by_its_own_name(gpu: list[list[str]]) -> None:
    assert device_state(GPU) == DeviceState(
        clock_mhz=1980, governor="P0", temperature_c=43, load=0.07, throttled="0x0000000000000004"
    )
    assert "--id=GPU-1-2-3" in gpu[0]


def test_an_unknown_gpu_has_an_empty_state(
    gpu: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", fail)
    assert device_state(GPU) == DeviceState()


def test_use_by_others_excludes_this_process() -> None:
    start = CoreTimes(moment=10.0, busy=100.0, stolen=1.0, own=5.0)
    end = CoreTimes(moment=14.0, busy=110.0, stolen=1.4, own=8.0)
    found = start.until(end)
    assert (found.others, found.stolen) == (pytest.approx(7 / 4), pytest.approx(0.1))


def test_core_times_are_read_in_seconds(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state.os, "sysconf", lambda name: 100)
    write(machine / "stat", "cpu  1000 200 300 90000 50 40 60 700 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    times = CoreTimes.now()
    assert times.busy == pytest.approx(16.0)
    assert times.stolen == pytest.approx(7.0)


def test_memory_grows_by_what_a_call_takes() -> None:
    small, large = (
        peak_memory(lambda count=count: torch.ones(count).sum(), CPU)
        for count in (25_000, 25_000_000)
    )
    if small.megabytes is None:
        pytest.skip(small.how)
    assert "weights not included" in large.how
    assert large.megabytes == pytest.approx(100, rel=0.1)
    assert small.megabytes < 5


def test_unknown_memory_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.timing.memory._SELF", tmp_path / "nowhere")
    found = peak_memory(lambda: None, CPU)
    assert found.megabytes is None
    assert found.how == "the system does not report it: No such file or directory"
