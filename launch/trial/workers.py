"""The workers of a trial besides the first one, which runs it: they train along with it.

The first worker announces each training, and the others, which `follow`, take part in it. All else,
such as pruning and scoring, the first one does alone while they wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from detectors.detector import Detector
from detectors.group import Group, Share
from detectors.training.train import fit
from launch.trial.data import TrialData, TrialError
from launch.trial.teachers import PackedDetector
from launch.trial.training import Training, training_loader
from searchspace.errors import InputError
from searchspace.trial import TrialConfig


@dataclass(frozen=True)
class Announced:
    """A training that is about to begin, as it is sent to the other workers.

    Attributes:
        training: without its teacher.
        new_parts: see `Detector`.
    """

    config: TrialConfig
    training: Training
    detector: PackedDetector
    teacher: PackedDetector | None
    new_parts: frozenset[str]

    def join(self, data: TrialData, device: torch.device) -> None:
        """Take part in it."""
        detector = self.detector.unpack()
        detector.new_parts = self.new_parts
        teacher = None if self.teacher is None else self.teacher.unpack()
        training = replace(self.training, teacher=teacher)
        # What is random in a step, such as dropout, should differ between the shares of a batch.
        torch.manual_seed(self.config.seed + Group.current().rank)
        loader = training_loader(self.config, data, training.recipe, device)
        fit(detector, loader, training.recipe, training.terms(detector.to(device)))


def announce(config: TrialConfig, training: Training, detector: Detector) -> None:
    """Let the other workers of this process's group, if any, join a training; raises
    `WorkerLost`."""
    group = Group.current()
    if group.size == 1:
        return
    teacher = None if training.teacher is None else PackedDetector.of(training.teacher)
    alone = replace(training, teacher=None)
    packed = PackedDetector.of(detector)
    group.from_first(Announced(config, alone, packed, teacher, detector.new_parts))


def dismiss() -> None:
    """Let the other workers of the group go: there is nothing more to train."""
    Group.current().from_first()


def follow(data: TrialData, device: torch.device) -> None:
    """Take part in all trainings that the first worker announces, until it dismisses the others.

    Raises:
        WorkerLost: the first worker does not answer any more.
        TrainingFailed: a loss is not finite.
    """
    while (announced := Group.current().from_first()) is not None:
        announced.join(data, device)


def check_shares(config: TrialConfig, data: TrialData, group: Group | None = None) -> None:
    """Raise `TrialError` if a batch has fewer images than a group has workers, by default this
    process's."""
    try:
        images = min(config.train.batch_size, len(data.train.images))
        Share(group or Group.current(), images)
    except InputError as error:
        raise TrialError(str(error)) from None


def share_of(config: TrialConfig) -> TrialConfig:
    """A trial with the batches that one worker of this process's group computes at most."""
    size = Group.current().size
    share = -(-config.train.batch_size // size)
    return config if size == 1 else config.changed(train=config.train.changed(batch_size=share))
