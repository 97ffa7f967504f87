"""Whether a detector's accuracy was still rising when its training ended. Pure.

Differences between detectors that are still rising show which learns faster, not which is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from detectors.evaluate import Metrics
from launch.records import TrialRecord
from searchspace.compression import Int8

BOUND = 0.02
"""A detector was still rising if an AP gained more than this in the last part of its training."""

PART = 1 / 3
"""Share of all epochs up to which `BOUND` holds; for a longer part the bound is proportional."""

FIGURES = ("ap_small", "ap")


@dataclass(frozen=True)
class Slope:
    """The gain of the last part of a training.

    Attributes:
        rising: whether the gain was above the bound.
        figure: `ap_small` or `ap`, whichever gained more.
        gain: gain of that figure, as a fraction in -1..1.
        begun, ended: epochs of training before and after the part.
    """

    rising: bool
    figure: str
    gain: float
    begun: int
    ended: int


@dataclass(frozen=True)
class _Part:
    """The part of a training between two evaluations.

    Attributes:
        lossy: the later detector was pruned or quantised and the earlier one was not, so the
            difference is a lower bound of the gain by training.
    """

    begun: int
    ended: int
    before: Metrics
    after: Metrics
    lossy: bool


def slope(record: TrialRecord) -> Slope | None:
    """The end of a finished trial's learning curve; None if unknown.

    The last part is the training after the dense detector: fine-tuning, or further training without
    pruning. If pruning hides its gain, or there was none, the scores at halving's rungs before the
    dense detector are used.
    """
    for part in reversed(list(_parts(record))):
        found = _slope(part)
        if found is not None and (found.rising or not part.lossy):
            return found
    return None


def _parts(record: TrialRecord) -> Iterator[_Part]:
    """The parts between evaluations, in order."""
    result = record.result
    if result is None:
        return
    trained, more = result.config.epochs
    rungs = sorted(epochs for epochs in record.midway if epochs < trained)
    scores = [(epochs, record.midway[epochs]) for epochs in rungs]
    # Snapshots are scored in PyTorch.
    quantised = isinstance(result.config.compress.quantisation, Int8)
    for (begun, before), (ended, after) in pairwise([*scores, (trained, result.dense.metrics)]):
        yield _Part(begun, ended, before, after, lossy=quantised and ended == trained)
    if result.compact is not None and more:
        dense, compact = result.dense.metrics, result.compact.metrics
        pruned = result.config.compress.prunes
        yield _Part(trained, trained + more, dense, compact, lossy=pruned)


def _slope(part: _Part) -> Slope | None:
    """The gain of a part in the figure that exceeds its bound the most; None without figures."""
    bounds = {name: _bound(name, part) for name in FIGURES}
    gains = {
        name: getattr(part.after, name) - getattr(part.before, name)
        for name in FIGURES
        if None not in (getattr(part.before, name), getattr(part.after, name))
    }
    if not gains:
        return None
    name = max(gains, key=lambda name: gains[name] - bounds[name])
    return Slope(gains[name] > bounds[name], name, gains[name], part.begun, part.ended)


def _bound(name: str, part: _Part) -> float:
    """The largest gain of a figure in a part that counts as settled."""
    share = (part.ended - part.begun) / part.ended
    bound = BOUND * max(1.0, share / PART)
    objects = part.after.small_objects
    # One more object found does not count as rising.
    return max(bound, 1 / objects) if name == "ap_small" and objects else bound
