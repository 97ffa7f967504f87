"""A quiet device for measurements: while one process measures, no training step runs.

Training holds a shared lock for each step, a measurement holds it alone. The locks are advisory
locks on files under the node's temporary folder, so a process that dies releases them by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """A name that tells devices of a node apart: the GPU's UUID, or `cpu`."""
    if device.type == "cuda":
        return f"cuda-{torch.cuda.get_device_properties(device).uuid}"
    return device.type


@contextlib.contextmanager
def computing(device: torch.device) -> Iterator[None]:
    """Hold the device together with others, for one training step or batch."""
    with contextlib.ExitStack() as held:
        # The gate keeps a stream of short shared locks from starving a measurement that waits.
        with _locked(device, "gate", fcntl.LOCK_SH):
            held.enter_context(_locked(device, "device", fcntl.LOCK_SH))
        yield


@contextlib.contextmanager
def measuring(device: torch.device) -> Iterator[None]:
    """Hold the device alone."""
    with _locked(device, "gate", fcntl.LOCK_EX), _locked(device, "device", fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _locked(device: torch.device, role: str, mode: int) -> Iterator[None]:
    folder = Path(tempfile.gettempdir()) / f"sparrow-locks-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with open(folder / f"{device_name(device)}.{role}", "w") as file:
        fcntl.flock(file, mode)
        yield
