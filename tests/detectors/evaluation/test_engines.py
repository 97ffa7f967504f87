"""The fast library and COCO's own code give the same numbers."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from detectors.data.dataset import Dataset
from detectors.evaluate import Metrics, coco_metrics
from detectors.evaluation.coco import AGREEMENT, ENGINES, REFEREE, Tables, by_hotcoco
from detectors.evaluation.results import Results
from tests.detectors.scenes import KINDS, Scenes, noisy, perfect
from tests.shared import COCO_STATS, shared_data

CLOSE = 1e-9


def differences(one: Metrics, other: Metrics) -> list[str]:
    """The figures, also by class, that are not the same."""
    tables = [(one.model_dump(), other.model_dump())]
    tables += [(a, other.model_dump()["classes"][n]) for n, a in tables[0][0]["classes"].items()]
    return [
        f"{name}: {a[name]} and {b[name]}"
        for a, b in tables
        for name in a
        if name not in ("classes", "by_size", "own", "intervals")
        and not (
            a[name] is b[name] is None
            or (None not in (a[name], b[name]) and abs(a[name] - b[name]) <= CLOSE)
        )
    ]


@pytest.mark.parametrize("most", [100, 250])
@pytest.mark.parametrize("kind", KINDS)
def test_both_give_the_same_on_random_detections(kind: str, most: int) -> None:
    for seed in range(3):
        split, results = KINDS[kind].made(seed)
        tables = [engine(split, results, most) for engine in ENGINES.values()]
        for other in tables[1:]:
            assert np.abs(tables[0].precision - other.precision).max() <= CLOSE
            assert np.abs(tables[0].recall - other.recall).max() <= CLOSE
        if kind == "plain":
            assert 0.1 < tables[0].ap() < 0.9


@pytest.mark.parametrize("name", ["bccd", "coco_mini"])
def test_both_give_the_same_on_real_data(name: str) -> None:
    split = shared_data(name)[1]
    assert len(split.images) > 50
    for results in (noisy(split, 0), perfect(split)):
        metrics = [coco_metrics(split, results, engine=engine) for engine in ENGINES]
        assert differences(metrics[0], metrics[1]) == []
    assert metrics[0].ap == pytest.approx(1)
    assert differences(metrics[0], coco_metrics(split, [])) != []


@pytest.mark.parametrize("kind", ["plain", "crowds", "empty classes and gaps", "equal scores"])
def test_the_twelve_figures_are_those_that_pycocotools_sums_up(kind: str) -> None:
    split, results = KINDS[kind].made(5)
    truth = split.ground_truth()
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, truth.loadRes(list(results)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    metrics = coco_metrics(split, results)
    assert [-1 if (v := getattr(metrics, name)) is None else v for name in COCO_STATS] == list(
        run.stats
    )


@pytest.mark.parametrize(("name", "side"), [("tiny", 16), ("very_tiny", 8)])
def test_tiny_objects_are_those_of_a_range_of_areas(name: str, side: float) -> None:
    split, results = Scenes(sides=(3, 60), objects=20, detections=60).made(1)
    truth = split.ground_truth()
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, truth.loadRes(list(results)), "bbox")
        run.params.areaRng, run.params.areaRngLbl = [[0, side**2]], ["all"]
        run.evaluate()
        run.accumulate()
    metrics = coco_metrics(split, results)
    found = run.eval["precision"][:, :, :, 0, -1]
    assert getattr(metrics, f"ap_{name}") == pytest.approx(found[found > -1].mean())
    for index, scores in enumerate(metrics.classes.values()):
        mine = found[:, :, index]
        assert getattr(scores, f"ap_{name}") == pytest.approx(mine[mine > -1].mean())
    large = Scenes(sides=(20, 60)).made(1)[0]
    assert getattr(coco_metrics(large, perfect(large)), f"ap_{name}") is None


@pytest.mark.parametrize(
    ("engine", "objects", "share"),
    [
        ("hotcoco", 400, 0.0),
        pytest.param("hotcoco", 400, 0.1, marks=pytest.mark.slow),
        ("pycocotools", 130, 0.1),
    ],
)
def test_a_perfect_detector_scores_one_whatever_the_number_of_objects(
    engine: str, objects: int, share: float
) -> None:
    scenes = Scenes(1, 1, objects, detections=0, sides=(3, 6), crowds=share)
    split = scenes.made(0)[0]
    found = perfect(split)
    metrics = coco_metrics(split, found, engine=engine)
    assert metrics.max_detections == max(np.unique(found.images, return_counts=True)[1])
    for name in ("ap", "ap_small", "ap_tiny", "ar", "ar_small", "voc_map"):
        assert getattr(metrics, name) == pytest.approx(1), name
    assert coco_metrics(split, found, most=100, engine=engine).ar_small < 0.95


def test_detections_read_like_a_list_in_cocos_format() -> None:
    rows = list(KINDS["plain"].made(0)[1])
    results = Results.of(rows)
    assert (len(results), results[3], list(results[5:9])) == (len(rows), rows[3], rows[5:9])
    assert list(Results.joined([results[:7], results[7:]])) == rows
    assert list(results.at(results.scores > 0.5)) == [r for r in rows if r["score"] > 0.5]
    assert (len(Results.of([])), len(Results.joined([]))) == (0, 0)


def test_the_referee_is_cocos_own_code() -> None:
    assert REFEREE == "pycocotools"
    assert next(iter(ENGINES)) != REFEREE


def test_the_referee_confirms_or_contradicts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    split, found = KINDS["plain"].made(0)
    assert coco_metrics(split, found).referee <= AGREEMENT
    assert coco_metrics(split, found, bounded=False).referee is None
    assert not caplog.records

    def wrong(split: Dataset, results: Results, most: int) -> Tables:
        tables = by_hotcoco(split, results, most)
        return replace(tables, recall=tables.recall + 0.25)

    monkeypatch.setitem(ENGINES, "hotcoco", wrong)
    assert coco_metrics(split, found).referee == pytest.approx(0.25, abs=1e-9)
    assert "hotcoco and pycocotools differ by 0.25" in caplog.text
    assert coco_metrics(split, found, engine="pycocotools").referee == 0
    monkeypatch.setattr("detectors.evaluation.coco.REFEREED", 1)
    assert coco_metrics(split, found).referee == "too many images"
