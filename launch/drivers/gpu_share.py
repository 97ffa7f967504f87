"""The share of a GPU that a trial reserves, so that trials on one GPU have room for each other."""

from __future__ import annotations

import functools
import math
from typing import Any

import ray
import torch

from searchspace.distillation import NoDistillation
from searchspace.trial import TrialConfig

AUTO = "auto"

OF_A_PROCESS = 0.6e9
"""Bytes that a process has of a GPU before its first tensor."""

MARGIN = 1.25
"""Factor on what tensors take, for the workspaces of libraries and gaps between tensors."""

GRAINS = 10_000
"""Ray counts resources in ten-thousandths."""


def share_of_each(trials: int) -> float:
    """The share of a GPU of each of so many trials; together, they are not more than one GPU."""
    return math.floor(GRAINS / trials) / GRAINS


def share_for(config: TrialConfig, memory: int) -> float:
    """The share of a GPU of a trial, by the memory of its training.

    A trial that learns from a teacher has the GPU for itself, as the teacher's memory is not known
    before it is loaded.

    Args:
        memory: bytes of the GPU.
    """
    lessons = (config.train.distillation, getattr(config.compress.pruning, "distillation", None))
    if not all(isinstance(lesson, NoDistillation | None) for lesson in lessons):
        return 1.0
    # Only here: what it imports takes a second, and only `auto` needs it.
    from detectors.training.memory import training_memory

    needed = MARGIN * training_memory(config.detector, config.train, torch.device("cuda"))
    return share_of_each(max(1, int(memory / (needed + OF_A_PROCESS))))


@functools.lru_cache(maxsize=1024)
def share_for_text(config: str, memory: int) -> float:
    """The same for a configuration in JSON; each is computed once."""
    return share_for(TrialConfig.model_validate_json(config), memory)


def gpu_memory() -> int:
    """Bytes of memory of a GPU of the connected cluster, whose GPUs should be alike."""
    ask: Any = ray.remote(num_cpus=0, num_gpus=1 / GRAINS)(_memory_here)
    return ray.get(ask.remote())


def _memory_here() -> int:
    return torch.cuda.get_device_properties(0).total_memory
