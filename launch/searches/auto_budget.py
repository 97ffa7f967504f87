"""The time for which a space is made for data, and the named spaces that may fit into it."""

from __future__ import annotations

from dataclasses import dataclass

TRIAL_SECONDS = {"cpu": 300.0, "cuda": 600.0}
"""Time of a trial where no time limit is given."""

LEAST_TRIALS, GOOD_TRIALS, MOST_TRIALS = 3, 8, 20
"""With fewer trials than the least, a search is hardly more than its baseline and a paper's system.
More than the most are not planned: trials become longer instead."""

ROUNDS = 3
"""Trials are short enough to run in as many turns, if there may be so many of them: the first turn
draws without a result."""

LEAST_STEPS, GOOD_STEPS = 200, 1000
"""Fewer steps of gradient descent than the least leave hardly a detector that finds small objects;
twice as many as are good gain little."""


@dataclass(frozen=True)
class Base:
    """A named space that is narrowed, and how long trainings it is for.

    Attributes:
        steps: of a good training with its recipe.
        widths: widths on a CPU; on a GPU all of its own.
        published: whether backbones start from published weights.
        lean: whether only what is cheap is left of it, for fewer and shorter trainings.
    """

    name: str
    steps: int
    widths: tuple[float, ...]
    published: bool = False
    lean: bool = False

    @property
    def least(self) -> tuple[int, int]:
        """The fewest trials, and steps of each, for which there has to be time."""
        return (LEAST_TRIALS, LEAST_STEPS) if self.lean else (GOOD_TRIALS, self.steps)


PAPERS = Base("papers", 20_000, (0.5,), published=True)
MOBILE = Base("mobile", 6_000, (0.25, 0.375, 0.5), published=True)
QUICK = Base("quick", GOOD_STEPS, (0.25, 0.375))
LEAN = Base("quick", GOOD_STEPS, (0.25,), lean=True)


@dataclass(frozen=True)
class Situation:
    """What a space is made for, besides the objects.

    Attributes:
        device: `cpu` or `cuda`.
        seconds: of device time in all; None without a limit.
        trials: number of trials in all.
        places: trials in parallel that share the time, if it is limited by the clock.
        weights: a reason not to use published weights; empty where they can be had.
        only_published: whether the search names published weights, so that its space must use
            them.
    """

    device: str
    seconds: float | None
    trials: int
    val_images: int
    places: int = 1
    weights: str = ""
    only_published: bool = False

    @property
    def device_seconds(self) -> float:
        """The device time in all; without a limit, what the trials are given."""
        return self.trials * TRIAL_SECONDS[self.device] if self.seconds is None else self.seconds

    @property
    def bases(self) -> tuple[Base, ...]:
        """The spaces that come into question, the most demanding first."""
        large = (PAPERS, MOBILE) if self.device == "cuda" else (MOBILE,)
        if self.only_published:
            return large
        return (QUICK, LEAN) if self.weights else (*large, QUICK, LEAN)

    def shared(self, good: float) -> tuple[int, float]:
        """The number of trials that the budget is shared out to, and the seconds of each.

        Args:
            good: seconds of a good trial.
        """
        if self.seconds is None:
            return self.trials, TRIAL_SECONDS[self.device]
        turns = ROUNDS * self.places
        least = min(self.trials, max(LEAST_TRIALS, turns))
        most = min(self.trials, max(MOST_TRIALS, turns))
        count = min(most, max(least, int(self.seconds / good)))
        return count, self.seconds / self.places / -(-count // self.places)
