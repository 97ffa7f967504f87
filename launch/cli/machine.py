"""How busy this machine is, in words."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import psutil

SHORTEST = 0.5
"""Seconds over which the use of the CPUs can be told."""


class Machine:
    """How busy it is, from one look to the next."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # the next call counts from here
        self._began = time.monotonic()

    def in_words(self) -> str:
        """Use of the CPUs since the last call, of the memory, and of NVIDIA's GPUs if they can be
        read, which takes `nvidia-ml-py`."""
        known = time.monotonic() - self._began >= SHORTEST
        cpus = [f"CPU {psutil.cpu_percent():.0f} %"] if known else []
        memory = psutil.virtual_memory()
        used = f"{_gb(memory.total - memory.available)} of {_gb(memory.total)} GB"
        return ", ".join([*cpus, f"memory {used}", *_gpus()])


def _gpus() -> Iterator[str]:
    nvml = _nvml()
    if nvml is None:
        return
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError:
            continue  # e.g. of a GPU that is divided, which does not say
        yield f"GPU {index} {busy} %, {_gb(memory.used)} of {_gb(memory.total)} GB"


@cache
def _nvml() -> Any:
    """NVIDIA's library, which needs no CUDA context; None if there is none, or no GPU."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _gb(count: float) -> str:
    return f"{count / 1e9:.0f}"
