"""The most memory that a call takes."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from detectors.timing.blocks import Call, timed

_SELF = Path("/proc/self")
_RESET_PEAK = "5"
"""Written to `clear_refs`, it sets the peak of the resident memory back to what it is now."""


class Memory(BaseModel):
    """The most memory of a call.

    Attributes:
        megabytes: 10^6 bytes; None where it cannot be told.
        how: what was counted, or why nothing could be.
    """

    model_config = ConfigDict(frozen=True)

    megabytes: float | None
    how: str


def peak_memory(call: Call, device: torch.device) -> Memory:
    """Call once more, and say how much memory that took."""
    return _on_gpu(call, device) if device.type == "cuda" else _on_cpu(call, device)


def _on_gpu(call: Call, device: torch.device) -> Memory:
    torch.cuda.reset_peak_memory_stats(device)
    timed(call, device)
    most = torch.cuda.max_memory_allocated(device)
    return Memory(megabytes=most / 1e6, how="most that torch had allocated, weights included")


def _on_cpu(call: Call, device: torch.device) -> Memory:
    _give_back()
    try:
        (_SELF / "clear_refs").write_text(_RESET_PEAK)
        before = _status("VmRSS")
        timed(call, device)
        grown = _status("VmHWM") - before
    except OSError as error:
        return Memory(megabytes=None, how=f"the system does not tell: {error.strerror}")
    return Memory(megabytes=grown / 1e3, how="growth of the resident memory, weights not included")


def _status(name: str) -> int:
    """A line of this process' status, in kB."""
    lines = (_SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _give_back() -> None:
    """Give freed memory back to the system, which else counts it as ours before and after."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
