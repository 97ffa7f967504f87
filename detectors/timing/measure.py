"""Frames per second of deployed detectors, on a quiet device, relative to a reference network."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.quiet import measuring, threads
from detectors.runtimes import RUNTIMES, Deployed, Form
from detectors.runtimes.deployment import deploy_as, form_of
from detectors.timing.cost import Cost
from detectors.timing.energy import energy, energy_readable
from detectors.timing.memory import peak_memory
from detectors.timing.paired import Timing, time_together
from detectors.timing.state import Circumstances, Watch
from detectors.timing.store import SpeedStore, nominal_ms
from detectors.timing.subject import inputs_of_image, subject
from detectors.timing.turns import Effort
from detectors.timing.verdict import doubt
from searchspace.measuring import MeasureConfig

ATTEMPTS = 2
"""How often a design is measured without a trusted result: on a machine that is never quiet, more
attempts would take the time of trials, while all others wait, and would be as noisy."""


class Attempts(BaseModel):
    """Measurements of one design that are not trusted.

    Attributes:
        best: the one with the narrowest interval.
    """

    model_config = ConfigDict(frozen=True)

    best: Cost
    number: int = 1

    @property
    def spent(self) -> bool:
        return self.number >= ATTEMPTS

    def then(self, cost: Cost) -> Attempts:
        """These and another one."""
        best = min(self.best, cost, key=lambda each: each.width)
        return Attempts(best=best, number=self.number + 1)


@dataclass(frozen=True)
class Candidate:
    """A detector to be measured.

    Attributes:
        images: float [N, 3, H, W] in 0..1, used in turn; noise if None.
        deployed: its deployed form, if it exists already; else the configuration's form is built.
    """

    detector: Detector
    images: Tensor | None = None
    deployed: Deployed | None = None


def measure(
    detector: Detector,
    config: MeasureConfig,
    device: torch.device,
    images: Tensor | None = None,
    store: SpeedStore | None = None,
    deployed: Deployed | None = None,
) -> Cost:
    """Count parameters and MACs, and measure frames per second on a quiet device.

    Args:
        images: see `Candidate`.
        deployed: see `Candidate`.
        store: cache in which a known speed is looked up, and a new one is kept: a trusted one for
            good, another one until `ATTEMPTS` are made. The key is architecture, widths, form,
            hardware and versions, but not the weights, as post-processing gets
            `config.candidates` boxes in any case.

    Raises:
        RuntimeUnavailable: the form is not available here.
    """
    return measure_together([Candidate(detector, images, deployed)], config, device, store)[0]


def measure_together(
    candidates: Sequence[Candidate],
    config: MeasureConfig,
    device: torch.device,
    store: SpeedStore | None = None,
) -> list[Cost]:
    """Measure several detectors in turns, so that all see the same machine; see `measure`."""
    # If the number of boxes depends on the weights, so does the speed.
    known = None if config.candidates is None else store
    keys = [
        speed_key(c.detector, config, device, c.deployed.form if c.deployed else None)
        for c in candidates
    ]
    costs = [_known(known, key) for key in keys]
    missing = [c for c, cost in zip(candidates, costs, strict=True) if cost is None]
    fresh = iter(_time(missing, config, device, store) if missing else [])

    return [
        _kept(known, key, next(fresh)) if cost is None else cost
        for key, cost in zip(keys, costs, strict=True)
    ]


def _known(store: SpeedStore | None, key: dict[str, Any]) -> Cost | None:
    """A speed that need not be measured again."""
    if store is None:
        return None
    if trusted := store.find(key, Cost):
        return trusted
    doubted = store.find(_doubted(key), Attempts)
    return doubted.best if doubted and doubted.spent else None


def _kept(store: SpeedStore | None, key: dict[str, Any], cost: Cost) -> Cost:
    """The cost that counts after a new measurement, which is stored."""
    if store is None:
        return cost
    if cost.trusted:
        return store.keep(key, cost)
    before = store.find(_doubted(key), Attempts)
    return store.replace(_doubted(key), before.then(cost) if before else Attempts(best=cost)).best


def _doubted(key: dict[str, Any]) -> dict[str, Any]:
    """The key of measurements that are not trusted."""
    return {**key, "doubted": True}


def speed_key(
    detector: Detector, config: MeasureConfig, device: torch.device, form: Form | None = None
) -> dict[str, Any]:
    """Everything that determines a detector's speed except its weights, as JSON values."""
    form = form or form_of(config, detector, device)
    packages = ("sparrow-search", "torchvision", *RUNTIMES[form.runtime].packages)
    return {
        "detector": detector.config.cause(),
        "shapes": {name: list(t.shape) for name, t in detector.state_dict().items()},
        "measure": config.cause("runtime", "precision"),
        "form": list(form),
        "versions": {name: metadata.version(name) for name in packages},
        "energy": energy_readable(device),
        **_hardware(config, device),
    }


def hardware_name(device: torch.device) -> str:
    """The device's name in reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _time(
    candidates: Sequence[Candidate],
    config: MeasureConfig,
    device: torch.device,
    store: SpeedStore | None,
) -> list[Cost]:
    """Deploy detectors that are not deployed yet, and time them while nothing else computes."""
    with contextlib.ExitStack() as made:
        forms = [_deployed(candidate, config, device, made) for candidate in candidates]
        subjects = [subject(d, c.images, config) for d, c in zip(forms, candidates, strict=True)]
        with measuring(device) as alone, threads(config.threads):
            watch = Watch(device)
            effort = Effort(config.runs, config.passes, config.seconds, config.interval)
            timings = time_together(subjects, effort, device)
            circumstances = watch.circumstances()
            memories = [peak_memory(subject.whole, device) for subject in subjects]
            drawn = [energy(subject.whole, device) for subject in subjects]
            company = alone.doubt()
    nominal = nominal_ms(_hardware(config, device), min(t.best_ms for t in timings), store)
    return [
        Cost(
            **_size(candidate.detector, config),
            **speed(timing, nominal, config.batch),
            **_setting(config, deployed, device),
            **_verdict(timing, circumstances, config, device, company),
            memory=memory,
            energy=joules,
        )
        for candidate, deployed, timing, memory, joules in zip(
            candidates, forms, timings, memories, drawn, strict=True
        )
    ]


def _deployed(
    candidate: Candidate,
    config: MeasureConfig,
    device: torch.device,
    made: contextlib.ExitStack,
) -> Deployed:
    """A candidate's deployed form; one that is built here is closed after the measurement."""
    if candidate.deployed is not None:
        return candidate.deployed
    deployed = deploy_as(config, candidate.detector, device, candidate.images)
    made.callback(deployed.close)
    return deployed


def _size(detector: Detector, config: MeasureConfig) -> dict[str, Any]:
    canvas, size = detector.canvas, {}
    inputs = inputs_of_image(canvas, config)
    if canvas.tiles is not None:
        size = {"image_size": config.image_size, "inputs": inputs}
    macs = round(inputs * count_macs(detector))
    return {"params": count_params(detector), "macs": macs, "input_size": canvas.size, **size}


def speed(timing: Timing, nominal: float, batch: int) -> dict[str, Any]:
    """Normalised and raw figures; `nominal` is the reference's latency in milliseconds."""
    whole = timing.whole

    def fps(ratio: float | None) -> float | None:
        return None if ratio is None else 1000 * batch / (ratio * nominal)

    return {
        "fps": fps(whole.ratio),
        "latency_ms": whole.ratio * nominal,
        "spread": whole.spread,
        "fps_low": fps(whole.high),
        "fps_high": fps(whole.low),
        "raw_fps": 1000 * batch / whole.latency.p50,
        "network_fps": fps(timing.network.ratio if timing.network else None),
        "nominal_ms": nominal,
        "timing": timing,
    }


def _setting(config: MeasureConfig, deployed: Deployed, device: torch.device) -> dict[str, Any]:
    return {
        "device": hardware_name(device),
        "threads": config.threads if device.type == "cpu" else None,
        "runtime": deployed.form.runtime,
        "precision": deployed.form.precision,
        "batch": config.batch,
        "candidates": config.candidates,
    }


def _verdict(
    timing: Timing,
    circumstances: Circumstances,
    config: MeasureConfig,
    device: torch.device,
    company: str | None,
) -> dict[str, Any]:
    """Whether the figures can be trusted; `company` says which other process computed, if any."""
    noise = doubt(timing, circumstances.disturbance, device, config.threads)
    reason = "; ".join(reason for reason in (noise, company) if reason) or None
    return {"circumstances": circumstances, "trusted": reason is None, "doubt": reason}


def _hardware(config: MeasureConfig, device: torch.device) -> dict[str, Any]:
    """The properties that distinguish kinds of hardware with respect to speed."""
    return {
        "device": hardware_name(device),
        "threads": config.threads if device.type == "cpu" else None,
        "torch": torch.__version__,
    }
