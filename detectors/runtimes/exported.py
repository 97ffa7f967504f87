"""`Exported`: a file that `detectors.runtimes.export` wrote, run by its runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from detectors.postprocess import Detections
from detectors.runtimes.contract import exported_runtime
from detectors.runtimes.deployed import Form, RuntimeUnavailable
from detectors.runtimes.export import METADATA, RUN_BY, SUFFIXES, Target
from detectors.runtimes.metadata import read_metadata
from searchspace.errors import InputError
from searchspace.geometry import Canvas

CPU = torch.device("cpu")


class Exported:
    """A detector that was exported with post-processing inside; it runs on the CPU.

    Attributes:
        path: its file.
        form: what runs it. The precision is that of the computation around int8 layers, if any.
        canvas: how images are placed on its input.
        classes: names of the classes, label 1 first; empty where they have none.
        num_classes: their number.
        thresholds: those in the file, if any.
        device: the device on which batches are expected.
    """

    device = CPU

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            InputError: it is not an exported detector.
            RuntimeUnavailable: what runs it is not installed.
        """
        target = target_of(path)
        if target is None:
            raise InputError(f"{path}: give a file that ends in {', '.join(SUFFIXES.values())}")
        if not path.is_file():
            raise InputError(f"{path}: no such file; sparrow export writes one")
        self.path = path
        self.form = Form(RUN_BY.get(target, target), "float32")
        self._run, texts = _program(path) if target == "torch-export" else _graph(path, target)
        found = read_metadata(texts, path)
        self.canvas: Canvas = found.canvas
        self.num_classes = len(found.classes)
        numbers = tuple(str(number) for number in range(1, 1 + self.num_classes))
        self.classes = () if found.classes == numbers else found.classes
        self.thresholds = found.thresholds

    @torch.inference_mode()
    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1: network, decoding, NMS."""
        return self._run(batch)


def target_of(path: Path) -> Target | None:
    """The target that a file was exported to, by its name; None for any other file."""
    return next((target for target, suffix in SUFFIXES.items() if path.suffix == suffix), None)


Loaded = tuple[Callable[[Tensor], Detections], dict[str, str]]


def _graph(path: Path, target: Target) -> Loaded:
    runtime = exported_runtime(RUN_BY[target])
    if reason := runtime.unavailable("float32", CPU):
        raise RuntimeUnavailable(f"{path}: {reason}")
    try:
        graph = runtime.graph.load(path)
        return graph.detections("float32"), graph.metadata
    except RuntimeUnavailable:
        raise
    except Exception as error:  # Each library has its own for a file that it cannot read.
        raise _unreadable(path, error) from None


def _program(path: Path) -> Loaded:
    extra = {METADATA: ""}
    try:
        module = torch.export.load(path, extra_files=extra).module()
    except Exception as error:
        raise _unreadable(path, error) from None
    return lambda batch: Detections(*module(batch)), json.loads(extra[METADATA] or "{}")


def _unreadable(path: Path, error: Exception) -> InputError:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return InputError(
        f"{path}: it cannot be read as an exported detector ({what}); export it again"
    )
