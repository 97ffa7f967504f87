"""One training of many designs that share their tensors, by the sandwich rule.

A step that is a *sandwich* trains the largest design of a family, the smallest and a random one on
one batch, and pulls the others towards the largest (Yu & Huang, ICCV 2019). The largest design
costs several times the mean, so only every few steps are sandwiches; the others train one random
design.
"""

from __future__ import annotations

import functools
import operator
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectors.data.loader import Batch, TrainingLoader
from detectors.describe import describe
from detectors.detector import Detector
from detectors.features import Outputs, resized
from detectors.files import written
from detectors.quiet import Queue
from detectors.training.backends import autocast_type, backends
from detectors.training.losses import Losses
from detectors.training.optimizer import optimizer_of
from detectors.training.run import images_of, objects_of, rate_factor, read_checkpoint
from detectors.training.shared_tensors import Design, SharedWeights, family
from searchspace.training import TrainConfig

SANDWICH_EVERY = 16
"""Steps of which one is a sandwich: seldom, as in equal time many steps of one random design rank
designs better (`docs/search.md`)."""

RANDOM = 1
"""Random designs of a sandwich."""

WARMUP_SHARE = 0.1
"""The largest share of the warm-up in the training."""

SAVED_EVERY = 200
"""Steps after which a checkpoint is written."""

Lesson = Callable[[Detector, Outputs, Detector, Outputs], dict[str, Tensor]]
"""Maps a design and its outputs, and the largest and its, to further named losses of the first."""


@dataclass(frozen=True)
class Course:
    """How long a training takes: it ends with the first limit.

    Attributes:
        steps: of gradient descent.
        seconds: of wall time, over all attempts; None for no limit. With a limit, the same seed
            need not give the same weights.
    """

    steps: int
    seconds: float | None = None

    def spent(self, steps: int, seconds: float) -> float:
        """The spent share, at most 1."""
        of_time = 0.0 if self.seconds is None else seconds / max(self.seconds, 1e-9)
        return min(1.0, max(steps / self.steps, of_time))


class SharedRun:
    """The training of shared weights; see `train_shared`.

    Attributes:
        steps, seconds: so far, over all attempts.
    """

    def __init__(
        self,
        shared: SharedWeights,
        designs: Sequence[Design],
        loader: TrainingLoader,
        config: TrainConfig,
        course: Course,
        lesson: Lesson,
        seed: int = 0,
    ) -> None:
        self.steps, self.seconds = 0, 0.0
        self._shared, self._loader, self._config = shared, loader, config
        self._course, self._lesson, self._seed = course, lesson, seed
        self._families = _by_family(designs)
        self._parameters = list(shared.tensors.values())
        factors: dict[Tensor, float] = {
            tensor: config.rates.backbone
            for key, tensor in shared.tensors.items()
            if key.startswith("backbone.")
        }
        self._optimizer = optimizer_of(self._parameters, factors, config)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._device = self._parameters[0].device
        first = designs[0].detector
        self._autocast = autocast_type(config.precision, first, self._device)

    @property
    def is_over(self) -> bool:
        return self._course.spent(self.steps, self.seconds) >= 1

    def run(self, checkpoint: Path | None) -> None:
        """Train to the end of the course; a checkpoint is written on the way."""
        begun, before, queue = time.monotonic(), self.seconds, Queue(self._device)
        with backends(self._config, self._device), queue:
            while not self.is_over:
                epoch = self.steps // len(self._loader)
                advice = f"lower learning_rate ({self._config.learning_rate})"
                losses = Losses(epoch, self.steps, advice)
                for batch in self._rest_of(epoch):
                    self._set_rate()
                    with queue.step():
                        losses.add(*self._step(batch))
                    self.steps += 1
                    self.seconds = before + time.monotonic() - begun
                    if self.is_over:
                        break
                    if self.steps % SAVED_EVERY == 0:
                        self._save(checkpoint, losses)
                self._save(checkpoint, losses)

    def restore(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, if it can be read."""
        state = read_checkpoint(checkpoint)
        if state is None:
            return
        with torch.no_grad():
            for key, tensor in self._shared.tensors.items():
                tensor.copy_(state["tensors"][key])
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps, self.seconds = state["steps"], state["seconds"]

    def drawn(self, step: int) -> tuple[list[Design], bool]:
        """The designs that a step trains, and whether it is a sandwich, the largest one first."""
        chance = random.Random(f"{self._seed}/{step}")
        members = chance.choices(self._families, [len(f) for f in self._families])[0]
        if step % SANDWICH_EVERY or len(members) == 1:
            return [chance.choice(members)], False
        between = members[1:-1]
        some = chance.sample(between, min(RANDOM, len(between)))
        return [members[0], members[-1], *some], True

    def _rest_of(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch that were not trained with yet."""
        done = self.steps - epoch * len(self._loader)
        return self._loader.epoch(epoch, done)

    def _set_rate(self) -> None:
        total, config = self._course.steps, self._config
        warm = min(config.warmup(len(self._loader)), WARMUP_SHARE * total)
        # By the time where that runs out first, so that the rate falls to its end all the same.
        step = int(self._course.spent(self.steps, self.seconds) * total)
        factor = rate_factor(step, total, warm, config.schedule)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate

    def _step(self, batch: Batch) -> tuple[Mapping[str, Tensor], Tensor]:
        """One step; returns the mean losses of its designs, and the norm of the gradients."""
        designs, is_sandwich = self.drawn(self.steps)
        images = images_of(batch, self._device)
        self._optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        largest: tuple[Detector, Outputs] | None = None
        for design in designs:
            outputs, losses = self._losses(design, batch, images, largest)
            if is_sandwich and largest is None:
                largest = design.detector, outputs
            shares = {name: loss / len(designs) for name, loss in losses.items()}
            functools.reduce(operator.add, shares.values()).backward()
            for name, loss in shares.items():
                means[name] = means.get(name, 0) + loss.detach()
        trained = [p for p in self._parameters if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trained, self._config.max_gradient, foreach=True)
        self._optimizer.step()
        return means, norm

    def _losses(
        self,
        design: Design,
        batch: Batch,
        images: Tensor,
        largest: tuple[Detector, Outputs] | None,
    ) -> tuple[Outputs, dict[str, Tensor]]:
        """The outputs and losses of a design, those of the lesson included."""
        size, config = design.config.size, self._config
        given = resized(images, size, antialias=True).contiguous(memory_format=torch.channels_last)
        objects = objects_of(batch, size, config).to(self._device)
        narrower = self._autocast != torch.float32
        with torch.autocast(self._device.type, self._autocast, enabled=narrower):
            outputs = design.outputs(given)
            losses = design.detector.losses(outputs, objects, config.small_objects)
            if largest is not None:
                losses |= self._lesson(design.detector, outputs, *largest)
        return outputs, losses

    def _save(self, checkpoint: Path | None, losses: Losses) -> None:
        """Write a checkpoint once all losses are known to be finite."""
        losses.read()
        if checkpoint is None:
            return
        state: dict[str, Any] = {
            "tensors": {key: t.detach() for key, t in self._shared.tensors.items()},
            "optimizer": self._optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        with written(checkpoint, make_folder=False) as file:
            torch.save(state, file)


def train_shared(run: SharedRun, checkpoint: Path | None = None) -> SharedRun:
    """Train shared weights in place, on their device, from a checkpoint if there is one.

    Batches are prepared for the loader's input, and resized for designs with another one. Steps
    are drawn by the seed and their number alone, so a training that was interrupted, and has no
    limit of time, equals one that was not. Every tensor is trained, whatever the recipe freezes.

    Raises:
        TrainingFailed: a loss or a gradient is not finite.
    """
    if checkpoint:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint and checkpoint.exists():
        run.restore(checkpoint)
    run.run(checkpoint)
    return run


def _by_family(designs: Sequence[Design]) -> list[list[Design]]:
    """The designs of each family, the most expensive first."""
    families: dict[str, list[Design]] = {}
    for design in sorted(designs, key=lambda d: -describe(d.config).macs):
        families.setdefault(family(design.config), []).append(design)
    return list(families.values())
