"""Size and speed of a detector, as a frozen value."""

from __future__ import annotations

import contextlib
import platform
import statistics
import time
from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.fold import folded
from detectors.quiet import measuring
from searchspace.measuring import MeasureConfig

WARM_UP = 10


class Cost(BaseModel):
    """What a detector costs.

    Attributes:
        fps: single images a second, from image tensor to boxes, NMS included.
        latency_ms: its reciprocal, in milliseconds.
        spread: (slowest - fastest) / fastest of the passes' medians.
        params, macs: see `detectors.describe`.
        device, threads: what it was measured on; threads are None on a GPU.
    """

    model_config = ConfigDict(frozen=True)

    fps: float
    latency_ms: float
    spread: float
    params: int
    macs: int
    device: str
    threads: int | None


def measure(
    detector: Detector, config: MeasureConfig, device: torch.device, images: Tensor | None = None
) -> Cost:
    """Count parameters and MACs, and measure frames per second on a quiet device.

    What is timed is the deployed form: batch norms folded into convolutions. Every pass times
    `config.runs` single images after a warm-up; its figure is their median. The fastest pass
    counts: whatever else a machine does can only make one slower.

    Args:
        images: float [N, 3, H, W] in 0..1, used in turn; noise where there are none.
    """
    if images is None:
        random = torch.Generator().manual_seed(0)
        images = torch.rand(4, 3, *detector.config.size, generator=random)
    deployed = folded(detector).to(device, memory_format=torch.channels_last)
    frames = [f[None].contiguous(memory_format=torch.channels_last).to(device) for f in images]
    with measuring(device), _threads(config.threads), torch.inference_mode():
        _timed(deployed, frames, WARM_UP, device)
        passes = [
            statistics.median(_timed(deployed, frames, config.runs, device))
            for _ in range(config.passes)
        ]
    seconds = min(passes)
    return Cost(
        fps=1 / seconds,
        latency_ms=1000 * seconds,
        spread=max(passes) / seconds - 1,
        params=count_params(detector),
        macs=count_macs(detector),
        device=hardware_name(device),
        threads=config.threads if device.type == "cpu" else None,
    )


def hardware_name(device: torch.device) -> str:
    """What a report calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _timed(
    detector: Detector, frames: list[Tensor], runs: int, device: torch.device
) -> list[float]:
    """Seconds of each of `runs` single-image detections."""
    seconds = []
    for run in range(runs):
        frame = frames[run % len(frames)]
        start = time.perf_counter()
        detector.detect(frame)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
