"""The share of a GPU that a trial reserves, so that trials on one GPU have room for each other."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import ray
import torch

from launch.trial.memory import fewest_parts, needs_of
from launch.trial.teachers import LoadTeacher, load_teacher, teachers_in
from searchspace.errors import InputError
from searchspace.trial import TrialConfig

AUTO = "auto"

GRAINS = 10_000
"""Ray counts resources in ten-thousandths."""


def share_of_each(trials: int) -> float:
    """The share of a GPU of each of so many trials; together, they are not more than one GPU."""
    return math.floor(GRAINS / trials) / GRAINS


def share_for(config: TrialConfig, memory: int, load_teacher: LoadTeacher = load_teacher) -> float:
    """The share of a GPU of a trial, by the memory of its trainings.

    Args:
        memory: bytes of the GPU.
    """
    needs = needs_of(config, torch.device("cuda"), lambda name: load_teacher(name).config)
    recipe = config.train
    # With "auto", a trial finds the same number in the share that this one needs.
    parts = fewest_parts(config, memory, needs) if recipe.accumulate == AUTO else recipe.parts
    return share_of_each(max(1, int(memory / needs(parts))))


@functools.lru_cache(maxsize=1024)
def share_for_text(config: str, memory: int, folders: tuple[tuple[str, str], ...] = ()) -> float:
    """The same for a configuration in JSON; each is computed once.

    A trial that is too large for the GPU has all of it, and says so itself.

    Args:
        folders: those of saved detectors by name.
    """
    load = teachers_in({name: Path(folder) for name, folder in folders})
    try:
        return share_for(TrialConfig.model_validate_json(config), memory, load)
    except InputError:
        return 1.0


def gpu_memory() -> int:
    """Bytes of memory of a GPU of the connected cluster, whose GPUs should be alike."""
    ask: Any = ray.remote(num_cpus=0, num_gpus=1 / GRAINS)(_memory_here)
    return ray.get(ask.remote())


def _memory_here() -> int:
    return torch.cuda.get_device_properties(0).total_memory
