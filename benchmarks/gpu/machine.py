"""Facts about the machine, and how busy its GPU was during a part."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Iterator
from importlib import metadata

import torch

from benchmarks.gpu.setting import Row
from detectors.timing.energy import EnergyUnreadable, energy_counter
from detectors.timing.measure import hardware_name
from detectors.timing.state import DeviceState, device_state

PACKAGES = ("torchvision", "triton", "tensorrt", "onnxruntime", "nvidia-ml-py", "ray")
"""Packages whose versions matter, if they are installed."""

EVERY = 0.5
"""Seconds between two samples; the driver's figure is an average over 1/6 s to 1 s."""


def machine(device: torch.device) -> Row:
    """Everything outside the project that speeds depend on."""
    installed = {name: _version(name) for name in PACKAGES}
    facts = {
        "cpu": hardware_name(torch.device("cpu")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version for name, version in installed.items() if version},
        "pynvml": importlib.util.find_spec("pynvml") is not None,
        "energy": _energy(device),
    }
    return (_gpu(device) if device.type == "cuda" else {"gpu": "none"}) | facts


def _gpu(device: torch.device) -> Row:
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "gpu_memory_gb": properties.total_memory / 1e9,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "state": device_state(device).model_dump(),
    }


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.splitlines()[0].strip()


def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _energy(device: torch.device) -> str:
    try:
        energy_counter(device)
    except EnergyUnreadable as error:
        return str(error)
    return "readable"


@contextlib.contextmanager
def watched(device: torch.device) -> Iterator[Row]:
    """Yields a row that is filled at the end: the GPU's mean utilisation and clock in between.

    It stays empty on a CPU, and if the driver does not report them.
    """
    row: Row = {}
    if device.type != "cuda":
        yield row
        return
    states: list[DeviceState] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            states.append(device_state(device))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield row
    finally:
        ended.set()
        thread.join()
    for heading, field in (("GPU busy", "load"), ("MHz", "clock_mhz")):
        values = [v for v in (getattr(state, field) for state in states) if v is not None]
        if values:
            row[heading] = statistics.fmean(values)
