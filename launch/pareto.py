"""Dominance, fronts and hypervolume of points whose every coordinate is to be maximised. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

K = TypeVar("K")

Point = Sequence[float]


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is at least as good as `b` in all coordinates, and better in one."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that none dominates, best in the first coordinate first.

    Of equal points the first counts.
    """
    order = sorted(range(len(points)), key=lambda i: tuple(points[i]), reverse=True)
    best: list[int] = []
    # In this order a point is dominated, or repeated, by earlier ones alone.
    for i in order:
        if not any(all(x >= y for x, y in zip(points[j], points[i], strict=True)) for j in best):
            best.append(i)
    return best


def enter(best: dict[K, Point], name: K, point: Point) -> bool:
    """Let a point join a front, and those that it dominates leave; returns whether it joined.

    Of equal points the first stays.

    Args:
        best: the front by names, which is changed.
    """
    if any(all(x >= y for x, y in zip(other, point, strict=True)) for other in best.values()):
        return False
    for other in [other for other, left in best.items() if dominates(point, left)]:
        del best[other]
    best[name] = point
    return True


def ranks(points: Sequence[Point]) -> list[int]:
    """Of each point, the number of fronts before its own, once those before are taken away."""
    found = [0] * len(points)
    left, rank = list(range(len(points))), 0
    while left:
        best = {left[k] for k in front([points[i] for i in left])}
        for i in best:
            found[i] = rank
        left, rank = [i for i in left if i not in best], rank + 1
    return found


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume between the front of points and a reference point; of one coordinate, a length.

    Points that are not above the reference in every coordinate do not count.

    Raises:
        ValueError: the reference has no coordinates, or a point another number.
    """
    if not reference or any(len(p) != len(reference) for p in points):
        raise ValueError("hypervolume: give points of as many coordinates as the reference's")
    above = [p for p in points if all(x > least for x, least in zip(p, reference, strict=True))]
    if len(reference) == 1:
        return max((x - reference[0] for (x,) in above), default=0.0)
    if len(reference) == 2:
        return _area(above, reference)
    if not above:
        return 0.0
    # Imported here: a search of one or two objectives does without.
    import numpy as np
    from moocore import hypervolume as volume

    return float(volume(np.asarray(above, dtype=float), ref=list(reference), maximise=True))


def _area(above: Sequence[Point], reference: Point) -> float:
    """`hypervolume` of points of two coordinates, all of which are above the reference."""
    area, height = 0.0, reference[1]
    for index in front(above):
        x, y = above[index]
        area += (x - reference[0]) * (y - height)
        height = y
    return area
