"""Our training, as a trial has it, on batches from files or on one batch that is held."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal
from unittest import mock

import torch

from detectors.data.bound import training_form
from detectors.data.dataset import Dataset
from detectors.data.loader import Batch, TrainingLoader, workers_for
from detectors.data.node_cache import NodeCache
from detectors.describe import describe
from detectors.detector import Detector
from detectors.training.run import Run
from searchspace.training import MultiScale
from searchspace.trial import TrialConfig

PARTS = ("data", "copy and resize", "forward", "matching and loss", "backward", "optimiser")
"""What a step consists of; `optimiser` is everything after the backward pass, clipping included."""

FACTOR = 6
"""Floating-point operations of a training step per multiply-accumulate of the forward pass: two,
and the backward pass takes twice as many as the forward pass."""


def finished(device: torch.device) -> float:
    """The time when a device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Ours:
    """A training of a paper's system with its recipe, at one input size.

    Args:
        precision: as in `TrainConfig`.
        steps: if given, the turns repeat one batch, which lies on the device, so often.
        compile: as in `TrainConfig`.
    """

    def __init__(
        self,
        config: TrialConfig,
        split: Dataset,
        batch: int,
        precision: str,
        device: torch.device,
        steps: int | None = None,
        compile: Literal["off", "on"] = "off",
    ) -> None:
        detector = config.detector.changed(num_classes=split.num_classes)
        recipe = config.train.changed(
            batch_size=batch, precision=precision, multi_scale=MultiScale(), compile=compile
        )
        pixels = NodeCache().pixels(split, training_form(split.images, recipe, detector.canvas))
        loader = TrainingLoader(
            split, recipe, detector.canvas, 0, workers_for(device), pixels, device
        )
        self.loader = loader if steps is None else Held(next(iter(loader.epoch(0))), steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = Detector(detector)
        self.device, self.batch, self.turns = device, batch, 0
        self.flop = FACTOR * describe(detector).macs
        self.run = Run(network.to(device), self.loader, recipe)

    def turn(self) -> int:
        """An epoch; returns its number of images."""
        self.run.epoch(self.loader.epoch(self.turns), self.turns)
        # Every second epoch: the next one is prepared ahead, while others have their turns.
        self.turns += 2
        return len(self.loader) * self.batch

    def parts(self) -> dict[str, float]:
        """The seconds of an epoch by part; the device finishes each part before the next begins."""
        watch = _Watch(self.device)
        with watch.watching(self.run):
            self.turn()
        return watch.seconds


class Held:
    """A loader that repeats one batch."""

    def __init__(self, batch: Batch, steps: int) -> None:
        self.batch, self.steps = batch, steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int, skipped: int = 0) -> Iterator[Batch]:
        yield from [self.batch] * (self.steps - skipped)


class _Watch:
    """Sums the seconds between the parts of steps."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._last = finished(device)

    def mark(self, part: str) -> None:
        """Count the time since the last mark to a part."""
        now = finished(self.device)
        self.seconds[part] += now - self._last
        self._last = now

    @contextlib.contextmanager
    def watching(self, run: Run) -> Iterator[None]:
        """Mark the parts of the steps of a run."""
        with contextlib.ExitStack() as patches:

            def patched(target: Any, name: str, before: str | None, after: str) -> None:
                call = self._marked(getattr(target, name), before, after)
                patches.enter_context(mock.patch.object(target, name, call))

            patched(run, "step", "data", "optimiser")
            patched(run, "_given", None, "copy and resize")
            patched(run.network, "outputs", None, "forward")
            patched(run.detector, "losses", None, "matching and loss")
            patched(torch.Tensor, "backward", None, "backward")
            self._last = finished(self.device)
            yield

    def _marked(self, call: Callable, before: str | None, after: str) -> Callable:
        def marked(*given: Any, **options: Any) -> Any:
            if before:
                self.mark(before)
            result = call(*given, **options)
            self.mark(after)
            return result

        return marked
