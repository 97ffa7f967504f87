"""The memory that the trainings of a trial need, with their teachers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

from compress.distillation import distillation_term
from detectors.detector import Detector
from detectors.training.memory import Terms, blank, no_terms, take_steps, training_memory
from detectors.training.train import Term
from searchspace.detector import DetectorConfig
from searchspace.distillation import PARENT, ChannelWise, Logits
from searchspace.trial import TrialConfig

TeacherConfig = Callable[[str], DetectorConfig]
"""The configuration of the saved detector with a name in a trial's."""

Build = Callable[[DetectorConfig], Detector]


def trial_memory(config: TrialConfig, device: torch.device, teacher: TeacherConfig) -> int:
    """Bytes that tensors take at the peak of a trial's trainings, see `training_memory`.

    A teacher counts with its weights, its activations and the loss. A pruned detector counts as its
    parent, whose memory is at least as large.
    """
    return max(
        training_memory(config.detector, config.train, device, terms)
        for terms in _terms(config, teacher, blank)
    )


def take_trial_steps(config: TrialConfig, device: torch.device, teacher: TeacherConfig) -> None:
    """Two steps of each of a trial's trainings, on blank images and random weights.

    Raises:
        MemoryError, torch.OutOfMemoryError: they do not fit into the device's memory.
    """

    def build(detector: DetectorConfig) -> Detector:
        return Detector(detector).to(device)

    for terms in _terms(config, teacher, build):
        take_steps(build, config.detector, config.train, terms)


def _terms(config: TrialConfig, teacher: TeacherConfig, build: Build) -> list[Terms]:
    """The further terms of each training that has a teacher; of one without, if none has."""

    def make(
        lesson: ChannelWise | Logits, taught_by: DetectorConfig, student: Detector
    ) -> Sequence[Term]:
        return [distillation_term(lesson, student, build(taught_by))]

    found: list[Terms] = []
    for _, lesson in config.lessons:
        parent = lesson.teacher == PARENT
        taught_by = config.detector if parent else teacher(lesson.teacher)
        found.append(functools.partial(make, lesson, taught_by))
    return found or [no_terms]
