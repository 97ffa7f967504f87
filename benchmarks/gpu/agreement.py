"""Do CPU and device compute the same? Detections of one detector, and the losses of each family.

The detector has random weights with class logits spread as if trained, so that there are detections
to compare. "Without TF32" means full float32 on the device: by default its convolutions round their
inputs to ten bits of mantissa.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import box_iou

from benchmarks.gpu.setting import NOT_TRIED, TABLE, Row, Setting, random_detector, tried
from benchmarks.gpu.steps import FAMILIES
from compress import calibration_images
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector, padded_objects
from detectors.runtimes import Form, available, best, deploy
from searchspace.training import MultiScale
from searchspace.trial import TrialConfig

CPU = torch.device("cpu")
SYSTEM = ("ssdmnetv1_s1l4",)
IMAGES = 8
SPREAD = 2.0
"""Standard deviation of the class logits."""

SAME = 0.99
"""The least IoU at which two boxes of one class count as the same detection."""

LOSS_IMAGES = 2


@dataclass(frozen=True)
class Seen:
    """A form's output for the images: raw predictions, and detections per image in pixels."""

    boxes: Tensor
    classes: Tensor
    detections: list[dict[str, Tensor]]


def agreement(setting: Setting) -> Iterator[Row]:
    """Rows for the detections of one detector in some forms, then for the losses of each family."""
    name, config = next(iter(setting.trials(SYSTEM).items()))
    detector = random_detector(config).eval()
    images = calibration_images(setting.splits.val, IMAGES, config.detector.canvas)
    spread(detector, images)
    row: Row = {TABLE: "Detections compared with the CPU in float32", "system": name}
    reference = _seen(detector, Form("eager", "float32"), images, CPU)
    exact = Form("eager", "float32")
    forms = [form for form, reason in available(setting.device).items() if reason is None]
    chosen = [exact, best(detector, setting.device), Form("eager", "bfloat16")]

    def compare(form: Form) -> Row:
        return difference(reference, _seen(detector, form, images, setting.device))

    with _without_tf32():
        yield tried(row | {"form": f"{exact} without TF32"}, partial(compare, exact))
    for form in dict.fromkeys(chosen):
        if form in forms:
            yield tried(row | {"form": str(form)}, partial(compare, form))
    yield from _losses(setting)


def spread(detector: Detector, images: Tensor) -> None:
    """Scale the layers of the class logits, in place, to a standard deviation of `SPREAD`."""
    with torch.no_grad():
        logits = detector.predict(images).classes
        for conv in detector.head.classes:
            conv.weight.mul_(SPREAD / logits.std())


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _seen(detector: Detector, form: Form, images: Tensor, device: torch.device) -> Seen:
    deployed = deploy(detector, *form, device, calibration=images)
    batch = images.to(device)
    raw, found = deployed.network(batch), deployed.detect(batch)
    height, width = detector.config.size
    rows = [
        {name: t.cpu() for name, t in found.of_image(k, width, height).items()}
        for k in range(len(images))
    ]
    deployed.close()
    return Seen(raw.boxes.cpu(), raw.classes.cpu(), rows)


def difference(reference: Seen, other: Seen) -> Row:
    """The largest differences of raw predictions, and of matching detections."""
    pairs = [_paired(a, b) for a, b in zip(reference.detections, other.detections, strict=True)]
    boxes, scores = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return {
        "coded boxes": _largest(reference.boxes - other.boxes),
        "logits": _largest(reference.classes - other.classes),
        "detections": sum(len(image["boxes"]) for image in reference.detections),
        "the same": len(scores),
        "pixels": _largest(boxes),
        "scores": _largest(scores),
    }


def _paired(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Differences of boxes [M, 4] and scores [M] of the detections that both have."""
    if not len(ours["boxes"]) or not len(theirs["boxes"]):
        return torch.zeros(0, 4), torch.zeros(0)
    iou = box_iou(ours["boxes"], theirs["boxes"])
    iou = iou.masked_fill(ours["labels"][:, None] != theirs["labels"], 0)
    best, place = iou.max(1)
    same = best >= SAME
    place = place[same]
    return (
        ours["boxes"][same] - theirs["boxes"][place],
        ours["scores"][same] - theirs["scores"][place],
    )


def _largest(differences: Tensor) -> float | None:
    return float(differences.abs().max()) if differences.numel() else None


def _losses(setting: Setting) -> Iterator[Row]:
    for name, config in setting.trials(FAMILIES).items():
        row: Row = {TABLE: "Losses compared with the CPU in float32, without TF32", "system": name}
        if setting.left <= 0:
            yield row | NOT_TRIED
            continue
        yield tried(row, lambda c=config: _loss_difference(c, setting))


def _loss_difference(config: TrialConfig, setting: Setting) -> Row:
    """Losses of one batch and the norm of their gradient, on the CPU and on the device."""
    classes = max(config.detector.num_classes, setting.splits.train.num_classes)
    config = config.changed(
        detector=config.detector.changed(num_classes=classes),
        train=config.train.changed(batch_size=LOSS_IMAGES, multi_scale=MultiScale()),
    )
    loader = TrainingLoader(setting.splits.train, config.train, config.detector.canvas, seed=0)
    batch = next(iter(loader.epoch(0)))
    sides = [image.shape[-2:] for image in batch.images]
    objects = padded_objects(batch.targets, sides, config.detector.size)
    figures: list[dict[str, float]] = []
    for device in (CPU, setting.device):
        detector = random_detector(config).to(device).train()
        with _without_tf32():
            outputs = detector.outputs(batch.images.to(device).float() / 255)
            losses = detector.losses(outputs, objects.to(device))
            sum(losses.values()).backward()
        gradients = [p.grad for p in detector.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        figures.append({n: x.item() for n, x in losses.items()} | {"gradient": norm.item()})
    here, there = figures
    off = {n: abs(there[n] - x) / max(abs(x), 1e-12) for n, x in here.items()}
    return {
        "largest relative difference": max(off.values()),
        "of": max(off, key=off.get),
        "here": here,
        "there": there,
    }
