"""`Exported`: a detector in the form of a target, in memory or from its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from detectors.postprocess import Detections, postprocess
from detectors.runtimes.agreement import Check
from detectors.runtimes.deployed import Form, RuntimeUnavailable
from detectors.runtimes.metadata import Metadata, class_names
from detectors.runtimes.program import Program, Target
from detectors.runtimes.targets import SUFFIXES, target_of
from detectors.thresholds import Thresholds
from searchspace.errors import InputError
from searchspace.geometry import Canvas

Finish = Callable[[Sequence[Tensor]], Detections]
"""From the outputs of a program to detections."""


class Exported:
    """A detector that was exported. Batches are expected on the CPU.

    Attributes:
        target: its format.
        metadata: what it says of itself.
    """

    device = torch.device("cpu")

    def __init__(self, target: Target, program: Program, metadata: Metadata) -> None:
        self.target = target
        self.program = program
        self.metadata = metadata
        self._finish = finishing(metadata)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The detector in a file.

        Raises:
            InputError: it is not an exported detector.
            RuntimeUnavailable: what runs it is not installed.
        """
        target = target_of(path)
        if target is None:
            raise InputError(f"{path}: give a file that ends in {', '.join(SUFFIXES.values())}")
        if not path.is_file():
            raise InputError(f"{path}: no such file; sparrow export writes one")
        if reason := target.unavailable("float32"):
            raise RuntimeUnavailable(f"{path}: {reason}")
        try:
            program, texts = target.load(path)
        except RuntimeUnavailable:
            raise
        except Exception as error:  # Each library has its own for a file that it cannot read.
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise InputError(
                f"{path}: it cannot be read as an exported detector ({what}); export it again"
            ) from None
        return cls(target, program, Metadata.of_texts(texts, path))

    @property
    def form(self) -> Form:
        """What runs it. The precision is that of the computation around int8 layers, if any."""
        return Form(self.target.runtime, "float32")

    @property
    def canvas(self) -> Canvas:
        """How images are placed on its input."""
        return self.metadata.canvas

    @property
    def num_classes(self) -> int:
        return len(self.metadata.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, label 1 first; empty where they have none."""
        names = self.metadata.classes
        return () if names == class_names((), self.num_classes) else names

    @property
    def thresholds(self) -> Thresholds | None:
        """The least scores in the file, if any."""
        return self.metadata.thresholds

    @torch.inference_mode()
    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1: network, decoding, NMS.

        If the file takes another number of images, they are passed in parts, the last one padded.
        """
        size = self.metadata.batch or len(batch)
        return Detections.joined([self._detect(part, size) for part in batch.split(size)])

    def _detect(self, batch: Tensor, size: int) -> Detections:
        count = len(batch)
        full = torch.cat((batch, batch[:1].expand(size - count, -1, -1, -1)))
        return self._finish([output[:count] for output in self.program.run(full)])

    def save(self, path: Path, checks: Sequence[Check] = ()) -> Path:
        """Write it; returns the file.

        Args:
            path: the file; the target's suffix is appended to a name without it.
            checks: how it was compared with the detector, for its metadata.
        """
        path = Path(path)
        if path.suffix != self.target.suffix:
            path = path.with_name(path.name + self.target.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.program.save(path, self.metadata.model_copy(update={"checks": tuple(checks)}).texts())
        return path


def finishing(metadata: Metadata) -> Finish:
    """What turns the outputs of a program into detections: its own, or NMS of its candidates."""
    rules = metadata.postprocess
    if not metadata.raw:
        return lambda outputs: Detections(*outputs)
    if rules is None:
        raise InputError("the file has no NMS and does not say how to do it; export it again")
    return lambda outputs: postprocess(outputs[0], outputs[1], rules, metadata.levels)
