"""Data loading: decoding, resizing, augmenting, loading, copying; and evaluation, a part alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice

import torch

from benchmarks.gpu.setting import (
    NOT_TRIED,
    TABLE,
    Row,
    Setting,
    finished,
    random_detector,
    tried,
)
from detectors.data.images import load_image
from detectors.data.loader import TrainingLoader, evaluation_batches
from detectors.data.samples import TrainingSet
from detectors.data.transforms import evaluation_transform
from detectors.evaluate import coco_metrics, detect_split
from detectors.runtimes.deployment import deploy_as
from detectors.tiling import BATCH
from searchspace.measuring import MeasureConfig
from searchspace.trial import TrialConfig

RECIPES = ("ssd300_vgg16", "yolox_tiny", "gfl_r50")
"""Zoom-outs and crops at 300 pixels; mosaics at 416; plain flips at 1280 x 800."""

PROCESSES = (0, 1, 2, 4, 8, 12, 16)
SECONDS = 1.5
"""Seconds for which each task of one process is timed."""

COPIES = 20
EVALUATED = "ssd300_vgg16"


def data(setting: Setting) -> Iterator[Row]:
    """Rows for the tasks of one process, for copies, and for loaders."""
    trials = setting.trials(RECIPES)
    first = next(iter(trials.values()))
    yield from _one_process(setting, trials)
    if setting.device.type == "cuda":
        yield tried({TABLE: "Host to device"}, partial(_copies, setting, first))
    yield from _loaders(setting, trials)


def _one_process(setting: Setting, trials: dict[str, TrialConfig]) -> Iterator[Row]:
    """Images per second that one process decodes, resizes and augments."""
    split, seconds = setting.splits.train, 0.1 if setting.brief else SECONDS
    records = split.images
    row: Row = {TABLE: "One process, images/s"}

    def decode(number: int) -> None:
        record = records[number % len(records)]
        load_image(record.path, record.width, record.height)

    size = {"image": f"{records[0].width}x{records[0].height}"}
    yield tried(row | {"what": "decode"} | size, lambda: _rate(decode, seconds))
    first = load_image(records[0].path, records[0].width, records[0].height)
    for name, config in trials.items():
        shape = "x".join(map(str, config.detector.size))
        resize = evaluation_transform(config.detector.canvas)
        rate = partial(_rate, lambda _, resize=resize: resize(first), seconds)
        yield tried(row | {"what": f"resize to {shape}"} | size, rate)

        def augment(config: TrialConfig = config) -> Row:
            samples = TrainingSet(split, config.train, config.detector.canvas, seed=0)
            cold = _rate(lambda k: samples.sample(k % len(samples)), seconds)
            # By now most images are decoded and cached.
            return cold | {
                "again": _rate(lambda k: samples.sample(k % len(samples)), seconds)["rate"]
            }

        yield tried(row | {"what": f"sample of {name}"} | size, augment)


def _rate(call: Callable[[int], object], seconds: float) -> Row:
    """Calls per second; `call` gets their number, from 0."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not calls:
        call(calls)
        calls += 1
    return {"rate": calls / (time.perf_counter() - start)}


def _loaders(setting: Setting, trials: dict[str, TrialConfig]) -> Iterator[Row]:
    """Images per second over whole epochs by number of loading processes, with their start."""
    cores = len(os.sched_getaffinity(0))
    counts = (0, 2) if setting.brief else [n for n in PROCESSES if n <= cores]
    for count in counts:
        for name, config in trials.items():
            row: Row = {TABLE: "Loader", "recipe": name, "processes": count}
            if setting.left <= 0:
                yield row | NOT_TRIED
                continue
            yield tried(row, partial(_epoch, setting, config, count))


def _epoch(setting: Setting, config: TrialConfig, processes: int) -> Row:
    """One epoch, or as much of it as fits into a few seconds."""
    loader = TrainingLoader(
        setting.splits.train,
        config.train,
        config.detector.canvas,
        seed=0,
        workers=processes,
        device=setting.device,
    )
    start, images, first = time.perf_counter(), 0, 0.0
    for batch in loader.epoch(0):
        images += len(batch.images)
        now = time.perf_counter() - start
        first = first or now
        if now > (0.2 if setting.brief else 2 * SECONDS):
            break
    return {"images/s": images / now, "first batch after s": first, "images": images}


def _copies(setting: Setting, config: TrialConfig) -> Row:
    """Milliseconds to copy a batch to the GPU, and to convert it to the network's input."""
    loader = TrainingLoader(setting.splits.train, config.train, config.detector.canvas, 0)
    images = next(iter(loader.epoch(0))).images
    pinned, held = images.pin_memory(), images.to(setting.device)
    calls = {
        "pageable ms": lambda: images.to(setting.device, non_blocking=True),
        "pinned ms": lambda: pinned.to(setting.device, non_blocking=True),
        "pinning ms": images.pin_memory,
        "to 0..1, channels last ms": lambda: (
            held.float().div_(255).contiguous(memory_format=torch.channels_last)
        ),
    }
    row: Row = {"batch": list(images.shape), "MB": images.numel() / 1e6}
    return row | {name: _milliseconds(call, setting.device) for name, call in calls.items()}


def _milliseconds(call: Callable[[], object], device: torch.device) -> float:
    call()
    start = finished(device)
    for _ in range(COPIES):
        call()
    return 1000 * (finished(device) - start) / COPIES


def evaluation(setting: Setting) -> Iterator[Row]:
    """Seconds of an evaluation of the validation split, as a trial makes it, and of its parts."""
    config = next(iter(setting.trials((EVALUATED,)).values()))
    yield tried({TABLE: "Evaluation, seconds"}, partial(_evaluated, setting, config))


@torch.inference_mode()
def _evaluated(setting: Setting, config: TrialConfig) -> Row:
    split, device = setting.splits.val, setting.device
    config = config.changed(detector=config.detector.changed(num_classes=split.num_classes))
    deployed = deploy_as(MeasureConfig(), random_detector(config).eval(), device, None)
    size = min(BATCH, len(split.images))
    start = finished(device)
    batches = [i for _, i in evaluation_batches(split, config.detector.canvas, size)]
    decoded = finished(device) - start
    held = [b.to(device).float().div_(255) for b in batches if len(b) == size]
    raw = deployed.network(held[0])  # compiles, where it does
    deployed.finish(raw)
    whole = list(islice(cycle(held), len(batches)))
    start = finished(device)
    for batch in whole:
        raw = deployed.network(batch)
    network = finished(device) - start
    start = finished(device)
    for _ in whole:
        deployed.finish(raw)
    boxes = finished(device) - start
    start = finished(device)
    results = detect_split(deployed, split, device)
    everything = finished(device) - start
    start = time.perf_counter()
    coco_metrics(split, results)
    return {
        "form": str(deployed.form),
        "images": len(split.images),
        "detections": len(results),
        "decode and resize": decoded,
        "network": network,
        "post-processing": boxes,
        "detection in total": everything,
        "COCO": time.perf_counter() - start,
    }
