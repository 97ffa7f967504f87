"""A trial with tiles: what it leaves to the data, and what its speed is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from detectors.data.records import Annotation
from detectors.detector import Detector
from detectors.timing.cost import Cost
from launch.files import DETECTOR
from launch.study.opening import open_study
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.run import run_trial
from launch.trial.scoring import Scoring
from launch.trial.store import Artefact, Store
from searchspace import Space, TrialConfig
from searchspace.measuring import MeasureConfig
from searchspace.tiles import FirstLook, Tiled, TileGrid
from tests.launch.made_up import result, settings_for
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


def test_the_gate_closes_for_a_grid_that_cannot_reach_the_front(
    tiny: TrialConfig, shapes: TrialData, space: Space, tmp_path: Path
) -> None:
    """Before training, FPS is that of whole images: a grid has as many inputs to pay for."""
    store, meter = Store(tmp_path / "stages"), LocalMeter(shapes, CPU, tmp_path / "speeds")
    grid = GRID.changed(rows=4, columns=4)
    whole, cut = (
        Scoring(shapes.decide(config), shapes, store, CPU, meter).predict()
        for config in (tiny, with_tiles(tiny, grid))
    )
    assert (whole.inputs, cut.inputs, cut.image_size) == (1, 16, (128, 128))
    assert cut.macs == 16 * whole.macs
    assert cut.fps < whole.fps / 3
    assert cut.memory.megabytes >= 0
    settings = settings_for(space, trials=20, papers=False, gate=True)
    with open_study(tmp_path / "study", settings) as study:
        for _ in range(10):
            record = study.propose()
            assert study.note_prediction(record.number, whole, seconds=1)
            study.end(record.number, result(record, 0.3, whole.fps, whole.params))
        record = study.propose()
        assert not study.note_prediction(record.number, cut, seconds=1)
        assert study.records[record.number].state == "gated"
        assert "is dominated by the front" in study.records[record.number].reason
        other = study.propose()
        assert study.note_prediction(other.number, whole, seconds=1)
