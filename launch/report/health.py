"""The page of a data set's health: `health.html` filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.data.dataset import Dataset
from detectors.data.health import (
    Health,
    alike_across,
    alike_within,
    boxes_of,
    doubled_boxes,
    oddities,
)
from detectors.data.health.figures import LIMITS, SIDES
from launch.report.templates import environment
from launch.report.thumbnails import alike_images, doubled_objects, smallest_objects
from searchspace.words import TIMES, counted, on_axes

PICTURES = 12
"""Pictures of a kind, at most; of pairs half as many."""

BARS = (640, 150)
"""Width and height of a histogram."""


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram, in its pixels."""

    x: float
    y: float
    width: float
    height: float
    count: int
    label: str


@dataclass(frozen=True)
class Histogram:
    """Bars, and what they count."""

    title: str
    bars: tuple[Bar, ...]


def health_page(train: Dataset, val: Dataset, health: Health, title: str) -> str:
    """The whole page as one HTML document, with pictures of what is odd."""
    boxes, copies = boxes_of(train), alike_within(train)
    pairs = PICTURES // 2
    return (
        environment()
        .get_template("health.html")
        .render(
            title=title,
            health=health,
            odd=oddities(health),
            splits=(("Training", health.train), ("Validation", health.val)),
            sizes=_sizes(health),
            fit=_fit(health),
            limits=LIMITS,
            bars=BARS,
            on_axes=on_axes,
            times=TIMES,
            smallest=list(smallest_objects(train, boxes, PICTURES)),
            doubled=list(doubled_objects(train, boxes, doubled_boxes(boxes), PICTURES)),
            leaks=list(alike_images(train, val, alike_across(train, val), pairs)),
            copies=list(alike_images(train, train, copies, pairs)),
        )
    )


def health_lines(health: Health) -> tuple[str, ...]:
    """A short summary for the terminal and a study's report, without what is odd."""
    lines = [
        f"{name}: {counted(split.images, 'image')} ({split.empty:,} without an object), "
        f"{counted(split.objects, 'object')} "
        f"({sum(c.small for c in split.classes.values()):,} small), {split.usual:g} on most images "
        f"and {split.most:,} at most"
        for name, split in (("training", health.train), ("validation", health.val))
    ]
    for at in health.inputs:
        below = ", ".join(
            f"{100 * share:.3g} % below {limit}"
            for limit, share in zip(LIMITS, at.below, strict=True)
        )
        lines.append(
            f"at an input of {on_axes(at.input_size)}: shorter side {at.side:.3g} px in the "
            f"median; {below} px"
        )
    if fit := health.fit:
        lines.append(
            f"priors ({fit.detector}): mean best IoU {fit.mean:.2f}, {100 * fit.unmatched:.0f} % "
            f"of objects below 0.5; with cells {fit.cells:g} and ratios "
            f"{', '.join(f'{ratio:g}' for ratio in fit.ratios)} it is {fit.proposed:.2f}"
        )
    return tuple(lines)


def _sizes(health: Health) -> list[Histogram]:
    """Objects by size, in the images and at each input."""
    labels = [f"< {SIDES[0]}", *(f"{side}" for side in SIDES)]
    given = [("In the images", health.train.sides)]
    given += [(f"At an input of {on_axes(at.input_size)}", at.sides) for at in health.inputs]
    return [_histogram(title, counts, labels) for title, counts in given]


def _fit(health: Health) -> Histogram | None:
    if health.fit is None:
        return None
    labels = [f"{k / 10:.1f}" for k in range(len(health.fit.histogram))]
    return _histogram("Objects by their best IoU with any prior", health.fit.histogram, labels)


def _histogram(title: str, counts: Sequence[int], labels: Sequence[str]) -> Histogram:
    width, height = BARS
    step, most = width / len(counts), max(*counts, 1)
    bars = []
    for number, (count, label) in enumerate(zip(counts, labels, strict=True)):
        tall = height * count / most
        bars.append(Bar(number * step, height - tall, step, tall, count, label))
    return Histogram(title, tuple(bars))
