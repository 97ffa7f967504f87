"""How well the priors of a detector fit the objects, and priors that would fit them better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from searchspace.detector import DetectorConfig
from searchspace.geometry import Level, Size, both_axes
from searchspace.priors import LevelPriors, PriorRule, Ratios, ScaledPriors

MATCHED = 0.5
"""SSD's threshold: from this IoU on, a prior is trained on an object."""

CLUSTERS = 6
SAMPLE = 4000
"""Objects that clusters and proposals are made from, drawn at random where there are more."""

CELLS = tuple(np.arange(1.0, 5.01, 0.25).tolist())
"""Sizes of priors, in cells of their level, that a proposal is chosen from."""

LEAST_GAIN = 0.005
"""Mean IoU that further aspect ratios must gain: they cost predictions at every cell."""

PAPERS_RATIOS: tuple[Ratios, ...] = ((2.0,), (2.0, 3.0))

SQUARE = 1.25
"""Aspect ratio below which the square priors are as near."""

IOU_BINS = 10


class PriorFit(BaseModel):
    """How a detector's priors fit the training objects.

    Attributes:
        detector: in words.
        mean: mean over the objects of the best IoU with any prior.
        unmatched: share of the objects with no prior of an IoU of `MATCHED`: each of them is
            trained on a single prior.
        histogram: number of objects by best IoU, in bins of 0.1.
        clusters: width and height in pixels of the input of typical objects, smallest first, by
            k-means with the IoU of boxes of one centre.
        cells, ratios: the priors by one rule for all levels (`ScaledPriors`) that fit best, with
            aspect ratios of the papers or by k-means.
        proposed: mean best IoU with these.
    """

    model_config = ConfigDict(frozen=True)

    detector: str
    mean: float
    unmatched: float
    histogram: tuple[int, ...]
    clusters: tuple[tuple[float, float], ...]
    cells: float
    ratios: Ratios
    proposed: float


def fit_of_priors(corners: np.ndarray, detector: DetectorConfig) -> PriorFit | None:
    """The fit of a detector's priors; None without objects, and for heads without priors.

    Args:
        corners: [M, 4], the objects, xyxy in pixels of the detector's input.
    """
    priors, levels, size = detector.priors(), detector.levels(), detector.size
    boxed = [prior for prior in priors if isinstance(prior, LevelPriors)]
    if not len(corners) or len(boxed) < len(levels):
        return None
    best = best_iou(corners, boxed, levels, size)
    some = _sample(corners)
    rule, proposed = proposed_priors(some, levels, size)
    counts, _ = np.histogram(np.clip(best, 0, 1), bins=IOU_BINS, range=(0, 1))
    return PriorFit(
        detector=detector.in_words(),
        mean=float(best.mean()),
        unmatched=float((best < MATCHED).mean()),
        histogram=tuple(counts.tolist()),
        clusters=clusters(_sides(some), CLUSTERS),
        cells=rule.cells,
        ratios=rule.ratios,
        proposed=proposed,
    )


def best_iou(
    corners: np.ndarray, priors: Sequence[LevelPriors], levels: Sequence[Level], size: Size
) -> np.ndarray:
    """[M], the best IoU of each object [M, 4] (xyxy in pixels of the input) with any prior.

    Of all priors of one shape and level, the one whose centre is nearest along both axes has the
    largest IoU, so that only these are computed.
    """
    centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, _sides(corners)
    best = np.zeros(len(corners))
    for prior, level in zip(priors, levels, strict=True):
        step = np.array(both_axes(prior.step)[::-1])
        cells = np.array((level.width, level.height))
        nearest = (np.clip(np.floor(centres / step), 0, cells - 1) + 0.5) * step
        offset = np.abs(nearest - centres)
        shapes = np.minimum(_shapes(prior), size[::-1])[:, None]
        shared = np.minimum(np.minimum(sides, shapes), (sides + shapes) / 2 - offset)
        shared = np.maximum(shared, 0).prod(2)
        whole = sides.prod(1) + shapes.prod(2) - shared
        best = np.maximum(best, (shared / np.maximum(whole, 1e-12)).max(0))
    return best


def proposed_priors(
    corners: np.ndarray, levels: Sequence[Level], size: Size
) -> tuple[ScaledPriors, float]:
    """The rule for all levels whose priors fit objects best, and their mean best IoU.

    Args:
        corners: [M, 4], the objects, xyxy in pixels of the input; at least one.
    """
    some = _sample(corners)

    def mean(rule: PriorRule) -> float:
        return float(best_iou(some, rule.for_levels(tuple(levels), size), levels, size).mean())

    chosen, reached = ScaledPriors(), -LEAST_GAIN
    for ratios in sorted({*PAPERS_RATIOS, typical_ratios(_sides(some))}, key=len):
        rules = [ScaledPriors(cells=cells, ratios=ratios) for cells in CELLS]
        found, rule = max(((mean(rule), rule) for rule in rules), key=lambda pair: pair[0])
        if found >= reached + LEAST_GAIN:
            chosen, reached = rule, found
    return chosen, reached


def typical_ratios(sides: np.ndarray) -> Ratios:
    """One or two aspect ratios above 1 of objects [M, 2] that are not square, by k-means of their
    logarithms; the papers' 2 where all are."""
    logs = np.abs(np.log(sides[:, 0] / sides[:, 1]))
    logs = np.sort(logs[logs > np.log(SQUARE)])
    if not len(logs):
        return PAPERS_RATIOS[0]
    middles = np.quantile(logs, (0.25, 0.75))
    for _ in range(50):
        nearer = np.abs(logs[:, None] - middles).argmin(1)
        middles = np.array(
            [logs[nearer == k].mean() if (nearer == k).any() else middles[k] for k in range(2)]
        )
    rounded = {max(1.3, round(float(np.exp(middle)), 1)) for middle in middles}
    return tuple(sorted(rounded))


def clusters(sides: np.ndarray, count: int) -> tuple[tuple[float, float], ...]:
    """Typical widths and heights of objects [M, 2], smallest first: k-means with 1 - IoU of boxes
    of one centre as the distance (Redmon and Farhadi, YOLO9000, 2017, section 2)."""
    ordered = sides[np.argsort(sides.prod(1), kind="stable")]
    places = (np.arange(count) + 0.5) / count * len(ordered)
    middles = np.unique(ordered[places.astype(int)], axis=0)
    for _ in range(50):
        shared = np.minimum(sides[:, None], middles).prod(2)
        iou = shared / (sides.prod(1)[:, None] + middles.prod(1) - shared)
        owner = iou.argmax(1)
        moved = np.array(
            [
                np.median(sides[owner == k], axis=0) if (owner == k).any() else middles[k]
                for k in range(len(middles))
            ]
        )
        if np.allclose(moved, middles):
            break
        middles = moved
    middles = middles[np.argsort(middles.prod(1))].round(1)
    return tuple((float(w), float(h)) for w, h in middles)


def _shapes(prior: LevelPriors) -> np.ndarray:
    """[S, 2], width and height of the boxes of a cell; see `LevelPriors`."""
    small, middle = prior.min_size, float(np.sqrt(prior.min_size * prior.max_size))
    roots = [float(np.sqrt(ratio)) for ratio in prior.ratios]
    pairs = [(small * root, small / root) for root in roots]
    both = [shape for w, h in pairs for shape in ((w, h), (h, w))]
    return np.array([(small, small), (middle, middle), *both])


def _sides(corners: np.ndarray) -> np.ndarray:
    return corners[:, 2:] - corners[:, :2]


def _sample(corners: np.ndarray) -> np.ndarray:
    if len(corners) <= SAMPLE:
        return corners
    return corners[np.random.default_rng(0).choice(len(corners), SAMPLE, replace=False)]
