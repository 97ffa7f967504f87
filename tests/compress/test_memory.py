"""The memory of a training with a teacher, known before it starts."""

from __future__ import annotations

import pytest
import torch

from compress import distillation_term
from compress.memory import take_trial_steps, trial_memory
from detectors.detector import Detector
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import Slimming
from searchspace.distillation import PARENT, ChannelWise, Distillation, Logits, NoDistillation
from tests.detectors.training.test_memory import RECIPE, config, taken

CPU = torch.device("cpu")
STUDENT, TEACHER = config("ssdmnetv1_s1l0"), config("ssdmnetv1_s1l0", 0.5)


def taught(lesson: Distillation) -> TrialConfig:
    return TrialConfig(detector=STUDENT, train=RECIPE.changed(distillation=lesson))


@pytest.mark.slow
@pytest.mark.parametrize(
    "lesson", [ChannelWise(teacher="runs/one", location="both"), Logits(teacher="runs/one")]
)
def test_a_teacher_is_known_within_15_percent(
    lesson: ChannelWise | Logits, device: torch.device
) -> None:
    measured = taken(
        STUDENT,
        RECIPE,
        device,
        lambda student: [distillation_term(lesson, student, Detector(TEACHER))],
    )
    found = trial_memory(taught(lesson), device, lambda name: TEACHER)
    assert found == pytest.approx(measured, rel=0.15)
    assert found > 1.2 * trial_memory(taught(NoDistillation()), device, lambda name: TEACHER)


@pytest.mark.slow
def test_the_parent_teaches_the_fine_tuning() -> None:
    """Its memory is that of a teacher of the same shape; the steps can be taken, too."""
    small = STUDENT.changed(input_size=64)
    recipe = RECIPE.changed(batch_size=2)
    trial = TrialConfig(detector=small, train=recipe)
    fine = Slimming(distillation=ChannelWise(teacher=PARENT), finetune_epochs=1)
    taught = trial.changed(compress=CompressConfig(pruning=fine))
    alike = trial.changed(train=recipe.changed(distillation=ChannelWise(teacher="runs/one")))
    needed = [trial_memory(c, CPU, lambda name: small) for c in (trial, taught, alike)]
    assert needed[0] < needed[1] == needed[2]
    take_trial_steps(taught, CPU, lambda name: small)
