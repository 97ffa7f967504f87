"""Detections kept and scored are one setting, which follows the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from detectors.data.dataset import Dataset
from detectors.detector import Detector
from detectors.evaluation.truth import MOST, detections_needed
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.run import run_trial
from launch.trial.stages import Stages
from launch.trial.store import Artefact, Store
from searchspace import TrialConfig, papers
from searchspace.heads import Postprocess
from searchspace.measuring import MeasureConfig

CPU = torch.device("cpu")
NOWHERE = Path("nowhere")


def crowded(split: Dataset, counts: dict[int, int]) -> Dataset:
    """The split with other numbers of objects on some of its images, by their place."""
    annotations = dict(split.annotations)
    for place, count in counts.items():
        image = split.images[place]
        item = split.annotations[image.id][0]
        items = (replace(item, id=10**6 * (place + 1) + n) for n in range(count))
        annotations[image.id] = tuple(items)
    return replace(split, annotations=annotations)


def test_the_number_follows_the_fullest_image_of_both_splits(shapes: TrialData) -> None:
    train, val = shapes.train, shapes.val
    assert detections_needed(train, val) == 100
    assert detections_needed(crowded(train, {0: 140}), val) == 140
    assert detections_needed(train, crowded(val, {1: 400})) == 400
    assert detections_needed(train, crowded(val, {1: 3 * MOST})) >= MOST
    many = crowded(val, dict.fromkeys(range(len(val.images)), 2 * MOST))
    counts = [len(s.annotations[i.id]) for s in (train, many) for i in s.images]
    assert detections_needed(train, many) >= np.percentile(counts, 99)
    regions = {k: tuple(replace(a, iscrowd=True) for a in v) for k, v in many.annotations.items()}
    assert detections_needed(replace(val, annotations=regions)) == 100


@pytest.mark.parametrize("name", ["ssdmnetv1", "yolox_tiny", "gfl_r50"])
def test_what_is_kept_follows_what_is_scored(name: str) -> None:
    config = papers[name].trial
    head = config.detector.head
    assert config.with_detections(100) is config
    dense = config.with_detections(400)
    post, before = dense.detector.head.postprocess, head.postprocess
    assert (post.detections, dense.measure.max_detections) == (400, 400)
    for limit in ("candidates", "level_candidates", "class_candidates"):
        old = getattr(before, limit)
        assert getattr(post, limit) == (None if old is None else max(old, 1600))
    assert dense.with_detections(400) == dense
    named = config.changed(measure=config.measure.changed(max_detections=250))
    assert named.with_detections(400).detector.head.postprocess.detections == 250
    assert named.with_detections(100).measure.max_detections == 250


def test_post_processing_that_keeps_more_is_left_as_it_is() -> None:
    paper = Postprocess(detections=200, candidates=None, class_candidates=400)
    assert paper.keeping(150) is paper
    assert paper.keeping(300) == paper.changed(detections=300, class_candidates=1200)


def test_fewer_than_cocos_hundred_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_detections"):
        MeasureConfig(max_detections=99)


class Keys(Store):
    """A store that runs nothing."""

    def artefact(self, stage: str, inputs: object) -> Artefact:
        found = super().artefact(stage, inputs)
        self.__dict__.setdefault("keys", {})[stage] = found.key
        raise LookupError(stage)


def evaluation_key(config: TrialConfig, data: TrialData) -> tuple[str, str]:
    """The names of the artefacts of an evaluation and a measurement of one detector."""
    store = Keys(NOWHERE)
    meter = LocalMeter(data, CPU, NOWHERE)
    stages = Stages(config.with_detections(data.detections), data, store, CPU, meter, None)
    for stage in (stages.evaluate, stages.measure):
        with pytest.raises(LookupError):
            stage(Artefact("train-0", NOWHERE))
    return store.keys["evaluate"], store.keys["measure"]


def test_old_keys_hold_where_the_number_is_cocos(tiny: TrialConfig, shapes: TrialData) -> None:
    explicit = tiny.changed(measure=tiny.measure.changed(max_detections=300))
    assert "max_detections" not in tiny.cause()["measure"]
    assert "metrics" not in tiny.cause()["measure"]
    usual, other = evaluation_key(tiny, shapes), evaluation_key(explicit, shapes)
    assert usual[0] != other[0]
    assert usual[1] == other[1]  # of the same detector


def test_a_trial_on_dense_data_keeps_and_scores_as_many_as_they_need(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    data = TrialData(shapes.train, crowded(shapes.val, {0: 130}))
    config = tiny.changed(compress=type(tiny.compress)())
    result = run_trial(config, data, tmp_path, CPU)
    assert result.config == config
    assert result.final.metrics.max_detections == 130
    saved = Detector.load(tmp_path / "dense")
    assert saved.config.head.postprocess.detections == 130
    assert run_trial(config, data, tmp_path, CPU) == result
