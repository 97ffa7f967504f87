"""Input sizes, maps and priors for objects of given sizes."""

from __future__ import annotations

import itertools
import math

import numpy as np

from detectors.data.health import Boxes, proposed_priors
from detectors.detector import SMALL_AREA
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.geometry import Canvas
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors

SIZES = (128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
"""Input sizes that are considered."""

LEARNABLE, EASY = 8.0, 16.0
"""Pixels of the shorter side from which an object can be learned, and from which a larger input
gains little."""

ENOUGH = 14.0
"""Pixels of the shorter side up to which a larger input finds more in the same time of training,
and from which maps of a quarter of the input's size are not needed."""

SMALLEST = 0.1
"""The quantile of the shorter sides of small objects that has to be learnable."""

MOST_SIZES = 4
ENLARGED = 1.25
"""The most by which images are enlarged."""

FEWEST_SMALL = 10
"""With fewer small objects, the sizes of all objects count."""

PAPERS_CELLS = (1.25, 2.0, 2.8)

ALIKE = 0.2
"""Sizes of priors whose logarithms differ by less are not told apart."""


def smallest_share(boxes: Boxes) -> tuple[float, str]:
    """The shorter side of the objects that have to be learnable, as a share of the image's side,
    and whose that is in words."""
    shares = (boxes.sides / boxes.sizes[boxes.images][:, ::-1]).min(1)
    small = boxes.areas < SMALL_AREA
    if small.sum() >= FEWEST_SMALL:
        return float(np.quantile(shares[small], SMALLEST)), "nine of ten small objects have"
    return float(np.quantile(shares, SMALLEST)), "nine of ten objects have"


def input_sizes(boxes: Boxes, smallest: float) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """All input sizes at which objects of this share of a side can be learned and are not large
    yet, ascending, and a warning where there is none."""
    usable, enough = _usable(boxes), learnable_at(boxes)
    if not enough:
        words = (
            f"at {usable[-1]} px, the smallest objects have {usable[-1] * smallest:.2g} px, below "
            f"the {LEARNABLE:g} from which they can be learned: images of more pixels would show "
            "more of them"
        )
        return tuple(usable[-2:]), (words,)
    last = next((size for size in enough if size * smallest >= EASY), enough[-1])
    chosen = [size for size in enough if size <= last]
    if len(chosen) < 2:
        chosen = enough[:2]
    return tuple(chosen), ()


def learnable_at(boxes: Boxes) -> list[int]:
    """The input sizes at which the objects can be learned."""
    smallest, _ = smallest_share(boxes)
    return [size for size in _usable(boxes) if size * smallest >= LEARNABLE]


def _usable(boxes: Boxes) -> list[int]:
    """The input sizes that hardly enlarge the images."""
    return [size for size in SIZES if size <= longest_side(boxes) * ENLARGED] or [SIZES[0]]


def longest_side(boxes: Boxes) -> float:
    """The longer side of the images in the median."""
    return float(np.median(boxes.sizes.max(1)))


def enough_for(sizes: tuple[int, ...], smallest: float) -> int:
    """The first of ascending input sizes beyond which trainings should rather be longer."""
    return next((size for size in sizes if size * smallest >= ENOUGH), sizes[-1])


def picked(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """A few of several ascending sizes, evenly spread."""
    places = np.linspace(0, len(sizes) - 1, min(MOST_SIZES, len(sizes))).round().astype(int)
    return tuple(sizes[place] for place in places.tolist())


def maps_for(
    side: float, most: bool, lean: bool
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[str, ...], ...]]:
    """Eliminated strides and taps of MobileNetV1 for objects of a side in pixels.

    Args:
        most: offer two eliminated strides at once, too.
        lean: offer only the cheapest that finds them: an early tap costs less than a stride.
    """
    coarse, fine = ("layer11", "layer13"), ("layer5", "layer11", "layer13")
    if side >= 48:
        return ((),), (coarse,)
    if lean:
        return ((),), (fine,)
    strides: list[tuple[int, ...]] = [(), (6,), (4,)]
    if side < ENOUGH:
        strides += [(0,)]
    if side < EASY and most:
        strides += [(4, 6)]
    if side < ENOUGH and most:
        strides += [(0, 6)]
    return tuple(strides), (coarse, fine)


def priors_for(
    boxes: Boxes,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    taps: tuple[tuple[str, ...], ...],
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """The papers' sizes of priors and ratios, and those that fit the objects at the smallest and
    the largest input, on the coarsest and the finest maps."""
    cells = list(PAPERS_CELLS)
    ratios: dict[tuple[float, ...], None] = dict.fromkeys([(2.0, 3.0), (2.0,)])
    for size, (stride, tap) in itertools.product(
        (sizes[0], sizes[-1]), ((strides[0], taps[0]), (strides[-1], taps[-1]))
    ):
        backbone = MobileNetV1(eliminated_strides=stride, taps=tap)
        head = Multibox(priors=ScaledPriors())
        detector = DetectorConfig(input_size=size, width=0.25, backbone=backbone, head=head)
        corners = boxes.on(Canvas((size, size)))
        rule, _ = proposed_priors(corners, detector.levels(), detector.size)
        if all(abs(math.log(rule.cells / other)) > ALIKE for other in cells):
            cells.append(rule.cells)
        ratios[rule.ratios] = None
    return tuple(sorted(cells)), tuple(ratios)
