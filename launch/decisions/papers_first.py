"""Which of the papers' systems a search runs first, and how many of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from launch.decisions.spread import spread_out
from launch.pareto import ranks
from searchspace.papers import PaperSystem

SHARE = 1 / 3
"""The largest share of the trials, and of the budget, that papers' systems take."""

FIGURES = ("ap_small", "ap", "voc_map")
"""The published figures by which systems are compared, the most telling first."""

Scale = tuple[str, int]
"""The figure, and the number of classes that the system was built for."""


@dataclass(frozen=True)
class Candidate:
    """A paper's system, in the form that a space gives it.

    Attributes:
        macs: its predicted cost.
        published: its figures by scale, the most telling first; see `published`.
    """

    macs: float
    published: Mapping[Scale, float]


def published(systems: Iterable[PaperSystem]) -> dict[Scale, float]:
    """The published figures of systems that are one in a space, the most telling first.

    Figures of different data sets are not comparable: 0.17 on two classes of COCO is worse than
    0.14 on all 80, and the mAP on VOC, at IoU 0.5, is another figure altogether. The papers do not
    share one data set either: systems built for VOC's 20 classes have their COCO figures on
    test-dev, those built for 80 classes on val2017, and the thesis uses two classes of val2017. So
    a figure counts only among systems built for as many classes.
    """
    found: dict[Scale, float] = {}
    for figure in FIGURES:
        for system in systems:
            value = getattr(system.published, figure)
            if value is not None:
                found.setdefault((figure, system.trial.detector.num_classes), value)
    return found


def room(trials: int) -> int:
    """The most papers' systems that a search of so many trials runs."""
    return int(trials * SHARE + 1e-9)


def has_room(trials: int, spent: float, run: int) -> bool:
    """Whether another paper's system may run.

    Args:
        trials: number of trials of the search in all.
        spent: spent share of its budget, in trials, minutes or device-hours, whichever is largest.
        run: number of papers' systems that it ran.
    """
    return run < room(trials) and spent <= SHARE


def time_left(seconds: float, taken: float) -> float:
    """The device time for further papers' systems, of `seconds` in all, after those so far have
    taken some of it or are expected to."""
    return SHARE * seconds - taken


def in_order(candidates: Sequence[Candidate], stock: float) -> list[int]:
    """Indices of the candidates in the order in which a search runs them.

    First those on the front of cost and accuracy, each on the scale of its most telling figure;
    then those on the front of the rest, and so on; at last those without any figure. Among equals,
    the next one is always that whose cost is farthest from all before it, on a logarithmic scale,
    so that a search that runs only some has them spread over the front.

    Args:
        stock: the MACs of the baseline, which has run before.
    """
    scales = dict.fromkeys(scale for c in candidates for scale in c.published)
    by_scale = {scale: _ranks(candidates, scale) for scale in scales}
    none = len(candidates)
    rank = [
        by_scale[scale][i] if (scale := next(iter(c.published), None)) else none
        for i, c in enumerate(candidates)
    ]
    return spread_out(rank, [c.macs for c in candidates], stock)


def _ranks(candidates: Sequence[Candidate], scale: Scale) -> dict[int, int]:
    """By index, the number of fronts before the one of each candidate that has a figure on a
    scale."""
    points = {
        i: (-c.macs, c.published[scale]) for i, c in enumerate(candidates) if scale in c.published
    }
    return dict(zip(points, ranks(list(points.values())), strict=True))
