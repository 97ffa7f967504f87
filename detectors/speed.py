"""Frames per second of detectors, measured on a quiet device beside a reference network."""

from __future__ import annotations

import contextlib
import itertools
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detectors.cost import Cost
from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.fold import folded
from detectors.postprocess import Detections, postprocess
from detectors.quiet import measuring
from detectors.timing.blocks import Call, threads
from detectors.timing.crowd import crowd
from detectors.timing.memory import Memory, peak_memory
from detectors.timing.paired import Effort, Subject, Timing, time_together
from detectors.timing.state import Circumstances, Watch
from detectors.timing.store import SpeedStore, nominal_ms
from detectors.timing.verdict import doubt
from searchspace.measuring import MeasureConfig

BATCHES = 4
"""Batches of noise that a detector without images is timed on."""


def measure(
    detector: Detector,
    config: MeasureConfig,
    device: torch.device,
    images: Tensor | None = None,
    store: SpeedStore | None = None,
) -> Cost:
    """Count parameters and MACs, and measure frames per second on a quiet device.

    Args:
        images: float [N, 3, S, S] in 0..1, used in turn; noise where there are none.
        store: where a speed that is known already is looked up, and a trusted new one is kept.
    """
    return measure_together([detector], config, device, [images], store)[0]


def measure_together(
    detectors: Sequence[Detector],
    config: MeasureConfig,
    device: torch.device,
    images: Sequence[Tensor | None] = (),
    store: SpeedStore | None = None,
) -> list[Cost]:
    """Measure several detectors in turns, so that all see the same machine; see `measure`."""
    subjects = [
        _Measured.of(detector, config, device, own)
        for detector, own in itertools.zip_longest(detectors, images)
    ]
    with measuring(device):
        costs = [subject.known(store) for subject in subjects]
        unknown = [s for s, cost in zip(subjects, costs, strict=True) if cost is None]
        fresh = iter(_measure(unknown, config, device, store) if unknown else [])
    return [cost or next(fresh) for cost in costs]


def hardware_name(device: torch.device) -> str:
    """What a report calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _measure(
    subjects: Sequence[_Measured],
    config: MeasureConfig,
    device: torch.device,
    store: SpeedStore | None,
) -> list[Cost]:
    calls = [subject.calls() for subject in subjects]
    with threads(config.threads), torch.inference_mode():
        watch = Watch(device)
        effort = Effort(config.runs, config.passes, config.seconds)
        timings = time_together(calls, effort, device)
        circumstances = watch.circumstances()
        memories = [peak_memory(call.whole, device) for call in calls]
    nominal = nominal_ms(_hardware(config, device), min(t.best_ms for t in timings), store)
    costs = [
        subject.cost(timing, memory, circumstances, nominal)
        for subject, timing, memory in zip(subjects, timings, memories, strict=True)
    ]
    for subject, cost in zip(subjects, costs, strict=True):
        subject.keep(cost, store)
    return costs


@dataclass(frozen=True)
class _Measured:
    """A detector, its deployed form, and the batches that this is timed on."""

    detector: Detector
    deployed: Detector
    batches: tuple[Tensor, ...]
    config: MeasureConfig
    device: torch.device

    @classmethod
    def of(
        cls, detector: Detector, config: MeasureConfig, device: torch.device, images: Tensor | None
    ) -> _Measured:
        if images is None:
            side, random = detector.config.input_size, torch.Generator().manual_seed(0)
            images = torch.rand(BATCHES * config.batch, 3, side, side, generator=random)
        deployed = folded(detector).to(device, memory_format=torch.channels_last)
        return cls(detector, deployed, _batches(images, config.batch, device), config, device)

    def calls(self) -> Subject:
        """What is timed: each call takes the next batch."""
        whole = self.deployed.detect
        if self.config.candidates is not None:
            whole = _Crowded(self.deployed, self.batches[0], self.config.candidates)
        return Subject(_in_turn(whole, self.batches), _in_turn(self.deployed.predict, self.batches))

    def key(self) -> dict[str, Any]:
        """Everything that decides its speed, if its weights do not."""
        return {
            "detector": self.detector.config.model_dump(mode="json"),
            "shapes": {name: list(t.shape) for name, t in self.detector.state_dict().items()},
            "measure": self.config.model_dump(mode="json"),
            **_hardware(self.config, self.device),
        }

    def known(self, store: SpeedStore | None) -> Cost | None:
        """Its cost where it was measured before."""
        depends_on_weights = self.config.candidates is None
        return None if store is None or depends_on_weights else store.find(self.key(), Cost)

    def keep(self, cost: Cost, store: SpeedStore | None) -> None:
        """Keep its cost for others, if the machine was quiet enough to tell."""
        if store is not None and self.config.candidates is not None and cost.trusted:
            store.keep(self.key(), cost)

    def cost(
        self, timing: Timing, memory: Memory, circumstances: Circumstances, nominal: float
    ) -> Cost:
        batch, on_cpu = self.config.batch, self.device.type == "cpu"

        def fps(ratio: float | None) -> float | None:
            return None if ratio is None else 1000 * batch / (ratio * nominal)

        reason = doubt(timing, circumstances.disturbance, self.device, self.config.threads)
        return Cost(
            fps=fps(timing.whole.ratio),
            latency_ms=timing.whole.ratio * nominal,
            spread=timing.whole.spread,
            params=count_params(self.detector),
            macs=count_macs(self.detector),
            device=hardware_name(self.device),
            threads=self.config.threads if on_cpu else None,
            fps_low=fps(timing.whole.high),
            fps_high=fps(timing.whole.low),
            raw_fps=1000 * batch / timing.whole.latency.p50,
            network_fps=fps(timing.network.ratio),
            nominal_ms=nominal,
            trusted=reason is None,
            doubt=reason,
            batch=batch,
            input_size=self.detector.config.input_size,
            candidates=self.config.candidates,
            memory=memory,
            timing=timing,
            circumstances=circumstances,
        )


class _Crowded:
    """A deployed detector whose post-processing gets a crowd of boxes, not the network's."""

    def __init__(self, deployed: Detector, batch: Tensor, candidates: int) -> None:
        self._deployed = deployed
        self._config = deployed.config.head.postprocess
        with torch.inference_mode():
            scores = deployed.head.scores_of(deployed.predict(batch))
        self._crowd = crowd(candidates, scores, self._config.score_threshold, batch.device)

    def __call__(self, batch: Tensor) -> Detections:
        predictions = self._deployed.predict(batch)
        self._deployed.head.boxes_of(predictions)
        self._deployed.head.scores_of(predictions)
        return postprocess(*self._crowd, self._config)


def _in_turn(call: Callable[[Tensor], object], batches: Sequence[Tensor]) -> Call:
    """Call with the next batch each time."""
    following = itertools.cycle(batches)
    return lambda: call(next(following))


def _batches(images: Tensor, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Images [N, 3, S, S] as batches of one size; the last one is filled up from the first."""
    short = -len(images) % size
    whole = torch.cat((images, images[torch.arange(short) % len(images)]))
    return tuple(
        batch.contiguous(memory_format=torch.channels_last).to(device)
        for batch in whole.split(size)
    )


def _hardware(config: MeasureConfig, device: torch.device) -> dict[str, Any]:
    """What tells one kind of hardware from another, as far as speed is concerned."""
    return {
        "device": hardware_name(device),
        "threads": config.threads if device.type == "cpu" else None,
        "torch": torch.__version__,
    }
