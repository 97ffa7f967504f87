"""The network's part of a training step, compiled where that pays.

What is compiled is the forward pass to the raw predictions, and with it its backward pass, for the
one shape that all batches of a training have. Matching and losses stay as they are.
"""

from __future__ import annotations

import contextlib
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors import inductor
from detectors.detector import Detector
from detectors.features import Outputs, Predictions
from detectors.group import Group
from detectors.quiet import STEP
from detectors.timing.measure import hardware_name
from detectors.timing.store import SpeedStore
from searchspace.digests import digest_of
from searchspace.errors import first_line
from searchspace.training import AUTO, TrainConfig

WARM, MEASURED = 2, 5
"""Steps that are not measured, as libraries choose their algorithms in them, and those that are."""

COMPILING = 90.0
"""Seconds that compiling is expected to take where it was never measured."""

TRIED = 0.05
"""The share of a training's time that may be spent to find out whether compiling pays."""

VERSION = 1
"""Of the figures that a node keeps; raised when something else is compiled or measured."""

OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
"""Of Inductor: random numbers are those of the plain form."""

logger = logging.getLogger(__name__)

Raw = tuple[list[Tensor], Tensor, Tensor, Tensor | None]
"""`Outputs` as tensors."""


class Figures(BaseModel):
    """The seconds of a training step as it is and compiled, and of compiling it."""

    model_config = ConfigDict(frozen=True)

    plain: float
    compiled: float
    compiling: float

    def pays(self, steps: int) -> bool:
        """Whether compiling saves more time in so many steps than it takes."""
        return steps * (self.plain - self.compiled) > self.compiling

    def __str__(self) -> str:
        return (
            f"{self.plain:.3g} s as it is, {self.compiled:.3g} s compiled, and compiling "
            f"{self.compiling:.3g} s"
        )


class Choice(BaseModel):
    """Whether the steps of a training were compiled, and why.

    Attributes:
        seconds: that compiling took in this training; 0 where nothing was compiled.
        figures: those that decided, if any.
    """

    model_config = ConfigDict(frozen=True)

    compiled: bool
    reason: str
    seconds: float = 0.0
    figures: Figures | None = None

    def in_words(self) -> str:
        """Without figures, so that trials can be grouped by it."""
        return f"{'compiled' if self.compiled else 'not compiled'}, {self.reason}"

    def __str__(self) -> str:
        took = f", in {self.seconds:.3g} s" if self.seconds else ""
        figures = f" (a step takes {self.figures})" if self.figures else ""
        return f"{self.in_words()}{took}{figures}"


OFF = Choice(compiled=False, reason="as train.compile says")

Note = Callable[[Choice], None]

_note: ContextVar[Note] = ContextVar("note", default=lambda choice: None)


@contextlib.contextmanager
def noted_by(note: Note) -> Iterator[None]:
    """Within it, a training's choice is noted once it is made, unless it was not asked to make
    one."""
    before = _note.set(note)
    try:
        yield
    finally:
        _note.reset(before)


class NetworkStep:
    """The network's part of a training's steps, of which the first ones may decide its form.

    With `config.compile` "auto" it is what this node knows of the same network, batch and device
    that decides; else the first steps are measured. Compiling is tried where it is expected to take
    no more than `TRIED` of the training, and given up if steps are not faster for it.

    Args:
        precision: what its convolutions compute in.

    Attributes:
        choice: the choice, once it is made.
    """

    def __init__(self, detector: Detector, config: TrainConfig, precision: torch.dtype) -> None:
        self._detector, self._device = detector, detector.device
        self._key = _key(detector, config.batch_size, precision)
        self._auto = config.compile == AUTO
        self.choice: Choice | None = None
        self._compiled: Callable[[Tensor], Raw] | None = None
        self._taken: list[float] = []
        self._plain = self._compiling = 0.0
        if config.compile == "off":
            self.choice = OFF
        elif unable := _unable(config, self._device):
            self._choose(False, unable)

    @property
    def what(self) -> str:
        """What the next step is, as a kind of work on the device; compiling takes far longer."""
        undecided = self.choice is None and self._compiled is None
        return "taking a step that may be compiled" if undecided else STEP

    def outputs(self, images: Tensor, left: int) -> Outputs:
        """The detector's outputs for a batch.

        Args:
            left: steps of the training that are left, this one included.
        """
        if self.choice is None:
            self._consider(images, left)
        if self._compiled is None:
            return self._detector.outputs(images)
        maps, boxes, classes, objectness = self._compiled(images)
        return Outputs(maps, Predictions(boxes, classes, objectness))

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """A step, which is measured while the choice is not made."""
        if self.choice is not None:
            yield
            return
        start = self._now()
        yield
        self._taken.append(self._now() - start)

    def end(self) -> None:
        """All steps were taken."""
        if self.choice is None:
            self._choose(False, "as there were too few steps to measure")

    def _consider(self, images: Tensor, left: int) -> None:
        """Compile, or choose, as soon as what decides it is known."""
        store = SpeedStore.of_node()
        known = store.find(self._key, Figures) if self._auto and not self._taken else None
        if not self._auto:
            if self._compile(images):
                self._choose(True, "as train.compile says")
        elif known is not None:
            self._follow(known, images, left)
        elif len(self._taken) < WARM + MEASURED:
            return
        elif self._compiled is None:
            self._try(images, left)
        else:
            compiled = statistics.median(self._taken[WARM:])
            figures = Figures(plain=self._plain, compiled=compiled, compiling=self._compiling)
            self._judge(store.replace(self._key, figures))

    def _follow(self, known: Figures, images: Tensor, left: int) -> None:
        """Do what is known to be best."""
        if not known.pays(left):
            self._choose(False, "as its steps save less time than that takes", known)
        elif self._compile(images):
            figures = known.model_copy(update={"compiling": self._compiling})
            SpeedStore.of_node().replace(self._key, figures)
            self._choose(True, "as its steps save more time than that takes", figures)

    def _try(self, images: Tensor, left: int) -> None:
        """Compile if that can be tried at little cost; the next steps are then measured."""
        self._plain = statistics.median(self._taken[WARM:])
        self._taken.clear()
        if TRIED * left * self._plain < COMPILING:
            logger.info(f"{left} steps of {self._plain:.3g} s are left: compiling is not tried")
            self._choose(False, "as it takes too little time to try whether that pays")
        else:
            self._compile(images)

    def _judge(self, figures: Figures) -> None:
        faster = figures.compiled < figures.plain
        if not faster:
            self._compiled = None
        self._choose(faster, f"as that is {'faster' if faster else 'no faster'}", figures)

    def _compile(self, images: Tensor) -> bool:
        """Compile both passes for a batch, before they are needed; False, with a choice, if that
        fails. Nothing of the training changes."""
        detector = self._detector

        def raw(batch: Tensor) -> Raw:
            found = detector.outputs(batch)
            heads = found.predictions
            return found.maps, heads.boxes, heads.classes, heads.objectness

        start = self._now()
        try:
            inductor.keep_in_own_folder()
            # Dynamo compiles one function for a few networks only, and then no more.
            torch.compiler.reset()
            compiled = torch.compile(raw, fullgraph=True, dynamic=False, options=OPTIONS)
            with _unchanged(detector):
                maps, *heads = compiled(images)
                tensors = [tensor for tensor in (*maps, *heads) if tensor is not None]
                torch.stack([tensor.float().sum() for tensor in tensors]).sum().backward()
        except Exception as error:  # of Dynamo, of Inductor, or of the compiler that it calls
            logger.warning(f"torch.compile failed, steps are not compiled: {error}")
            self._choose(False, f"as torch.compile failed: {first_line(error)}")
            return False
        self._compiled, self._compiling = compiled, self._now() - start
        return True

    def _choose(self, compiled: bool, reason: str, figures: Figures | None = None) -> None:
        self.choice = Choice(
            compiled=compiled, reason=reason, seconds=self._compiling, figures=figures
        )
        _note.get()(self.choice)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@contextlib.contextmanager
def _unchanged(detector: Detector) -> Iterator[None]:
    """Its batch norms' statistics, its gradients and random numbers are as before afterwards."""
    before = [buffer.clone() for buffer in detector.buffers()]
    gpus = [detector.device] if detector.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        for buffer, value in zip(detector.buffers(), before, strict=True):
            buffer.copy_(value)
        detector.zero_grad(set_to_none=True)


def _unable(config: TrainConfig, device: torch.device) -> str | None:
    """Why steps cannot be compiled, in words; None if they can."""
    if Group.current().size > 1:
        return "as batch norms ask other workers"
    if config.parts > 1:
        return "as batches are computed in parts"
    if config.multi_scale.active:
        return "as images have several sizes"
    missing = inductor.missing(device)
    return f"as {missing}" if missing else None


def _key(detector: Detector, batch: int, precision: torch.dtype) -> dict[str, Any]:
    """All that the time of a step depends on."""
    widths = {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}
    return {
        "step": VERSION,
        "detector": detector.config.cause(),
        "widths": digest_of(widths),
        "batch": batch,
        "precision": str(precision),
        "device": hardware_name(detector.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
