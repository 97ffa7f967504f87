"""A trial with tiles: what it leaves to the data, and what its speed is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from detectors.data.records import Annotation
from detectors.detector import Detector
from detectors.timing.cost import Cost
from launch.files import DETECTOR
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.run import run_trial
from launch.trial.scoring import Scoring
from launch.trial.store import Artefact, Store
from searchspace import TrialConfig
from searchspace.measuring import MeasureConfig
from searchspace.tiles import FirstLook, Tiled, TileGrid
from tests.launch.report.studies import outcome

CPU = torch.device("cpu")
GRID = TileGrid(rows=2, columns=2, overlap=0)


def with_tiles(config: TrialConfig, tiles: Tiled) -> TrialConfig:
    return config.changed(detector=config.detector.changed(tiles=tiles))


def test_the_data_decide_the_size_of_timed_images(tiny: TrialConfig, shapes: TrialData) -> None:
    assert shapes.decide(tiny) == tiny.with_detections(shapes.detections)
    assert shapes.decide(with_tiles(tiny, GRID)).measure.image_size == (128, 128)
    sides = (100, 300, 200, 500, 400, 600, 700, 800)
    images = tuple(replace(i, width=s) for i, s in zip(shapes.val.images, sides, strict=True))
    mixed = TrialData(shapes.train, replace(shapes.val, images=images))
    assert mixed.image_size == (128, 500)
    own = with_tiles(tiny, GRID).changed(measure=MeasureConfig(image_size=(7, 8)))
    assert mixed.decide(own).measure.image_size == (7, 8)


def test_before_training_a_first_look_finds_the_tiles_with_objects(
    tiny: TrialConfig, shapes: TrialData
) -> None:
    first, *others = shapes.val.images
    one, two = (
        Annotation(k, first.id, shapes.val.categories[0].id, box, 64.0, False, None)
        for k, box in enumerate([(2, 2, 10, 10), (100, 10, 110, 20)], start=1)
    )
    annotations = {first.id: (one, two), **{image.id: () for image in others}}
    data = TrialData(shapes.train, replace(shapes.val, annotations=annotations))
    assert data.tiles_with_objects(GRID) == 2 / 8
    looking = with_tiles(tiny, GRID.changed(first_look=FirstLook()))
    assert data.decide(looking).measure.tiles == 2 / 8
    assert data.decide(with_tiles(tiny, GRID)).measure.tiles is None


def test_after_training_speed_is_that_of_the_tiles_that_are_looked_at(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    timed: list[MeasureConfig] = []

    class Meter(LocalMeter):
        def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
            timed.append(config)
            return outcome(0.1, 10.0).cost

    config = shapes.decide(with_tiles(tiny, GRID.changed(first_look=FirstLook(threshold=1e-6))))
    store = Store(tmp_path / "stages")
    meter = Meter(shapes, CPU, tmp_path / "speeds")
    scoring = Scoring(config, shapes, store, CPU, meter)
    torch.manual_seed(0)
    folder = tmp_path / "model"
    Detector(config.detector, shapes.classes).save(folder / DETECTOR)
    model = Artefact("key", folder)
    metrics = scoring.evaluate(model)
    assert metrics.inputs is not None
    assert 2 < metrics.inputs <= 5
    scoring.measure(model)
    assert timed[-1].tiles == metrics.inputs - 1
    assert timed[-1].image_size == (128, 128)


def test_a_trial_trains_scores_and_times_tiles(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    result = run_trial(with_tiles(tiny, GRID), shapes, tmp_path / "trial", device="cpu")
    for cost in (result.predicted, result.final.cost):
        assert (cost.image_size, cost.inputs) == ((128, 128), 4)
    assert result.final.metrics.ap_small is not None
    assert result.final.metrics.inputs is None
