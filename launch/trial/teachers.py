"""Saved detectors that a configuration or a space names: teachers, and detectors to start from.

They are loaded, checked, and shared between processes.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from compress import check_classes, check_distillation
from detectors.detector import FACTS, Detector
from detectors.detector import WEIGHTS as WEIGHTS_FILE
from launch.files import DENSE
from launch.trial.data import TrialError
from searchspace import DetectorConfig, Space, TrialConfig
from searchspace.config import as_before
from searchspace.distillation import GIVEN, PARENT
from searchspace.domains import Choice, Fixed, options
from searchspace.errors import InputError
from searchspace.given import GivenTrials
from searchspace.initial_weights import WEIGHTS
from searchspace.papers import system_named
from searchspace.training import WEIGHTS_BY_NAME
from searchspace.words import command

TRAINING, TEACHER = "train.distillation", ".teacher"

LoadTeacher = Callable[[str], Detector]
"""Loads the saved detector with a name in a configuration, a teacher or one to start from."""


def load_teacher(name: str) -> Detector:
    """The detector saved at the path `name`; raises ValueError if it cannot be loaded."""
    if name == GIVEN:
        raise InputError(
            "it is the one that `sparrow search --teacher FOLDER` is given; for a single trial, "
            "name the folder of a saved detector"
        )
    if system_named(name) and not Path(name).exists():
        raise InputError(
            f"it is a paper's system, and there is no folder of that name with its detector: train "
            f"it with `{command('trial', name)}`, and give the folder of the trained detector "
            "instead"
        )
    return Detector.load(detector_folder(Path(name)))


def detector_folder(path: Path) -> Path:
    """The folder of the detector at a path: of a trial, that of its detector before pruning; of a
    detector's file of weights, the folder that it lies in."""
    if (path / DENSE / FACTS).is_file():
        return path / DENSE
    return path.parent if path.name == WEIGHTS_FILE and _is_detector(path.parent) else path


def is_saved_detector(path: Path) -> bool:
    """Whether there is a saved detector at a path, with its configuration."""
    return _is_detector(detector_folder(path))


def _is_detector(folder: Path) -> bool:
    return (folder / FACTS).is_file()


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
    return _with_tensors(digest, detector.state_dict())


def fingerprint_of_tensors(state: Mapping[str, torch.Tensor]) -> str:
    """The same for weights without a configuration."""
    return _with_tensors(hashlib.sha256(), state)


def _with_tensors(digest: hashlib._Hash, state: Mapping[str, torch.Tensor]) -> str:
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def check_teachers(
    config: TrialConfig, classes: Sequence[str], load: LoadTeacher = load_teacher
) -> None:
    """Raise `TrialError` if a teacher does not suit the trained detector; names field and
    reason."""
    for path, distillation in config.lessons:
        try:
            teacher = config.detector
            if distillation.teacher != PARENT:
                detector = load(distillation.teacher)
                check_classes(detector, classes)
                teacher = detector.config
            check_distillation(distillation, config.detector, teacher)
        except InputError as error:
            raise TrialError(f"{path}.teacher {distillation.teacher!r}: {error}") from None


def check_named_detectors(
    space: Space, folders: Mapping[str, Path], classes: Sequence[str]
) -> None:
    """Raise `TrialError` if a detector named by a space is missing, or a teacher has other classes.

    Args:
        folders: their folders by name; see `detector_folders`.
    """
    teachers = _teachers(space)
    for name in named_detectors(space):
        try:
            detector = load_teacher(str(folders[name]))
            if name in teachers:
                check_classes(detector, classes)
        except InputError as error:
            what = "teacher" if name in teachers else WEIGHTS
            raise TrialError(f"{what} {name!r} of the space: {error}") from None


def named_detectors(space: Space) -> tuple[str, ...]:
    """The names of the saved detectors that a space may draw as teachers or to start from, or that
    given trials need besides their own."""
    if isinstance(space, GivenTrials):
        files = (name for name in space.outside if Path(name).is_file())
        bare = {name for name in files if not is_saved_detector(Path(name))}
        return tuple(name for name in space.outside if name not in bare)
    start = space.domains.get(WEIGHTS)
    starts = [(WEIGHTS, start)] if isinstance(start, Choice | Fixed) else []
    return _named([*teacher_domains(space), *starts])


def detector_folders(space: Space) -> dict[str, Path]:
    """The folders of the detectors named by a space, relative to the working folder."""
    return {name: detector_folder(Path(name).resolve()) for name in named_detectors(space)}


def _teachers(space: Space) -> tuple[str, ...]:
    if isinstance(space, GivenTrials):
        configs = space.configs.values()
        return tuple(lesson.teacher for config in configs for _, lesson in config.lessons)
    return _named(teacher_domains(space))


def _named(domains: Iterable[tuple[str, Choice | Fixed]]) -> tuple[str, ...]:
    names = (name for _, domain in domains for name in options(domain))
    return tuple(dict.fromkeys(n for n in names if n not in (PARENT, *WEIGHTS_BY_NAME)))


def teachers_in(folders: Mapping[str, Path]) -> LoadTeacher:
    """Loads detectors by name from these folders."""
    return functools.partial(_load_from, dict(folders))


def _load_from(folders: Mapping[str, Path], name: str) -> Detector:
    return load_teacher(str(folders.get(name, name)))


def teacher_domains(space: Space) -> list[tuple[str, Choice | Fixed]]:
    """The fields of a space that name teachers, reachable or not, with their domains."""
    return [
        (path, domain)
        for path, domain in space.domains.items()
        if path.endswith(TEACHER) and isinstance(domain, Choice | Fixed)
    ]
