"""Peak memory of a call."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from detectors.timing.blocks import Call, timed

_SELF = Path("/proc/self")
_RESET_PEAK = "5"
"""Written to `clear_refs`, it resets the peak of the resident memory to its current value."""


class Memory(BaseModel):
    """Peak memory of a call.

    Attributes:
        megabytes: 10^6 bytes; None if it cannot be measured.
        how: what was counted, or why it cannot be measured.
    """

    model_config = ConfigDict(frozen=True)

    megabytes: float | None
    how: str


def peak_memory(call: Call, device: torch.device) -> Memory:
    """Call once more, and measure its peak memory."""
    return _on_gpu(call, device) if device.type == "cuda" else _on_cpu(call, device)


def _on_gpu(call: Call, device: torch.device) -> Memory:
    torch.cuda.reset_peak_memory_stats(device)
    timed(call, device)
    most = torch.cuda.max_memory_allocated(device)
    return Memory(megabytes=most / 1e6, how="peak of torch's allocations, weights included")


def _on_cpu(call: Call, device: torch.device) -> Memory:
    _give_back()
    try:
        (_SELF / "clear_refs").write_text(_RESET_PEAK)
        before = _status("VmRSS")
        timed(call, device)
        grown = _status("VmHWM") - before
    except OSError as error:
        return Memory(megabytes=None, how=f"the system does not report it: {error.strerror}")
    return Memory(megabytes=grown / 1e3, how="growth of the resident memory, weights not included")


def _status(name: str) -> int:
    """A line of this process' status, in kB."""
    lines = (_SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _give_back() -> None:
    """Return freed memory to the system, which would otherwise count it before and after."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
