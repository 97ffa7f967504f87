"""The state of a training, and its steps."""

from __future__ import annotations

import copy
import functools
import io
import logging
import operator
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from detectors.data.loader import Batch, TrainingLoader
from detectors.detector import Detector, padded_objects
from detectors.features import Outputs, size_of
from detectors.files import written
from detectors.group import ALONE, Share
from detectors.matching.objects import Objects, to_device
from detectors.quiet import Queue
from detectors.training.averaging import Average
from detectors.training.backends import autocast_type, backends
from detectors.training.compiling import NetworkStep
from detectors.training.layout import layout
from detectors.training.losses import Losses
from detectors.training.multi_scale import InputSizes
from detectors.training.optimizer import optimizer_for
from detectors.training.parts import in_parts
from detectors.training.together import together
from searchspace.geometry import Size
from searchspace.schedules import Schedule
from searchspace.training import TrainConfig

KEPT_EVERY = 60.0
"""Seconds between two checkpoints within an epoch, at least."""

KEPT_SHARE = 0.02
"""The share of the time that writing them may take; where it takes long, there are fewer."""

logger = logging.getLogger(__name__)

Term = Callable[[Detector, Tensor, Outputs], dict[str, Tensor]]
"""Maps the detector, a batch [N, 3, H, W] in 0..1 and its outputs to further named losses.

A term that is a module has its parameters trained along with the detector's.
"""


def rate_factor(step: int, total: int, warm: float, schedule: Schedule) -> float:
    """Factor on the learning rate at a step: linear warm-up, then the schedule."""
    if step < warm:
        return (step + 1) / (warm + 1)
    return schedule.rate(step, total, warm)


def images_of(batch: Batch, device: torch.device) -> Tensor:
    """The images of a batch, [N, 3, H, W] in 0..1."""
    return to_device(batch.images, device).float().div_(255)


def objects_of(batch: Batch, size: Size, config: TrainConfig) -> Objects:
    """The objects of a batch whose images are resized to (height, width)."""
    sides = [size_of(batch.images)] * len(batch.images)
    return padded_objects(batch.targets, sides, size, config.small_objects.by)


class Run:
    """The state of a training, and one step of it.

    Args:
        share: this worker's share of every batch, which the loader gives.
    """

    def __init__(
        self,
        detector: Detector,
        loader: TrainingLoader,
        config: TrainConfig,
        terms: Sequence[Term] = (),
        share: Share = ALONE,
    ) -> None:
        modules = (term for term in terms if isinstance(term, nn.Module))
        trained = nn.ModuleList((detector, *modules))
        self.layout = layout(detector.config, detector.device)
        trained.to(detector.device).to(memory_format=self.layout).train()
        detector.backbone.freeze(config.frozen)
        self.detector, self.trained = detector, trained
        self.sizes = InputSizes(detector, config.multi_scale)
        self.parameters = [p for p in trained.parameters() if p.requires_grad]
        self.average = Average(detector, config.ema) if config.ema else None
        self.optimizer = optimizer_for(detector, trained, config)
        total, warm = config.epochs * len(loader), config.warmup(len(loader))
        self.scheduler = LambdaLR(
            self.optimizer, lambda step: rate_factor(step, total, warm, config.schedule)
        )
        self.device = detector.device
        self.config = config
        self.terms = terms
        self.share = share
        # Each worker computes as many parts as the others, as batch norms see those of all.
        alone = share.group.size == 1
        self.parts = config.parts if alone else min(config.parts, share.least // 2)
        self.autocast = autocast_type(config.precision, detector, self.device)
        self.network = NetworkStep(detector, config, self.autocast)
        self._steps, self._total = len(loader), total
        self._begun: list[dict[str, float]] = []
        self._due = time.monotonic() + KEPT_EVERY

    @property
    def begun(self) -> int:
        """Steps of the epoch that has begun but not ended."""
        return len(self._begun)

    def epoch(
        self, batches: Iterable[Batch], number: int, checkpoint: Path | None = None
    ) -> dict[str, float] | None:
        """The steps of an epoch, or the rest of it; once all are known to be finite, returns its
        mean losses, or None if the batches ended before it.

        Args:
            checkpoint: a file that is written on the way, see `KEPT_EVERY`.
        """
        config = self.config
        advice = f"lower learning_rate ({config.learning_rate}) or raise warmup_epochs"
        losses = Losses(number, number * self._steps, advice, self._begun)
        queue = Queue(self.device, waits=self.share.takes_turns(self.device))
        with backends(config, self.device), together(self.share), queue:
            for batch in batches:
                with queue.step(self.network.what), self.network.timed():
                    losses.add(*self.step(batch, config.is_plain(number)))
                if checkpoint and time.monotonic() >= self._due:
                    self._begun = losses.known
                    self.save(checkpoint, number)
            self._begun = losses.known
        if self.begun < self._steps:
            return None
        self._begun = []
        return losses.means()

    def step(self, batch: Batch, plain: bool) -> tuple[Mapping[str, Tensor], Tensor]:
        """One step of gradient descent, which waits for nothing on the device.

        Returns:
            The losses, and the norm of the gradients, each a scalar on the device.
        """
        detector = self.sizes.of(batch.images)
        images, objects = self._given(batch)
        with torch.autocast(
            self.device.type, self.autocast, enabled=self.autocast != torch.float32
        ):
            outputs = self._outputs(detector, images)
            losses = detector.losses(outputs, objects, self.config.small_objects, plain)
            for term in self.terms:
                losses |= term(detector, images, outputs)
        self.optimizer.zero_grad(set_to_none=True)
        own = self.share.weighted(losses)
        functools.reduce(operator.add, own.values()).backward()
        whole = self.share.summed(own, self.parameters)
        most = self.config.max_gradient
        norm = nn.utils.clip_grad_norm_(self.parameters, most, foreach=True)
        self.optimizer.step()
        self.scheduler.step()
        if self.average:
            self.average.update()
        return whole, norm

    def _outputs(self, detector: Detector, images: Tensor) -> Outputs:
        if self.parts > 1 or detector is not self.detector:
            return in_parts(detector, images, self.parts)
        return self.network.outputs(images, self._total - self.scheduler.last_epoch)

    def _given(self, batch: Batch) -> tuple[Tensor, Objects]:
        """Images [N, 3, H, W] in 0..1, and their objects."""
        images = images_of(batch, self.device)
        objects = objects_of(batch, size_of(images), self.config).to(self.device)
        return images.contiguous(memory_format=self.layout), objects

    def snapshot(self) -> Detector:
        """A copy of the detector, in eval mode, that further steps do not change."""
        copied = copy.deepcopy(self.detector)
        if self.average:
            copied.load_state_dict(self.average.module.state_dict())
        return copied.eval()

    def save(self, path: Path, epochs: int) -> None:
        """Write a checkpoint that is never seen half-written, into a folder that is there.

        Args:
            epochs: finished ones; the steps of the one that has begun are kept, too.
        """
        began = time.monotonic()
        # Into an open file: PyTorch's own writer hides the system's error if the disk is full.
        with written(path, make_folder=False) as file:
            torch.save(self._state(epochs), file)
        ended = time.monotonic()
        self._due = ended + max(KEPT_EVERY, (ended - began) / KEPT_SHARE)

    def _state(self, epochs: int) -> dict[str, Any]:
        """All that the next steps depend on."""
        state = {
            "epochs": epochs,
            "trained": self.trained.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {"last_epoch": self.scheduler.last_epoch},
            "begun": self._begun,
        }
        return state | {"average": self.average.state_dict()} if self.average else state

    def restore(self, path: Path) -> int:
        """Resume from a checkpoint; returns its number of finished epochs."""
        state = read_checkpoint(path)
        return 0 if state is None else self._resume(state)

    def agree(self, epochs: int) -> int:
        """Take over the state of the first worker; returns its number of finished epochs.

        Args:
            epochs: this worker's, of which only the first one's counts.
        """
        group = self.share.group
        if group.size == 1:
            return epochs
        buffer = io.BytesIO()
        if group.leads:
            torch.save(self._state(epochs), buffer)
        state = io.BytesIO(group.from_first(buffer.getvalue()))
        if group.leads:
            return epochs
        return self._resume(torch.load(state, map_location="cpu", weights_only=True))

    def _resume(self, state: dict[str, Any]) -> int:
        self.trained.load_state_dict(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.last_epoch = state["scheduler"]["last_epoch"]
        if self.average:
            self.average.load_state_dict(state["average"])
        self._begun = state.get("begun", [])  # earlier versions kept whole epochs only
        return state["epochs"]


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint, on the CPU; None, after a warning, if it is damaged."""
    try:
        _check_sums(path)
        # Each tensor is copied to its place later.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a different one for each kind of damage
        logger.warning(f"{path} is damaged ({error}): training starts over")
        return None


def _check_sums(path: Path) -> None:
    """Raise an error for a checkpoint that has changed: PyTorch checks no sums in its files."""
    with zipfile.ZipFile(path) as file:
        if changed := file.testzip():
            raise ValueError(f"{changed} in it has changed")
