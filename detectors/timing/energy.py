"""The energy of a call, on devices that count their energy.

Linux counts that of CPU packages (RAPL, below `/sys/class/powercap`; usually readable by root
only), NVIDIA's driver that of a whole GPU (NVML). Both include everything that runs there and the
idle power: a detector is measured while no other trial computes, and is charged for its time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from detectors.timing.blocks import Call, timed
from searchspace.errors import InputError

SECONDS = 2.0
"""Seconds of calls: a GPU's counter is updated only every tenth of a second."""

_POWERCAP = Path("/sys/class/powercap")

Counter = Callable[[], float]
"""Joules since some fixed moment."""


class EnergyUnreadable(InputError):
    """A device's energy cannot be read; the message says why, and how to fix it."""


class Energy(BaseModel):
    """The energy of a call.

    Attributes:
        millijoules: None if it cannot be read.
        how: what was counted, or why it cannot be read.
    """

    model_config = ConfigDict(frozen=True)

    millijoules: float | None
    how: str


def energy(call: Call, device: torch.device) -> Energy:
    """The energy of one call, averaged over some seconds; without a counter nothing is called."""
    try:
        counter = energy_counter(device)
    except EnergyUnreadable as error:
        return Energy(millijoules=None, how=str(error))
    start, before, calls = time.monotonic(), counter(), 0
    while time.monotonic() - start < SECONDS:
        timed(call, device)
        calls += 1
    drawn, what = counter() - before, "GPU" if device.type == "cuda" else "CPU packages"
    if drawn <= 0:
        return Energy(millijoules=None, how=f"the counter of the {what} did not change")
    return Energy(millijoules=1e3 * drawn / calls, how=f"everything that the {what} used")


def energy_counter(device: torch.device) -> Counter:
    """The counter of a device's energy; raises `EnergyUnreadable`."""
    return _gpu_counter(device) if device.type == "cuda" else _cpu_counter()


def energy_readable(device: torch.device) -> bool:
    """Whether a device's energy can be read."""
    try:
        energy_counter(device)
    except EnergyUnreadable:
        return False
    return True


class _Packages:
    """The sum of the counters of a machine's CPU packages, each of which wraps around."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = [(zone / "energy_uj", _read(zone / "max_energy_range_uj")) for zone in zones]
        self._last = [_read(file) for file, _ in self._zones]
        self._sum = 0

    def __call__(self) -> float:
        for place, (file, end) in enumerate(self._zones):
            now = _read(file)
            # A counter below its last value has wrapped around to 0.
            self._sum += now - self._last[place] + (end if now < self._last[place] else 0)
            self._last[place] = now
        return self._sum / 1e6


def _cpu_counter() -> Counter:
    names = sorted(_POWERCAP.glob("*/name"))
    zones = [file.parent for file in names if file.read_text().startswith("package")]
    if not zones:
        raise EnergyUnreadable(
            f"this machine does not count its CPUs' energy: there is no package below {_POWERCAP}, "
            "as on most virtual machines"
        )
    try:
        return _Packages(zones)
    except OSError as error:
        raise EnergyUnreadable(
            f"{error.filename}: {error.strerror}; give this user read permission, or run as root"
        ) from None


def _gpu_counter(device: torch.device) -> Counter:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise EnergyUnreadable(
            "a GPU's energy is read through pynvml: pip install nvidia-ml-py"
        ) from None
    try:
        nvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        raise EnergyUnreadable(f"this GPU does not count its energy: {error}") from None
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3


def _read(file: Path) -> int:
    return int(file.read_text())
