"""The options of a search that say on what its trials run, and what each of them reserves."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from launch.study.options import Group, Option, Text, not_empty
from launch.study.search_options import MOST_TRIALS, Device
from searchspace.reading import shown


def _auto_or_count(value: Any) -> Any:
    text = str(value).strip()
    if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= MOST_PER_GPU):
        raise ValueError(
            f"trials_per_gpu {shown(value)}: give auto, or a number from 1 to {MOST_PER_GPU}; for "
            "several GPUs of a trial give gpus_per_trial"
        )
    return text


def _amount_of(value: Any) -> Any:
    name, _, amount = (part.strip() for part in str(value).partition("="))
    try:
        good = bool(name) and 0 < float(amount) < math.inf
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            f"resources_per_trial {shown(value)}: give NAME=AMOUNT with a positive number, such as "
            "a100=1"
        )
    if name in RAYS_OWN:
        raise ValueError(f"resources_per_trial {name}: give {RAYS_OWN[name]}_per_trial instead")
    return f"{name}={amount}"


RAYS_OWN = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}
"""Names of resources that have options of their own."""

MOST_PER_GPU = 100
MOST_WORKERS = 1024

TrialsPerGPU = Annotated[str, BeforeValidator(_auto_or_count)]
"""`auto` or a number."""

Amount = Annotated[str, BeforeValidator(_amount_of)]
"""A custom resource of Ray as NAME=AMOUNT."""


class ResourceOptions(Group):
    """Devices of trials, and the options of the driver; see `launch.drivers.choose`.

    A driver may be given as an object. It is chosen again when a study is resumed.
    """

    driver: Annotated[Any, BeforeValidator(not_empty), Option("NAME", resumable=True)] = Field(
        default="ray",
        exclude=True,
        description="ray runs trials side by side, local one after the other in this process.",
    )
    workers_per_trial: Annotated[int | None, Option(resumable=True)] = Field(
        default=None,
        ge=1,
        le=MOST_WORKERS,
        exclude=True,
        description="Processes that train a trial together, each on its share of every batch and "
        "of what the trial reserves; by default as many as it has GPUs, else one. Example: "
        "--workers-per-trial 4 --cpus-per-trial 16.",
    )
    cpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=1,
        exclude=True,
        description="CPU cores that Ray reserves for a trial; 1 by default for each worker.",
    )
    gpus_per_trial: Annotated[float | None, Option(resumable=True)] = Field(
        default=None,
        ge=0,
        exclude=True,
        description="GPUs that Ray reserves for a trial; where trials run on GPUs, one by default "
        "for each worker.",
    )
    trials_per_gpu: Annotated[TrialsPerGPU | None, Option("auto|N", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Trials that share a GPU, in place of --gpus-per-trial; auto: as many as its "
        "memory holds, by an estimate for each. None of them gets more than its share.",
    )
    memory_per_trial: Annotated[float | None, Option("GB", resumable=True)] = Field(
        default=None,
        gt=0,
        exclude=True,
        description="Main memory, in GB, that Ray sets aside for a trial; none by default. It "
        "limits how many trials run on a node, not what they take.",
    )
    resources_per_trial: Annotated[
        tuple[Amount, ...] | None, Option("NAME=AMOUNT", comma=True, resumable=True)
    ] = Field(
        default=None,
        exclude=True,
        description="Custom resources of Ray that a trial reserves, such as a100=1: it runs only "
        "on nodes that have them.",
    )
    max_concurrent: Annotated[int | None, Option("TRIALS", resumable=True)] = Field(
        default=None,
        ge=1,
        le=MOST_TRIALS,
        exclude=True,
        description="The most trials at once; by default as many as the cluster has room for.",
    )
    address: Annotated[Text | None, Option("ADDRESS", resumable=True)] = Field(
        default=None,
        exclude=True,
        description="Running Ray cluster to join: HOST:PORT, or auto for RAY_ADDRESS or this "
        "machine's. The study must then lie in a folder that all nodes share, or at an address. By "
        "default, Ray is started for this search alone.",
    )

    @field_validator("resources_per_trial")
    @classmethod
    def _each_once(cls, amounts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = [amount.partition("=")[0] for amount in amounts or ()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"resources_per_trial {twice[0]}: there are {names.count(twice[0])} amounts of it; "
                "give one"
            )
        return amounts

    device: Device = None
    measure_on: Annotated[Text | None, Option("RESOURCE")] = Field(
        default=None,
        title="Measured on nodes with",
        description="Custom resource of the Ray nodes that are the target device: detectors are "
        "scored and measured there, wherever they were trained.",
    )
