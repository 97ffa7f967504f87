"""The one training loop: training, fine-tuning and distillation differ in their terms only."""

from __future__ import annotations

import copy
import functools
import logging
import math
import operator
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from detectors.blocks import is_depthwise
from detectors.data.loader import Batch, TrainingLoader
from detectors.detector import Detector, padded_objects
from detectors.features import Outputs, resized, size_of
from detectors.files import written
from detectors.quiet import computing
from detectors.training.averaging import average
from detectors.training.multi_scale import InputSizes
from searchspace.errors import SparrowError
from searchspace.schedules import Schedule
from searchspace.training import TrainConfig

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


class TrainingFailed(SparrowError, RuntimeError):
    """Training cannot continue; the message says where and what to change."""


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

    With `config.ema`, the detector ends with the average of its weights.

    Args:
        loader: gives the same batches for the same epoch, so that a resumed training equals one
            that was never interrupted.
        terms: losses in addition to the detection loss.
        checkpoint: file written after each epoch; if it exists, training resumes from it. An
            unreadable one is logged as a warning, and training starts over.

    Raises:
        TrainingFailed: a loss is not finite.
        ValueError: the detector cannot be trained at a size of `config.multi_scale`.
    """
    trained = nn.ModuleList((detector, *(term for term in terms if isinstance(term, nn.Module))))
    trained.to(detector.device).to(memory_format=torch.channels_last).train()
    detector.backbone.freeze(config.frozen)
    sizes = InputSizes(detector, config.multi_scale, loader.samples.seed)
    optimizer = _optimizer(detector, trained, config)
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
        losses = [run.step(batch, epoch) for batch in bar]
        if checkpoint:
            run.save(checkpoint, epoch + 1)
        if on_epoch:
            means = {name: sum(x[name] for x in losses) / len(losses) for name in losses[0]}
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
        self.average = average(detector, config.ema) if config.ema else None
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.device = detector.device
        self.config = config
        self.terms = terms
        self.autocast = autocast_type(config.precision, detector, self.device)

    def step(self, batch: Batch, epoch: int) -> dict[str, float]:
        """One step of gradient descent; returns the losses."""
        detector = self.sizes.at(self.scheduler.last_epoch)
        with computing(self.device):
            images = batch.images.to(self.device, non_blocking=True).float().div_(255)
            images = resized(images, detector.config.size, antialias=True)
            images = images.contiguous(memory_format=torch.channels_last)
            sides = [size_of(image) for image in batch.images]
            config, small = self.config, self.config.small_objects
            objects = padded_objects(batch.targets, sides, size_of(images), small.by)
            objects = objects.to(self.device)
            with torch.autocast(
                self.device.type, self.autocast, enabled=self.autocast != torch.float32
            ):
                outputs = detector.outputs(images)
                losses = detector.losses(outputs, objects, small, config.is_plain(epoch))
                for term in self.terms:
                    losses |= term(detector, images, outputs)
            loss = functools.reduce(operator.add, losses.values())
            values = {name: value.item() for name, value in losses.items()}
            if not math.isfinite(loss.item()):
                raise TrainingFailed(
                    f"the loss is not finite in epoch {epoch + 1} ({values}): lower "
                    f"learning_rate ({self.config.learning_rate}) or raise warmup_epochs"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.max_gradient)
            self.optimizer.step()
            self.scheduler.step()
            if self.average:
                self.average.update_parameters(self.detector)
        return values

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
            # Each tensor is copied to its place; AdamW's step counts stay on the CPU, because
            # reading them from a GPU would stall it.
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


def _optimizer(
    detector: Detector, trained: nn.Module, config: TrainConfig
) -> torch.optim.Optimizer:
    groups = _parameter_groups(detector, trained, config)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    return torch.optim.SGD(
        groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.nesterov
    )


def _parameter_groups(
    detector: Detector, trained: nn.Module, config: TrainConfig
) -> list[dict[str, Any]]:
    """The parameters by factor on their rate, matrices before vectors."""
    factors: dict[Tensor, float] = {}
    for name, parameter in detector.named_parameters():
        of_part = config.rates.backbone if name.startswith("backbone.") else 1.0
        factors[parameter] = of_part * (config.rates.new if name in detector.new_parts else 1.0)
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for parameter in trained.parameters():
        if parameter.requires_grad:
            key = factors.get(parameter, 1.0), parameter.ndim <= 1
            groups.setdefault(key, []).append(parameter)
    # Scales and biases are not decayed: only slimming's penalty may act on scales.
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * factor,
            "weight_decay": 0.0 if vectors else config.weight_decay,
        }
        for (factor, vectors), parameters in sorted(groups.items(), key=operator.itemgetter(0))
    ]


def autocast_type(precision: str, detector: Detector, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in.

    `auto` is bfloat16 on GPUs that have it, and on CPUs with AMX for dense convolutions: small
    depthwise ones are faster in float32 there.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        # Older GPUs emulate bfloat16, which takes longer than float32.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    depthwise = any(is_depthwise(layer) for layer in detector.backbone.modules())
    amx = torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if amx and not depthwise else torch.float32
