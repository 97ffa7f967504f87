"""The one training loop: training, fine-tuning and distillation differ in their terms only."""

from __future__ import annotations

import copy
import functools
import logging
import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from detectors.data.loader import Batch, TrainingLoader
from detectors.detector import Detector, padded_objects
from detectors.features import Outputs, resized, size_of
from detectors.files import written
from detectors.matching.objects import Objects, to_device
from detectors.quiet import Queue
from detectors.training.averaging import Average
from detectors.training.backends import autocast_type, backends
from detectors.training.losses import Losses, TrainingFailed
from detectors.training.multi_scale import InputSizes
from detectors.training.optimizer import optimizer_for
from detectors.training.parts import in_parts
from searchspace.schedules import Schedule
from searchspace.training import TrainConfig

__all__ = ["OnEpoch", "OnSnapshot", "Snapshots", "Term", "TrainingFailed", "fit", "rate_factor"]

logger = logging.getLogger(__name__)

Term = Callable[[Detector, Tensor, Outputs], dict[str, Tensor]]
"""Maps the detector, a batch [N, 3, H, W] in 0..1 and its outputs to further named losses.

A term that is a module has its parameters trained along with the detector's.
"""

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch with the number of finished epochs and the epoch's mean losses."""

OnSnapshot = Callable[[int, Detector], None]
"""Called with the number of finished epochs and a copy of the detector as it would be if training
ended now."""


class Snapshots(NamedTuple):
    """The numbers of epochs after which a training calls a function with a snapshot.

    An exception from it ends the training, which can be resumed from its checkpoint. If training
    resumes exactly at one of these epochs, the call is repeated.
    """

    after: Collection[int]
    call: OnSnapshot


def fit(
    detector: Detector,
    loader: TrainingLoader,
    config: TrainConfig,
    terms: Sequence[Term] = (),
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
    snapshots: Snapshots | None = None,
) -> Detector:
    """Train in place, on the detector's device: linear warm-up, then `config.schedule`; weight
    decay on weights only.

    With `config.ema`, the detector ends with the average of its weights. No step waits for the
    device: losses are read every 50 steps and before anything is saved or shown.

    Args:
        loader: gives the same batches for the same epoch, so that a resumed training equals one
            that was never interrupted.
        terms: losses in addition to the detection loss.
        checkpoint: file written after each epoch; if it exists, training resumes from it. An
            unreadable one is logged as a warning, and training starts over.

    Raises:
        TrainingFailed: a loss or a gradient is not finite.
        ValueError: the detector cannot be trained at a size of `config.multi_scale`.
    """
    trained = nn.ModuleList((detector, *(term for term in terms if isinstance(term, nn.Module))))
    trained.to(detector.device).to(memory_format=torch.channels_last).train()
    detector.backbone.freeze(config.frozen)
    sizes = InputSizes(detector, config.multi_scale, loader.samples.seed)
    optimizer = optimizer_for(detector, trained, config)
    total, warm = config.epochs * len(loader), config.warmup(len(loader))
    scheduler = LambdaLR(optimizer, lambda step: rate_factor(step, total, warm, config.schedule))
    run = _Run(detector, trained, sizes, optimizer, scheduler, config, terms)
    first = run.restore(checkpoint) if checkpoint and checkpoint.exists() else 0
    if snapshots and first in snapshots.after:
        snapshots.call(first, run.snapshot())
    for epoch in range(first, config.epochs):
        bar = tqdm(
            loader.epoch(epoch),
            total=len(loader),
            desc=f"epoch {epoch + 1}/{config.epochs}",
            disable=not progress,
            leave=False,
        )
        means = run.epoch(bar, epoch)
        if checkpoint:
            run.save(checkpoint, epoch + 1)
        if on_epoch:
            on_epoch(epoch + 1, means)
        if snapshots and epoch + 1 in snapshots.after:
            snapshots.call(epoch + 1, run.snapshot())
    if run.average:
        detector.load_state_dict(run.average.module.state_dict())
    return detector.eval()


def rate_factor(step: int, total: int, warm: float, schedule: Schedule) -> float:
    """Factor on the learning rate at a step: linear warm-up, then the schedule."""
    if step < warm:
        return (step + 1) / (warm + 1)
    return schedule.rate(step, total, warm)


class _Run:
    """The state of a training, and one step of it."""

    def __init__(
        self,
        detector: Detector,
        trained: nn.Module,
        sizes: InputSizes,
        optimizer: torch.optim.Optimizer,
        scheduler: LambdaLR,
        config: TrainConfig,
        terms: Sequence[Term],
    ) -> None:
        self.detector = detector
        self.trained = trained
        self.sizes = sizes
        self.parameters = [p for p in trained.parameters() if p.requires_grad]
        self.average = Average(detector, config.ema) if config.ema else None
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.device = detector.device
        self.config = config
        self.terms = terms
        self.autocast = autocast_type(config.precision, detector, self.device)

    def epoch(self, batches: Iterable[Batch], number: int) -> dict[str, float]:
        """The steps of an epoch; returns its mean losses once all are known to be finite."""
        config = self.config
        advice = f"lower learning_rate ({config.learning_rate}) or raise warmup_epochs"
        losses = Losses(number, self.scheduler.last_epoch, advice)
        with backends(config, self.device), Queue(self.device) as queue:
            for batch in batches:
                with queue.step():
                    losses.add(*self.step(batch, config.is_plain(number)))
            return losses.means()

    def step(self, batch: Batch, plain: bool) -> tuple[dict[str, Tensor], Tensor]:
        """One step of gradient descent, which waits for nothing on the device.

        Returns:
            The losses, and the norm of the gradients, each a scalar on the device.
        """
        detector = self.sizes.at(self.scheduler.last_epoch)
        images, objects = self._given(batch, detector)
        with torch.autocast(
            self.device.type, self.autocast, enabled=self.autocast != torch.float32
        ):
            outputs = in_parts(detector, images, self.config.accumulate)
            losses = detector.losses(outputs, objects, self.config.small_objects, plain)
            for term in self.terms:
                losses |= term(detector, images, outputs)
        self.optimizer.zero_grad(set_to_none=True)
        functools.reduce(operator.add, losses.values()).backward()
        most = self.config.max_gradient
        norm = nn.utils.clip_grad_norm_(self.parameters, most, foreach=True)
        self.optimizer.step()
        self.scheduler.step()
        if self.average:
            self.average.update()
        return losses, norm

    def _given(self, batch: Batch, detector: Detector) -> tuple[Tensor, Objects]:
        """Images [N, 3, H, W] in 0..1 of the detector's input size, and their objects."""
        images = to_device(batch.images, self.device).float().div_(255)
        images = resized(images, detector.config.size, antialias=True)
        sides = [size_of(image) for image in batch.images]
        by = self.config.small_objects.by
        objects = padded_objects(batch.targets, sides, size_of(images), by).to(self.device)
        return images.contiguous(memory_format=torch.channels_last), objects

    def snapshot(self) -> Detector:
        """A copy of the detector, in eval mode, that further steps do not change."""
        copied = copy.deepcopy(self.detector)
        if self.average:
            copied.load_state_dict(self.average.module.state_dict())
        return copied.eval()

    def save(self, path: Path, epochs: int) -> None:
        """Write a checkpoint that is never seen half-written."""
        state = {
            "epochs": epochs,
            "trained": self.trained.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
        }
        if self.average:
            state["average"] = self.average.state_dict()
        # Into an open file: PyTorch's own writer hides the system's error if the disk is full.
        with written(path) as file:
            torch.save(state, file)

    def restore(self, path: Path) -> int:
        """Resume from a checkpoint; returns its number of finished epochs."""
        try:
            # Each tensor is copied to its place.
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises a different one for each kind of damage
            logger.warning(f"{path} is damaged ({error}): training starts over")
            return 0
        self.trained.load_state_dict(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
        if self.average:
            self.average.load_state_dict(state["average"])
        return state["epochs"]
