"""All that a detector can be exported to."""

from __future__ import annotations

from pathlib import Path

from detectors.runtimes.deployed import RuntimeUnavailable
from detectors.runtimes.executorch import ExecuTorch
from detectors.runtimes.graphs import Onnx, OpenVinoModel
from detectors.runtimes.program import Target, Wanted
from detectors.runtimes.tensor_rt_engine import TensorRTEngine
from detectors.runtimes.torch_program import TorchExport
from searchspace.errors import InputError

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (Onnx(), TorchExport(), OpenVinoModel(), TensorRTEngine(), ExecuTorch())
}
"""By name."""

SUFFIXES = {name: target.suffix for name, target in TARGETS.items()}


def target_of(path: Path) -> Target | None:
    """The target that a file was exported to, by its name; None for any other file."""
    return next((target for target in TARGETS.values() if path.suffix == target.suffix), None)


def check_wanted(name: str, wanted: Wanted) -> Target:
    """The target with a name, if it can be what is wanted.

    Raises:
        InputError: there is no such target, or it has not what is wanted.
    """
    target = TARGETS.get(name)
    if target is None:
        raise InputError(f"target {name!r}: choose from {', '.join(TARGETS)}")
    if wanted.precision not in target.precisions:
        raise InputError(
            f"precision {wanted.precision!r}: {name} has {', '.join(target.precisions)}"
        )
    if not (wanted.raw or target.has_nms):
        raise InputError(f"{name} has no NMS: add --raw, and run.py will do it")
    if wanted.image_size is not None:
        _check_cut(target, wanted)
    elif wanted.batch is None and not target.any_batch:
        raise InputError(f"{name} takes a fixed number of images only: add --batch 1")
    return target


def _check_cut(target: Target, wanted: Wanted) -> None:
    """Raise `InputError` if a target cannot have tiles inside in the form that is wanted."""
    if not target.can_cut:
        able = ", ".join(name for name, other in TARGETS.items() if other.can_cut)
        raise InputError(
            f"{target.name} cannot cut images into tiles, only {able} can: leave the size of "
            "images out, and the script beside the file cuts them"
        )
    if wanted.raw or wanted.precision == "int8" or wanted.batch not in (None, 1):
        raise InputError(
            "with tiles inside, a file has NMS, is not in int8, and takes one image at a time: "
            "leave out what contradicts it, or the size of images"
        )


def ready_target(name: str, wanted: Wanted) -> Target:
    """The same, if it can be written here, too.

    Raises:
        RuntimeUnavailable: its library is not installed.
    """
    target = check_wanted(name, wanted)
    if reason := target.unavailable(wanted.precision):
        raise RuntimeUnavailable(f"{name}: {reason}")
    return target
