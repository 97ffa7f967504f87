"""How long each layer of a detector computes, in PyTorch."""

from __future__ import annotations

import functools
import time
from collections import defaultdict

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from detectors.describe import named_layers
from detectors.detector import Detector
from detectors.quiet import computing, threads

RUNS, WARM_UP = 12, 4
"""Runs of the network, of which the first ones warm up."""


def layer_times(detector: Detector, device: torch.device) -> dict[str, float]:
    """Milliseconds of each of the `named_layers` for one image, on one thread of a CPU: the fastest
    of some runs; of a layer that is called several times, as by a second path, all calls together.

    They say where the time goes, not how fast the detector is: each layer is timed by itself, a
    runtime fuses layers that are separate here, and other processes may compute meanwhile.
    """
    detector = detector.eval().to(device)
    runs: list[dict[str, float]] = []
    image = torch.zeros(1, 3, *detector.config.size, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    hooks = list(_clocks(detector, runs, device))
    try:
        with torch.inference_mode(), threads(1), computing(device, "timing layers"):
            for _ in range(RUNS):
                runs.append(defaultdict(float))
                detector.predict(image)
    finally:
        for hook in hooks:
            hook.remove()
    timed = runs[WARM_UP:]
    return {name: 1000 * min(run[name] for run in timed) for name in timed[0]}


def _clocks(
    detector: Detector, runs: list[dict[str, float]], device: torch.device
) -> list[RemovableHandle]:
    """Hooks that add the seconds of each layer to the last of the runs."""
    started: dict[str, float] = {}

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def start(name: str, *_: object) -> None:
        started[name] = now()

    def stop(name: str, *_: object) -> None:
        runs[-1][name] += now() - started[name]

    def around(name: str, layer: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        return (
            layer.register_forward_pre_hook(functools.partial(start, name)),
            layer.register_forward_hook(functools.partial(stop, name)),
        )

    return [hook for name, layer in named_layers(detector) for hook in around(name, layer)]
