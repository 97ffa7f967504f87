"""Dominance, fronts and hypervolume of points whose every coordinate is to be maximised. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Point = Sequence[float]


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is at least as good as `b` in all coordinates, and better in one."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that none dominates, best in the first coordinate first.

    Of equal points the first counts.
    """
    best = [
        i
        for i, p in enumerate(points)
        if not any(dominates(q, p) for q in points)
        and not any(tuple(q) == tuple(p) for q in points[:i])
    ]
    return sorted(best, key=lambda i: tuple(points[i]), reverse=True)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area between the front of two-dimensional points and a reference point below them.

    Raises:
        ValueError: points of other than two coordinates.
    """
    if any(len(p) != 2 for p in (*points, reference)):
        raise ValueError("hypervolume: points of two coordinates")
    above = [p for p in points if p[0] > reference[0] and p[1] > reference[1]]
    area, height = 0.0, reference[1]
    for index in front(above):
        x, y = above[index]
        area += (x - reference[0]) * (y - height)
        height = y
    return area
