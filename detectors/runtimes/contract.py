"""What a runtime is: the contract, the base of those that run an exported graph, the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch
from torch import Tensor

from detectors.detector import Detector, write_facts
from detectors.runtimes.deployed import Form, Network, calibration_images
from detectors.runtimes.onnx_graph import DETECTIONS, predictions_of
from searchspace.errors import InputError
from searchspace.geometry import Size
from searchspace.names import Names, check_implemented
from searchspace.runtimes import RUNTIMES as PRECISIONS
from searchspace.runtimes import Precision

R = TypeVar("R", bound="type[Runtime]")


class Runtime(ABC):
    """What runs a detector's network; post-processing is the same for all.

    A runtime is a class with these three attributes and two methods, registered by
    `@register_runtime`. It can then be named by `measure.runtime`, `sparrow fps --runtime` and in
    spaces; `auto` never takes one of a user's module. One that runs int8 is an `ExportedRuntime`.

    Attributes:
        name: what configurations call it.
        precisions: the numbers that it can compute convolutions in, on some device.
        packages: names of the installed distributions whose versions decide how fast it is. They
            are part of the key under which speeds are kept.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def unavailable(self, precision: Precision, device: torch.device) -> str | None:
        """Why it cannot run here in one of its precisions, as a clause; None where it can.

        Imports nothing that may be missing: see `detectors.runtimes.libraries.missing`.
        """

    @abstractmethod
    def build(
        self,
        detector: Detector,
        precision: Precision,
        device: torch.device,
        calibration: Tensor | None,
    ) -> Network:
        """A function from images [N, 3, H, W], float32 in 0..1 on `device`, to raw predictions.

        It takes any size of batch, gives float32 tensors on `device`, and leaves the detector as it
        is. On a CPU it computes with `torch.get_num_threads()` threads, as they are now.

        Args:
            calibration: float images [M, 3, H, W] in 0..1; given for int8.

        Raises:
            RuntimeUnavailable: the runtime refuses the detector.
        """


Run = Callable[[Tensor], list[Tensor]]
"""From images [N, 3, H, W] to the outputs of a graph."""


class Figure(Protocol):
    """A figure of what runs a graph, of which higher is better.

    Attributes:
        count: number of images that it is measured on.
    """

    @property
    def count(self) -> int: ...

    def __call__(self, run: Run, places: Sequence[int]) -> float:
        """The figure on the images of these places alone, each in 0..count - 1."""
        ...


class ExportedGraph(ABC):
    """A detector as the model of a runtime, with detections or candidates, and raw predictions.

    Attributes:
        suffix: of the file that `save` writes.
        model: the runtime's own object.
    """

    suffix: ClassVar[str]

    def __init__(self, model: Any) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def of(
        cls,
        detector: Detector,
        outputs: Sequence[str] = DETECTIONS,
        image_size: Size | None = None,
    ) -> Self:
        """A detector's graph with these outputs, `DETECTIONS` or `CANDIDATES`.

        Args:
            image_size: height and width of images that the graph itself cuts into tiles.

        Raises:
            RuntimeUnavailable: the runtime refuses the detector.
        """

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""

    @abstractmethod
    def save(
        self, path: Path, half: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the model as it is, which other programs run, too.

        Args:
            half: store weights as float16, where the runtime can.
            metadata: texts that are kept in the file.
        """

    @property
    @abstractmethod
    def metadata(self) -> dict[str, str]:
        """The texts in the file that it was loaded from; empty where there are none."""

    @abstractmethod
    def quantised(self, images: Tensor) -> Self:
        """The same in int8, its ranges of values taken from images [M, 3, H, W] in 0..1.

        The network alone is quantised; box decoding and NMS stay as they are.
        """

    @abstractmethod
    def controlled(self, images: Tensor, figure: Figure, max_drop: float) -> Self:
        """The same in int8, with as many layers left in float as it takes (NNCF).

        Args:
            images: [M, 3, H, W] in 0..1, that the ranges of values are taken from.
            figure: what decides.
            max_drop: how much lower than in float the figure may be.
        """

    @abstractmethod
    def in_float(self) -> tuple[str, ...]:
        """Names of the network's layers with weights that are not in int8."""

    @abstractmethod
    def only(self, outputs: Sequence[str], batch: int | None = None) -> Self:
        """The part from images to the outputs of these names.

        Args:
            batch: the only number of images that it takes from then on; by default as before.
        """

    @abstractmethod
    def runner(self, precision: Precision, names: Sequence[str]) -> Run:
        """The part from images to the outputs of these names, ready to run on the CPU.

        Raises:
            RuntimeUnavailable: the runtime cannot run it.
        """

    @abstractmethod
    def outputs(self) -> list[str]:
        """The names of the model's outputs, in their order."""

    @abstractmethod
    def raw(self) -> list[str]:
        """The names of its raw predictions."""

    def network(self, precision: Precision) -> Network:
        """The part from images to raw predictions, ready to run on the CPU."""
        names = self.raw()
        run = self.runner(precision, names)
        return lambda batch: predictions_of(dict(zip(names, run(batch), strict=True)))


class ExportedRuntime(Runtime):
    """A runtime of the CPU that runs a graph which a detector is exported to, int8 among its forms.

    Attributes:
        graph: the class of its graphs.
    """

    graph: ClassVar[type[ExportedGraph]]

    def build(
        self,
        detector: Detector,
        precision: Precision,
        device: torch.device,
        calibration: Tensor | None,
    ) -> Network:
        graph = self.graph.of(detector)
        if precision == "int8":
            graph = graph.quantised(calibration_images(calibration))
        return graph.network(precision)

    def quantise(self, detector: Detector, images: Tensor, folder: Path) -> Path:
        """Write a detector in int8 into a folder, which `load` reads; returns the model's file.

        Args:
            images: float [M, 3, H, W] in 0..1 that the ranges of values are taken from.
        """
        path = self._file(folder)
        write_facts(detector, folder, Form(self.name, "int8"))
        self.graph.of(detector).quantised(images).only(DETECTIONS).save(path)
        return path

    def load(self, folder: Path, precision: Precision) -> Network:
        """The network of a detector that was saved in a folder."""
        return self.graph_in(folder).network(precision)

    def graph_in(self, folder: Path) -> ExportedGraph:
        """The model that `quantise` left in a folder."""
        return self.graph.load(self._file(folder))

    def _file(self, folder: Path) -> Path:
        return Path(folder) / f"detector{self.graph.suffix}"


RUNTIMES: Names[Runtime] = Names("runtime")
"""Every runtime by its name."""


def exported_runtime(name: str) -> ExportedRuntime:
    """A runtime that runs files of its own, by its name; raises `InputError` for any other."""
    runtime = RUNTIMES[RUNTIMES.check(name)]
    if not isinstance(runtime, ExportedRuntime):
        raise InputError(f"runtime {name!r} has no model files, which int8 and exports need")
    return runtime


def register_runtime(runtime: R) -> R:
    """Class decorator: add a runtime.

    Raises:
        TypeError: the class does not fulfil the contract of `Runtime`.
        ValueError: another runtime has its name.
    """
    check_implemented(f"runtime {runtime.__name__}", runtime, ("name", "precisions", "packages"))
    known = RUNTIMES.get(runtime.name)
    if known is not None and type(known).__qualname__ == runtime.__qualname__:
        return runtime  # Its module was imported again.
    PRECISIONS.register(runtime.name, tuple(runtime.precisions))
    RUNTIMES.register(runtime.name, runtime())
    return runtime
