"""Training steps of a system of each family, alone.

They are steps of `detectors.training.train.fit` with the paper's recipe at the paper's input and
batch size, from random weights and without multi-scale training, so that all steps are alike. They
repeat one batch that is on the device already; `loops` has the training from files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.machine import watched
from benchmarks.gpu.setting import (
    NOT_TRIED,
    TABLE,
    YOLOX,
    Row,
    Setting,
    finished,
    random_detector,
    tried,
)
from detectors.data.loader import Batch, TrainingLoader, workers_for
from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.timing.memory import peak_memory
from detectors.training.backends import autocast_type
from detectors.training.train import OnEpoch, fit
from searchspace.augmentation import MultiScale
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

FAMILIES = (
    "ssd300_vgg16", "fssd300", "mfssd_bn", "mdssd300", "ssdmnetv1_s1l4",
    "ssdmnetv1_s1l0_dualpath19_10_s", "yolox_tiny", "gfl_r50",
)  # fmt: skip

PRECISIONS = ("auto", "float32")
STEPS = 5
"""Steps of an epoch of the held batch."""

PROFILED = 3
"""Steps under the profiler."""

TOP = 12
"""Number of operations kept from a profile."""

SYNCHRONISATIONS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "aten::_local_scalar_dense")


class Enough(Exception):
    """Ends a training from within; not an error."""


class HeldBatch:
    """A loader that repeats one batch, and records the duration of each epoch."""

    def __init__(self, batch: Batch, steps: int, device: torch.device) -> None:
        self.batch, self.steps, self.device = batch, steps, device
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int, skipped: int = 0) -> Iterator[Batch]:
        start = finished(self.device)
        for _ in range(skipped, self.steps):
            yield self.batch
        self.seconds.append(finished(self.device) - start)


def steps(setting: Setting) -> Iterator[Row]:
    """A row for each family in each precision."""
    systems = {n: _fitting(c, setting) for n, c in setting.trials(FAMILIES, (YOLOX,)).items()}
    pairs = [(name, precision) for precision in PRECISIONS for name in systems]
    for done, (name, precision) in enumerate(pairs):
        share = setting.left / (len(pairs) - done)
        row: Row = {TABLE: "Training steps", "system": name, "precision": precision}
        if share <= 0:
            yield row | NOT_TRIED
            continue
        config = systems[name]
        yield tried(row, lambda c=config, p=precision, s=share: _figures(c, p, setting, s))
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()


def _figures(config: TrialConfig, precision: str, setting: Setting, share: float) -> Row:
    """All figures of a system; `share` is the number of seconds it may take."""
    began, split, device = time.monotonic(), setting.splits.train, setting.device
    recipe = config.train.changed(precision=precision, multi_scale=MultiScale())
    loader = TrainingLoader(
        split, recipe, config.detector.canvas, 0, workers_for(device), device=device
    )
    found: Row = {
        "computes in": str(autocast_type(precision, skeleton(config.detector), device))[6:],
        "input": "x".join(map(str, config.detector.size)),
        "batch": loader.batch_size,
    }
    batch = next(iter(loader.epoch(0)))
    held = Batch(batch.images.to(device), batch.targets)
    with watched(device) as busy:
        found |= _bare(config, recipe, held, setting, share / 3)
    found |= busy
    if precision == PRECISIONS[0] and time.monotonic() - began < share:
        profiled = _profile(config, recipe, held, device)
        found |= {"kernel share": profiled["device_share"], "profile": profiled}
    return found


def _fitting(config: TrialConfig, setting: Setting) -> TrialConfig:
    """The same system with at least as many classes as the data have."""
    classes = max(config.detector.num_classes, setting.splits.train.num_classes)
    return config.changed(detector=config.detector.changed(num_classes=classes))


def _bare(
    config: TrialConfig, recipe: TrainConfig, held: Batch, setting: Setting, seconds: float
) -> Row:
    """Images per second of steps on a held batch, and their peak memory."""
    loader = HeldBatch(held, 2 if setting.brief else STEPS, setting.device)
    detector, until = random_detector(config), time.monotonic() + seconds

    def stop(epochs: int, losses: dict[str, float]) -> None:
        # In the first epoch memory is allocated and libraries choose their kernels.
        if epochs > 1 and (setting.brief or time.monotonic() > until):
            raise Enough

    train = partial(_train, detector, loader, recipe, setting.device, stop)
    memory = peak_memory(train, setting.device)
    best = min(loader.seconds[1:]) / loader.steps
    return {
        "step ms": 1000 * best,
        "step images/s": len(held.images) / best,
        "peak MB": memory.megabytes,
        "epochs of the step": loader.seconds,
    }


def _profile(config: TrialConfig, recipe: TrainConfig, held: Batch, device: torch.device) -> Row:
    """The time of a few steps by operation; on a GPU only kernels."""
    loader, on_gpu = HeldBatch(held, PROFILED, device), device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    recorder = profile(activities=activities)

    def switch(epochs: int, losses: dict[str, float]) -> None:
        if epochs == 1:
            recorder.start()
        else:
            recorder.stop()
            raise Enough

    _train(random_detector(config), loader, recipe, device, switch)
    events = recorder.key_averages()
    waits = {e.key: e.count / PROFILED for e in events if e.key in SYNCHRONISATIONS}
    launches = sum(e.count for e in events if "LaunchKernel" in e.key)
    # Operations are listed as well as the kernels that they launch; on a GPU only kernels count.
    counted = [e for e in events if (e.device_type != DeviceType.CPU) == on_gpu]
    counted = [e for e in counted if not e.is_user_annotation]
    micros = {e.key: e.self_device_time_total if on_gpu else e.self_cpu_time_total for e in counted}
    longest = sorted(micros, key=micros.get, reverse=True)[:TOP]
    return {
        "device_share": sum(micros.values()) / (1e6 * loader.seconds[-1]),
        "waits_a_step": waits,
        "launches_a_step": launches / PROFILED,
        "ms_a_step": {name: micros[name] / 1e3 / PROFILED for name in longest},
    }


def _train(
    detector: Detector,
    loader: TrainingLoader | HeldBatch,
    recipe: TrainConfig,
    device: torch.device,
    on_epoch: OnEpoch,
) -> None:
    """Train until `on_epoch` raises `Enough`."""
    try:
        fit(detector.to(device), loader, recipe, on_epoch=on_epoch)
    except Enough:
        return
