from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from detectors.detector import Detector
from detectors.timing import energy as module
from detectors.timing.energy import EnergyUnreadable, energy, energy_counter, energy_readable
from detectors.timing.measure import measure, speed_key
from searchspace.measuring import MeasureConfig

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


class Zone:
    """A counter below the powercap folder, in microjoules."""

    def __init__(self, folder: Path, name: str, end: int = 10**9) -> None:
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{end}\n")
        self.file = folder / "energy_uj"
        self.end = end
        self.set(0)

    def set(self, value: int) -> None:
        self.file.write_text(f"{value % self.end}\n")

    def add(self, value: int) -> None:
        self.set(int(self.file.read_text()) + value)


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_POWERCAP", tmp_path)
    monkeypatch.setattr(module, "SECONDS", 0.02)
    return tmp_path


def test_packages_are_added_up_and_their_parts_are_not(powercap: Path) -> None:
    zones = [Zone(powercap / f"intel-rapl:{k}", f"package-{k}") for k in range(2)]
    part = Zone(powercap / "intel-rapl:0:0", "core")
    counter = energy_counter(CPU)
    for zone, microjoules in (*((z, 1_500_000) for z in zones), (part, 10**6)):
        zone.add(microjoules)
    assert counter() == 3.0
    zones[1].add(500_000)
    assert counter() == 3.5


def test_a_counter_may_wrap_around(powercap: Path) -> None:
    zone = Zone(powercap / "intel-rapl:0", "package-0", end=2_000_000)
    zone.set(1_900_000)
    counter = energy_counter(CPU)
    zone.add(300_000)
    assert counter() == pytest.approx(0.3)
    zone.add(1_900_000)
    assert counter() == pytest.approx(2.2)


def test_energy_is_that_of_one_call(powercap: Path) -> None:
    zone = Zone(powercap / "intel-rapl:0", "package-0", end=10**12)
    found = energy(lambda: zone.add(7_000), CPU)
    assert found.millijoules == pytest.approx(7)
    assert "packages" in found.how


def test_a_counter_that_does_not_change_gives_no_energy(powercap: Path) -> None:
    Zone(powercap / "intel-rapl:0", "package-0")
    found = energy(lambda: None, CPU)
    assert (found.millijoules, found.how) == (
        None,
        "the counter of the CPU packages did not change",
    )


def test_a_machine_without_counters_says_so(powercap: Path) -> None:
    found = energy(lambda: None, CPU)
    assert found.millijoules is None
    assert "no package below" in found.how
    assert not energy_readable(CPU)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_counter_for_root_alone_is_named(powercap: Path) -> None:
    Zone(powercap / "intel-rapl:0", "package-0").file.chmod(0)
    with pytest.raises(EnergyUnreadable, match=r"energy_uj: Permission denied; give this user"):
        energy_counter(CPU)


def test_a_counter_that_cannot_be_opened_is_named(powercap: Path) -> None:
    Zone(powercap / "intel-rapl:0", "package-0").file.unlink()
    with pytest.raises(EnergyUnreadable, match=r"energy_uj: No such file"):
        energy_counter(CPU)


# ---- GPUs, by a driver that is made up


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """NVIDIA's library with one GPU, which draws 40 J between two looks."""
    millijoules = itertools.count(1000, 40_000)
    made = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-1a-2b": "handle"}[uuid],
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules),
    )
    monkeypatch.setitem(sys.modules, "pynvml", made)
    uuid = SimpleNamespace(uuid="1a-2b")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: uuid)
    return made


def test_a_gpu_is_found_by_its_uuid(nvml: SimpleNamespace) -> None:
    counter = energy_counter(GPU)
    before = counter()
    assert counter() - before == 40.0


def test_a_gpu_that_does_not_count_says_so(nvml: SimpleNamespace) -> None:
    def refuse(handle: str) -> int:
        raise NVMLError("Not Supported")

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with pytest.raises(EnergyUnreadable, match="does not count its energy: Not Supported"):
        energy_counter(GPU)


def test_without_its_library_a_gpu_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(EnergyUnreadable, match="pip install nvidia-ml-py"):
        energy_counter(GPU)


# ---- of a measured detector


def test_a_detector_is_charged_by_the_image(
    powercap: Path, make_detector: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = Zone(powercap / "intel-rapl:0", "package-0", end=10**12)
    detector, config = make_detector(), MeasureConfig(runs=2, passes=1, batch=2)
    timed = module.timed

    def drawing(*call: object) -> float:
        zone.add(6_000)
        return timed(*call)

    monkeypatch.setattr(module, "timed", drawing)
    cost = measure(detector, config, CPU)
    assert cost.energy.millijoules == pytest.approx(6)
    assert cost.energy_mj == pytest.approx(3)


def test_speeds_without_energy_are_not_taken_for_those_with(
    powercap: Path, make_detector: Callable[..., Detector]
) -> None:
    detector, config = make_detector(), MeasureConfig(runtime="eager")
    without = speed_key(detector, config, CPU)
    assert speed_key(detector, config, CPU) == without
    Zone(powercap / "intel-rapl:0", "package-0")
    assert speed_key(detector, config, CPU) != without
