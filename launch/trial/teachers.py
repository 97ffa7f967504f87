"""Teachers of a configuration or a space: loading, checking, and sharing between processes."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from compress import check_classes, check_distillation
from detectors.detector import Detector
from launch.trial.data import TrialError
from searchspace import DetectorConfig, Space, TrialConfig, papers
from searchspace.config import as_before
from searchspace.distillation import PARENT, ChannelWise, Logits, NoDistillation
from searchspace.domains import Choice, Fixed, options
from searchspace.errors import InputError

LoadTeacher = Callable[[str], Detector]
"""Loads the teacher with a name in a configuration."""


def load_teacher(name: str) -> Detector:
    """The detector saved in the folder `name`; raises ValueError if it cannot be loaded."""
    if name in papers and not Path(name).exists():
        raise InputError(
            f"it is a paper's system, and there is no folder of that name with its detector: train "
            f"it with `sparrow trial {name}`, and give the folder of the trained detector instead"
        )
    return Detector.load(Path(name))


@dataclass(frozen=True)
class PackedDetector:
    """A detector as arrays that processes of a node can share without copies.

    Attributes:
        config: its configuration as JSON.
        tensors: its state by name.
    """

    config: str
    classes: tuple[str, ...]
    tensors: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, detector: Detector) -> PackedDetector:
        tensors = {name: tensor.cpu().numpy() for name, tensor in detector.state_dict().items()}
        return cls(detector.config.model_dump_json(), detector.classes, tensors)

    def unpack(self) -> Detector:
        """A detector that uses the arrays themselves; read-only if they are."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = {name: torch.from_numpy(array) for name, array in self.tensors.items()}
        detector = Detector(DetectorConfig.model_validate_json(self.config), self.classes)
        return detector.load_tensors(tensors, share=True)


def fingerprint(detector: Detector) -> str:
    """Sixteen hexadecimal digits that differ for detectors with different outputs."""
    config = detector.config
    digest = hashlib.sha256(config.model_dump_json(exclude=as_before(config)).encode())
    digest.update(repr(detector.classes).encode())
    for name, tensor in sorted(detector.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def check_teachers(
    config: TrialConfig, classes: Sequence[str], load: LoadTeacher = load_teacher
) -> None:
    """Raise `TrialError` if a teacher does not suit the trained detector; names field and
    reason."""
    for path, distillation in _distillations(config):
        try:
            teacher = config.detector
            if distillation.teacher != PARENT:
                detector = load(distillation.teacher)
                check_classes(detector, classes)
                teacher = detector.config
            check_distillation(distillation, config.detector, teacher)
        except InputError as error:
            raise TrialError(f"{path}.teacher {distillation.teacher!r}: {error}") from None


def check_named_teachers(folders: Mapping[str, Path], classes: Sequence[str]) -> None:
    """Raise `TrialError` if a teacher named by a space is missing or has other classes.

    Args:
        folders: their folders by name; see `teacher_folders`.
    """
    for name, folder in folders.items():
        try:
            check_classes(load_teacher(str(folder)), classes)
        except InputError as error:
            raise TrialError(f"teacher {name!r} of the space: {error}") from None


def named_teachers(space: Space) -> tuple[str, ...]:
    """The names of the saved detectors that a space may draw as teachers."""
    names = (name for _, domain in _teacher_domains(space) for name in options(domain))
    return tuple(dict.fromkeys(name for name in names if name != PARENT))


def teacher_folders(space: Space) -> dict[str, Path]:
    """The folders of the teachers named by a space, relative to the working folder."""
    return {name: Path(name).resolve() for name in named_teachers(space)}


def teachers_in(folders: Mapping[str, Path]) -> LoadTeacher:
    """Loads teachers by name from these folders."""
    return functools.partial(_load_from, dict(folders))


def _load_from(folders: Mapping[str, Path], name: str) -> Detector:
    return load_teacher(str(folders.get(name, name)))


def _distillations(config: TrialConfig) -> Iterator[tuple[str, ChannelWise | Logits]]:
    """The distillations of a configuration that have a teacher, with their paths."""
    found = [("train.distillation", config.train.distillation)]
    if config.compress.prunes:
        found.append(("compress.pruning.distillation", config.compress.removal.distillation))
    for path, distillation in found:
        if not isinstance(distillation, NoDistillation):
            yield path, distillation


def _teacher_domains(space: Space) -> list[tuple[str, Choice | Fixed]]:
    return [
        (path, domain)
        for path, domain in space.domains.items()
        if path.endswith(".teacher") and isinstance(domain, Choice | Fixed)
    ]
