"""What a detector can be exported to: the contract of targets and of the programs they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.contract import Figure
from detectors.runtimes.onnx_graph import CANDIDATES, DETECTIONS
from searchspace.geometry import Size
from searchspace.runtimes import Precision


@dataclass(frozen=True)
class Wanted:
    """What an exported file is to be.

    Attributes:
        precision: what its layers are computed in.
        raw: leave NMS to the program that runs it: its outputs are `CANDIDATES`.
        batch: the only number of images that it takes; None for any.
        image_size: height and width of images that it cuts into tiles itself, one at a time; None
            for the inputs of the network.
    """

    precision: Precision = "float32"
    raw: bool = False
    batch: int | None = None
    image_size: Size | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        return CANDIDATES if self.raw else DETECTIONS


@dataclass(frozen=True, eq=False)
class Calibration:
    """How a detector is quantised.

    Attributes:
        images: float [M, 3, H, W] in 0..1, that the ranges of values are taken from.
        figure: what may be lower by no more than `max_drop`; None for int8 everywhere.
        max_drop: see `figure`.
    """

    images: Tensor
    figure: Figure | None = None
    max_drop: float = 0.0


class Program(ABC):
    """A detector in the form of a target, ready to run and to be written."""

    @abstractmethod
    def run(self, batch: Tensor) -> list[Tensor]:
        """The outputs for images [N, 3, H, W] in 0..1, on the CPU."""

    @abstractmethod
    def save(self, path: Path, texts: Mapping[str, str]) -> None:
        """Write it, with the texts of its metadata."""

    def in_float(self) -> tuple[str, ...]:
        """Names of the layers that are in float although the program is in int8."""
        return ()


class Target(ABC):
    """A format of files.

    Attributes:
        name: on the command line.
        suffix: of its files.
        precisions: what layers may be computed in. OpenVINO only stores weights as float16.
        packages: the installed packages that write and run it.
        runtime: what runs it, as in `Form`.
        has_nms: whether NMS can be in the file.
        any_batch: whether a file can take any number of images.
        can_cut: whether tiles can be in the file.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    packages: ClassVar[tuple[str, ...]]
    runtime: ClassVar[str]
    has_nms: ClassVar[bool] = True
    any_batch: ClassVar[bool] = True
    can_cut: ClassVar[bool] = False

    @abstractmethod
    def unavailable(self, precision: Precision) -> str | None:
        """Why it cannot be written and run here, as a clause; None if it can."""

    @abstractmethod
    def program(self, detector: Detector, wanted: Wanted, how: Calibration | None) -> Program:
        """A detector in this format.

        Args:
            how: how it is quantised; given for int8.

        Raises:
            RuntimeUnavailable: the library refuses the detector.
        """

    @abstractmethod
    def load(self, path: Path) -> tuple[Program, dict[str, str]]:
        """The program in a file, and the texts of its metadata.

        Raises:
            Exception: the library's own, where it cannot read the file.
        """
