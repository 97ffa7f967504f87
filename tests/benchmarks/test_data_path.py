"""The benchmark of the data path makes what it compares."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from benchmarks.data_path import RECIPES, ours, rates, theirs
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from searchspace.geometry import Canvas


def test_both_ways_make_batches_of_the_same_kind(tmp_path: Path) -> None:
    folder = generate_shapes(tmp_path / "set", ShapesConfig(train_images=3, val_images=1, size=64))
    split, canvas = read_source(DataSource.from_folder(folder))[0], Canvas((32, 48))
    for augment in RECIPES.values():
        calls = {
            "theirs": theirs(split, augment, canvas, 4),
            "ours": ours(split, augment, canvas, 4, torch.device("cpu")),
        }
        for call in calls.values():
            assert (call(1).shape, call(1).dtype) == ((4, 3, 32, 48), torch.uint8)
    found = rates(calls, 4, rounds=2, clock=time.perf_counter)
    assert {name: len(values) for name, values in found.items()} == {"theirs": 2, "ours": 2}
    assert all(rate > 0 for values in found.values() for rate in values)
