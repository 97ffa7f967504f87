"""Pruning targets, and the search for the pruning that is closest to one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from compress.criteria import Pruning
from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.timing.measure import measure
from searchspace.errors import InputError
from searchspace.measuring import MeasureConfig

TOLERANCE = 0.005
"""Tolerance of a pruning target, as a share of it."""

BRIEF_PASSES = 3
"""Passes of each measurement during the search for a latency target."""

COUNTS = {"params": count_params, "macs": count_macs}
WORDS = {"params": "parameters", "macs": "multiply-accumulates"}

Fps = Callable[[Detector], float]
"""Measures the frames per second of a detector."""


@dataclass(frozen=True)
class Target:
    """A figure that decreases with pruning, and its goal.

    Attributes:
        name: the field or argument that sets it.
        figure: `params`, `macs` or `latency` (seconds per image).
        of: computes the figure of a detector.
        start: the figure before pruning.
        goal: the figure to reach.
        tolerance: permitted distance from the goal, as a share of it.
    """

    name: str
    figure: str
    of: Callable[[Detector], float]
    start: float
    goal: float
    tolerance: float = TOLERANCE

    @property
    def measured(self) -> bool:
        """Whether the figure is measured, and so needs real weights and is noisy."""
        return self.figure == "latency"

    @property
    def close(self) -> float:
        """Relative tolerance at which the search stops."""
        return self.tolerance if self.measured else self.tolerance / 10

    def between(self, part: float) -> float:
        """The value a part of the way from start to goal."""
        return self.start + part * (self.goal - self.start)

    def meets(self, value: float) -> bool:
        return abs(value - self.goal) <= self.tolerance * self.goal

    def show(self, value: float) -> str:
        if self.measured:
            return f"{1 / value:.3g} frames per second"
        return f"{value:,.0f} {WORDS[self.figure]}"


def configured_target(detector: Detector, config: Pruning, fps: Fps | None) -> Target | None:
    """The target of a configuration; None for a share of the channels."""
    if config.target == "channels":
        return None
    name = f"compress.pruning.{config.kind}.ratio"
    target = _as_it_is(name, config.target, detector, fps)
    return replace(target, goal=(1 - config.ratio) * target.start)


def given_target(
    detector: Detector,
    params: float | None,
    macs: float | None,
    frames: float | None,
    fps: Fps | None,
) -> Target | None:
    """The target of `prune`'s keywords; None if there is none.

    Raises:
        ValueError: there are several, or the detector already meets it.
    """
    given = {"target_params": params, "target_macs": macs, "target_fps": frames}
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)}: give only one target")
    if not asked:
        return None
    [(name, value)] = asked.items()
    if value <= 0:
        raise InputError(f"{name} is {value}: give a value above 0")
    figure = "latency" if name == "target_fps" else name.removeprefix("target_")
    target = _as_it_is(name, figure, detector, fps)
    goal = 1 / value if target.measured else value * target.start if value <= 1 else value
    if goal >= target.start:
        raise InputError(f"{name} is {value}: the detector already has {target.show(target.start)}")
    return replace(target, goal=goal)


def brief(how: MeasureConfig) -> MeasureConfig:
    """The same measurement with few passes, for the search for a latency target."""
    return how.model_copy(update={"passes": BRIEF_PASSES})


def nearest_cut(
    figure: Callable[[int], float], low: int, high: int, goal: float, close: float = 0
) -> tuple[int, float]:
    """The integer from `low` to `high` at which a decreasing figure is closest to `goal`, and the
    figure there.

    Interpolation and bisection alternate until a figure is within a share `close` of the goal. The
    closest of all evaluated integers is returned, as measurements are noisy.
    """
    seen = {low: figure(low), high: figure(high)}
    between = itertools.cycle((lambda a, b: (a - goal) / (a - b), lambda a, b: 0.5))
    while high - low > 1 and seen[low] > goal > seen[high]:
        part = next(between)(seen[low], seen[high])
        middle = min(max(low + round(part * (high - low)), low + 1), high - 1)
        seen[middle] = figure(middle)
        if abs(seen[middle] - goal) <= close * goal:
            break
        low, high = (middle, high) if seen[middle] > goal else (low, middle)
    nearest = min(seen, key=lambda cut: abs(seen[cut] - goal))
    return nearest, seen[nearest]


def _as_it_is(name: str, figure: str, detector: Detector, fps: Fps | None) -> Target:
    """A target that the detector meets before any pruning.

    The tolerance of a latency is at least the spread of repeated measurements.
    """
    if figure in COUNTS:
        start = COUNTS[figure](detector)
        return Target(name, figure, COUNTS[figure], start, start)
    fps = fps or _few_passes
    passes = [1 / fps(detector) for _ in range(3)]
    start, spread = min(passes), max(passes) / min(passes) - 1
    tolerance = max(TOLERANCE, spread)
    return Target(name, figure, lambda pruned: 1 / fps(pruned), start, start, tolerance)


def _few_passes(detector: Detector) -> float:
    return measure(detector, MeasureConfig(passes=BRIEF_PASSES), detector.device).fps
