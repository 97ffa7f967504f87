"""Intervals are those of COCO's figures on resampled lists of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.data.dataset import Dataset
from detectors.evaluate import Metrics, coco_metrics
from detectors.evaluation.coco import AREAS, by_hotcoco
from detectors.evaluation.intervals import DRAWS, Interval, alike, drawn, precisions
from detectors.evaluation.matches import matches
from detectors.evaluation.results import Results
from tests.detectors.scenes import KINDS, Scenes, noisy, perfect

UNEQUAL = [kind for kind in KINDS if kind != "equal scores"]


def resampled(split: Dataset, results: Results, counts: np.ndarray) -> tuple[Dataset, Results]:
    """A list in which each image is there as often as `counts` says, under new ids."""
    places = np.repeat(np.arange(len(counts)), counts)
    images, annotations, parts, key = [], {}, [], 0
    for number, place in enumerate(places):
        image = split.images[place]
        images.append(replace(image, id=number))
        annotations[number] = tuple(
            replace(a, id=(key := key + 1), image_id=number) for a in split.annotations[image.id]
        )
        mine = results.at(results.images == image.id)
        parts.append(replace(mine, images=np.full(len(mine), number)))
    return replace(split, images=tuple(images), annotations=annotations), Results.joined(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_matches_add_up_to_cocos_figures(kind: str) -> None:
    for most in (100, 15):
        split, results = KINDS[kind].made(1)
        tables = by_hotcoco(split, results, most)
        found = matches(split, results, most, tuple(AREAS))
        once = np.ones((len(split.images), 1), dtype=np.int32)
        for size in AREAS:
            [ap] = precisions(found[size], once)
            expected = tables.ap(size)
            assert np.isnan(ap) if expected is None else ap == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", UNEQUAL)
def test_a_draw_has_the_figures_of_its_list_of_images(kind: str) -> None:
    split, results = KINDS[kind].made(2)
    found = matches(split, results, 100, ("all", "small"))
    weights = drawn(len(split.images), 12)
    assert (weights.sum(0) == len(split.images)).all()
    for size in found:
        values = precisions(found[size], weights)
        for draw, value in enumerate(values):
            tables = by_hotcoco(*resampled(split, results, weights[:, draw]), 100)
            expected = tables.ap(size)
            assert (
                np.isnan(value) if expected is None else value == pytest.approx(expected, abs=1e-12)
            )


def test_the_interval_of_a_figure_is_that_of_its_draws() -> None:
    split, results = Scenes(images=20).made(0)
    metrics = coco_metrics(split, results)
    assert set(metrics.intervals) == {"ap", "ap_small"}
    for name, size in {"ap": "all", "ap_small": "small"}.items():
        interval = metrics.intervals[name]
        values = precisions(matches(split, results, 100, (size,))[size], drawn(20))
        assert values.shape == (DRAWS,)
        ends = [interval.low, interval.high]
        assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)
        assert interval.low < getattr(metrics, name) < interval.high
        assert interval.values == pytest.approx(values, abs=1e-5)
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics
    assert coco_metrics(split, results) == metrics
    assert coco_metrics(split, results, bounded=False).intervals == {}
    assert coco_metrics(*Scenes(sides=(50, 90)).made(0)).intervals.keys() == {"ap"}


def test_more_images_make_it_narrower() -> None:
    widths = []
    for images in (10, 160):
        interval = coco_metrics(*Scenes(images=images).made(3)).intervals["ap"]
        widths.append(interval.high - interval.low)
    assert 2.5 < widths[0] / widths[1] < 6.5  # 4 is the root of the ratio


def test_detectors_are_compared_on_the_same_draws() -> None:
    split, _ = Scenes(images=30, objects=8).made(4)
    good, same, worse = noisy(split, 0), noisy(split, 1), noisy(split, 2)
    worse = worse.at(np.random.default_rng(0).random(len(worse)) < 0.5)
    found = [coco_metrics(split, r).intervals["ap"] for r in (good, same, worse)]
    assert alike([*found, None]) == [(0, 1)]
    assert alike([found[0], found[0]]) == [(0, 1)]
    # Their intervals overlap, as images are hard or easy for both; the difference is certain.
    slightly = good.at(np.random.default_rng(1).random(len(good)) < 0.9)
    other = coco_metrics(split, slightly).intervals["ap"]
    assert other.high > found[0].low
    assert other.differs(found[0])
    shorter = Interval.of(found[0].values[:500])
    assert shorter.differs(found[0]) is None
    sure = coco_metrics(split, perfect(split)).intervals["ap"]
    assert sure.low == pytest.approx(1)
