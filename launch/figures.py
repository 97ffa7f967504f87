"""What a search may aim at or bound: figures of a detector, their direction and scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator

Figure = Literal[
    "ap",
    "ap50",
    "ap_small",
    "ar_small",
    "fps",
    "params",
    "macs",
    "latency_ms",
    "latency_p99",
    "memory_mb",
    "energy_mj",
]
"""Figures of a finished trial."""


class Sense(NamedTuple):
    """How a figure is compared.

    Attributes:
        up: more of it is better.
        log: ratios count, not differences.
    """

    up: bool
    log: bool


SENSES: dict[str, Sense] = {
    "ap": Sense(up=True, log=False),
    "ap50": Sense(up=True, log=False),
    "ap_small": Sense(up=True, log=False),
    "ar_small": Sense(up=True, log=False),
    "fps": Sense(up=True, log=True),
    "params": Sense(up=False, log=True),
    "macs": Sense(up=False, log=True),
    "latency_ms": Sense(up=False, log=True),
    "latency_p99": Sense(up=False, log=True),
    # What a call allocates may be nothing, which has no logarithm.
    "memory_mb": Sense(up=False, log=False),
    "energy_mj": Sense(up=False, log=True),
}

ENERGY: Figure = "energy_mj"
"""Not every device lets it be read."""

DEFAULT: tuple[Figure, ...] = ("ap_small", "fps")


def scaled(name: str, value: float) -> float:
    """A figure on the scale on which its differences count."""
    return math.log(value) if SENSES[name].log else value


def height(name: str, value: float) -> float:
    """A figure on the scale on which its differences count, and more is better."""
    return scaled(name, value) if SENSES[name].up else -scaled(name, value)


def heights(names: Sequence[str], values: Sequence[float]) -> tuple[float, ...]:
    """`height` of several figures."""
    return tuple(height(name, value) for name, value in zip(names, values, strict=True))


def directions(names: Sequence[str]) -> list[str]:
    """As Optuna calls them."""
    return ["maximize" if SENSES[name].up else "minimize" for name in names]


def _two_or_more_once(names: tuple[Figure, ...]) -> tuple[Figure, ...]:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"objectives {', '.join(names) or 'none'}: give at least two, and each once, from "
            f"{', '.join(get_args(Figure))}"
        )
    return names


Objectives = Annotated[tuple[Figure, ...], AfterValidator(_two_or_more_once)]
"""What a search aims at, the most important first: reports draw the first against the second."""
