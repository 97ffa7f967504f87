"""Draws from the named spaces can be built as declared, in any combination."""

from __future__ import annotations

import itertools

import optuna
import pytest
import torch
from pydantic import ValidationError

from detectors.detector import Detector
from detectors.dry_run import dry_run
from searchspace import DetectorConfig, load_space, space_names
from tests.fewer import few

BUILT = 12


def draws(name: str) -> list[DetectorConfig]:
    """Random detectors of a space, narrow ones, for small inputs."""
    small = load_space(name).fix("detector.input_size", 128).fix("detector.width", 0.125)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: list[DetectorConfig] = []
    for _ in itertools.takewhile(lambda _: len(found) < BUILT, range(10 * BUILT)):
        try:
            found.append(small.suggest(study.ask()).detector)
        except ValidationError:
            continue
    return found


@pytest.mark.parametrize("name", few(space_names(), "mobile", "papers", "quick", "tiles"))
def test_random_draws_are_built_as_declared(name: str) -> None:
    configs = draws(name)
    assert len(configs) == BUILT
    for config in configs:
        with torch.device("meta"):
            detector = Detector(config)
        outputs = dry_run(detector)
        real = [tuple(x.shape[1:]) for x in outputs.maps]
        assert real == [(level.channels, *level.size) for level in config.levels()]
        cells = [level.cells for level in config.levels()]
        boxes = [priors.boxes_per_cell for priors in config.priors()]
        count = sum(a * b for a, b in zip(cells, boxes, strict=True))
        assert outputs.predictions.boxes.shape[:3] == (1, count, 4)
