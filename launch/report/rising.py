"""Whether a detector's accuracy was still rising when its training ended. Pure.

Differences between detectors that still rise say which of them learns faster, not which is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from detectors.evaluate import Metrics
from launch.records import TrialRecord
from searchspace.compression import Int8

BOUND = 0.02
"""An AP that gained more than this in the last part of a training was still rising."""

PART = 1 / 3
"""Share of its epochs that a part may have for `BOUND`; a longer one may gain as much more."""

FIGURES = ("ap_small", "ap")


@dataclass(frozen=True)
class Slope:
    """What the last part of a training brought, as far as it is known.

    Attributes:
        rising: whether that was more than what is called settled.
        figure: `ap_small` or `ap`, whichever gained more.
        gain: of it, as a fraction in -1..1.
        begun, ended: epochs of training that the detector had before and after the part.
    """

    rising: bool
    figure: str
    gain: float
    begun: int
    ended: int


@dataclass(frozen=True)
class _Part:
    """A training between two evaluations.

    Attributes:
        lossy: the later detector was pruned or quantised and the earlier one was not, so what it
            gained is a lower bound of what training brought.
    """

    begun: int
    ended: int
    before: Metrics
    after: Metrics
    lossy: bool


def slope(record: TrialRecord) -> Slope | None:
    """What is known of the end of a finished trial's learning curve; None for nothing.

    The last part of a training is what follows its dense detector: fine-tuning, or training on
    unpruned. Where pruning hides what that brought, or nothing followed, what halving scored on the
    way to the dense detector counts.
    """
    for part in reversed(list(_parts(record))):
        found = _slope(part)
        if found is not None and (found.rising or not part.lossy):
            return found
    return None


def _parts(record: TrialRecord) -> Iterator[_Part]:
    """The trainings between evaluations, in their order."""
    result = record.result
    if result is None:
        return
    trained, more = result.config.epochs
    rungs = sorted(epochs for epochs in record.midway if epochs < trained)
    scores = [(epochs, record.midway[epochs]) for epochs in rungs]
    # Snapshots are scored as PyTorch runs them.
    quantised = isinstance(result.config.compress.quantisation, Int8)
    for (begun, before), (ended, after) in pairwise([*scores, (trained, result.dense.metrics)]):
        yield _Part(begun, ended, before, after, lossy=quantised and ended == trained)
    if result.compact is not None and more:
        dense, compact = result.dense.metrics, result.compact.metrics
        pruned = result.config.compress.prunes
        yield _Part(trained, trained + more, dense, compact, lossy=pruned)


def _slope(part: _Part) -> Slope | None:
    """What a part brought in the figure that exceeds its bound the most; None without figures."""
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
    """What a figure may gain in a part and be called settled."""
    share = (part.ended - part.begun) / part.ended
    bound = BOUND * max(1.0, share / PART)
    objects = part.after.small_objects
    # One more object found is no rise.
    return max(bound, 1 / objects) if name == "ap_small" and objects else bound
