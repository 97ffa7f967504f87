"""The state of a device around a measurement: clock, temperature, load, use by others.

A figure that the machine does not report is None.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

_CPU = Path("/sys/devices/system/cpu")
_THERMAL = Path("/sys/class/thermal")
_STAT = Path("/proc/stat")
_CPUINFO = Path("/proc/cpuinfo")

_QUERY = "clocks.sm,temperature.gpu,utilization.gpu,pstate,clocks_throttle_reasons.active"


class DeviceState(BaseModel):
    """The state of a device at one moment.

    Attributes:
        clock_mhz: clock of the fastest CPU core, or of the GPU's multiprocessors.
        governor: the CPU's frequency governor, or the GPU's performance state.
        temperature_c: temperature of the hottest sensor, or of the GPU.
        load: processes that run or wait for a core, averaged over a minute, or the share of time in
            which the GPU computed.
        throttled: why a GPU's clock is throttled, as the driver's bit mask.
    """

    model_config = ConfigDict(frozen=True)

    clock_mhz: float | None = None
    governor: str | None = None
    temperature_c: float | None = None
    load: float | None = None
    throttled: str | None = None


class Disturbance(BaseModel):
    """Use of a machine's cores by others during a measurement, in shares of one core's time.

    Attributes:
        others: time of other processes.
        stolen: time that the hypervisor gave to other virtual machines.
    """

    model_config = ConfigDict(frozen=True)

    others: float
    stolen: float


class Circumstances(BaseModel):
    """A device around a measurement; the disturbance is None if the system does not count it."""

    model_config = ConfigDict(frozen=True)

    before: DeviceState
    after: DeviceState
    disturbance: Disturbance | None


class Watch:
    """Records what happens to a device between construction and `circumstances`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = device_state(device)
        self._times = CoreTimes.now()

    def circumstances(self) -> Circumstances:
        now = CoreTimes.now()
        return Circumstances(
            before=self._before,
            after=device_state(self._device),
            disturbance=self._times.until(now) if self._times and now else None,
        )


def device_state(device: torch.device) -> DeviceState:
    """The state of a device now."""
    return _gpu_state(device) if device.type == "cuda" else _cpu_state()


def _cpu_state() -> DeviceState:
    scaled = (path.read_text() for path in _CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    clocks = [khz / 1000 for khz in _numbers(scaled)] or _numbers(_cpuinfo_clocks())
    heat = (path for path in _THERMAL.glob("thermal_zone*/temp"))
    degrees = [millis / 1000 for millis in _numbers(_texts(heat))]
    return DeviceState(
        clock_mhz=max(clocks, default=None),
        governor=next(_texts([_CPU / "cpu0/cpufreq/scaling_governor"]), None),
        temperature_c=max(degrees, default=None),
        load=os.getloadavg()[0],
    )


def _gpu_state(device: torch.device) -> DeviceState:
    uuid = torch.cuda.get_device_properties(device).uuid
    command = ["nvidia-smi", f"--id=GPU-{uuid}", f"--query-gpu={_QUERY}"]
    try:
        told = subprocess.run(
            [*command, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return DeviceState()
    clock, degrees, busy, level, throttled = (value.strip() for value in told.split(","))
    percent = _number(busy)
    return DeviceState(
        clock_mhz=_number(clock),
        governor=level,
        temperature_c=_number(degrees),
        load=None if percent is None else percent / 100,
        throttled=throttled,
    )


@dataclass(frozen=True)
class CoreTimes:
    """CPU seconds of a machine's cores and of this process, since they started."""

    moment: float
    busy: float
    stolen: float
    own: float

    @classmethod
    def now(cls) -> CoreTimes | None:
        """The current times; None if the system does not count them."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            line = _STAT.read_text().splitlines()[0]
            ticks = os.sysconf("SC_CLK_TCK")
            return cls.read(line, ticks, time.monotonic(), time.process_time())
        return None

    @classmethod
    def read(cls, line: str, ticks: int, moment: float, own: float) -> CoreTimes:
        """From the first line of `/proc/stat`, whose numbers are so many ticks of a second;
        raises `ValueError` for any other."""
        user, nice, system, _, _, interrupts, soft, stolen = (
            int(word) / ticks for word in line.split()[1:9]
        )
        return cls(moment, user + nice + system + interrupts + soft, stolen, own)

    def until(self, later: CoreTimes) -> Disturbance:
        """The use by others between two moments."""
        wall = later.moment - self.moment
        others = (later.busy - self.busy) - (later.own - self.own)
        return Disturbance(
            others=max(0.0, others / wall), stolen=(later.stolen - self.stolen) / wall
        )


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.read_text().strip()


def _cpuinfo_clocks() -> Iterable[str]:
    for text in _texts([_CPUINFO]):
        yield from (line.split(":")[1] for line in text.splitlines() if line.startswith("cpu MHz"))


def _numbers(texts: Iterable[str]) -> list[float]:
    return [value for text in texts if (value := _number(text)) is not None]


def _number(text: str) -> float | None:
    """The number; None for anything else, such as `[N/A]`."""
    with contextlib.suppress(ValueError):
        return float(text)
    return None
