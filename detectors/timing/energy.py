"""The energy that a call draws, on devices that count what they draw.

Linux counts a CPU's by package (RAPL, below `/sys/class/powercap`; mostly for root alone), NVIDIA's
driver that of a whole GPU (NVML). Both count all that runs there, and what the device draws at
rest: a detector is measured while no other trial computes, and is charged for the time it takes.
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
"""How long calls go on: a GPU's counter moves only every tenth of a second."""

_POWERCAP = Path("/sys/class/powercap")

Counter = Callable[[], float]
"""Joules since some moment."""


class EnergyUnreadable(InputError):
    """A device does not let its energy be read; the message says why, and what to do."""


class Energy(BaseModel):
    """The energy of a call.

    Attributes:
        millijoules: None where it cannot be read.
        how: what was counted, or why nothing could be.
    """

    model_config = ConfigDict(frozen=True)

    millijoules: float | None
    how: str


def energy(call: Call, device: torch.device) -> Energy:
    """Call for some seconds, where there is a counter, and say what one call drew."""
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
        return Energy(millijoules=None, how=f"the counter of the {what} stood still")
    return Energy(millijoules=1e3 * drawn / calls, how=f"all that the {what} drew")


def energy_counter(device: torch.device) -> Counter:
    """What counts a device's energy; raises `EnergyUnreadable`."""
    return _gpu_counter(device) if device.type == "cuda" else _cpu_counter()


def energy_readable(device: torch.device) -> bool:
    """Whether a device lets its energy be read."""
    try:
        energy_counter(device)
    except EnergyUnreadable:
        return False
    return True


class _Packages:
    """The sum of the counters of a machine's CPU packages, each of which starts over at its end."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = [(zone / "energy_uj", _read(zone / "max_energy_range_uj")) for zone in zones]
        self._last = [_read(file) for file, _ in self._zones]
        self._sum = 0

    def __call__(self) -> float:
        for place, (file, end) in enumerate(self._zones):
            now = _read(file)
            # One less than its last value began again at 0.
            self._sum += now - self._last[place] + (end if now < self._last[place] else 0)
            self._last[place] = now
        return self._sum / 1e6


def _cpu_counter() -> Counter:
    names = sorted(_POWERCAP.glob("*/name"))
    zones = [file.parent for file in names if file.read_text().startswith("package")]
    if not zones:
        raise EnergyUnreadable(
            f"this machine does not count its CPUs' energy: no package below {_POWERCAP}, as in "
            "most virtual machines"
        )
    try:
        return _Packages(zones)
    except OSError as error:
        raise EnergyUnreadable(
            f"{error.filename}: {error.strerror}; let this user read it, or run as root"
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
