"""What tiles gain and cost on images of 2,048 pixels: AP by object size, and FPS::

    python -m benchmarks.tiles [--seconds 60] [--scenes 24] [--filled 16] [--data FOLDER]
        [--only NAME]... [--work FOLDER]

Trains the detector of the space `quick` in several variants, such as whole images resized to 512
pixels or 4 x 4 tiles, then scores and times each on the validation scenes. All variants train for
the same time. Training and FPS are measured in CPU time on one core, so other programs may run
beside.

A scene is a mosaic of 4 x 4 smaller images: generated shapes, reduced so that most objects have 8
to 64 pixels, or crops of the images in `--data`. With `--filled 2`, only two of the 16 cells hold
an image, and the others are plain sky. For variants with a first look, further tables compare
thresholds of it, on the same weights: some that are given, and those that a search tries.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.auto_space import cpu_time
from benchmarks.equal_training import SIZE, config_of, fitted, with_variant
from benchmarks.tile_scenes import CELLS, scenes
from detectors.data.readers import DataSource
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from launch import Study
from launch.pareto import front
from launch.trial.data import TrialData
from launch.trial.meter import score
from searchspace import TrialConfig, load_space
from searchspace.tiles import FirstLook, NoFirstLook, Tiled

CPU = torch.device("cpu")

TIMING = tuple(f"detectors.timing.{name}" for name in ("blocks", "paired", "turns"))
"""The modules that measure FPS."""

SECONDS = 2.0
"""The most that is timed for each FPS."""

TILES = "detector.tiles"
THRESHOLD = f"{TILES}.grid.first_look.score.threshold"
FIRST_LOOK = {f"{TILES}.grid.first_look.kind": "score", THRESHOLD: 0.1}
OVERLAP = {f"{TILES}.grid.overlap": 0.1}

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Of a first look: a trained detector is scored and timed with each."""

LOOKS_FIRST = "4x4 tiles after a first look, 256 px"
"""The variant with a first look."""

PROPOSALS = 8
"""Trials of the search for a threshold."""

COLUMNS = ("parts", "AP", "AP_small", "AP_medium", "AP_large", "FPS", "MB", "front")


def _grid(count: int, **more: Any) -> dict[str, Any]:
    given = {f"{TILES}.grid.{name}": value for name, value in more.items()}
    both = {f"{TILES}.grid.rows": count, f"{TILES}.grid.columns": count}
    return {f"{TILES}.kind": "grid", **both, **OVERLAP, **given}


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "whole, 256 px": {SIZE: 256},
    "whole, 512 px": {SIZE: 512},
    "whole, 1024 px": {SIZE: 1024},
    "2x2 tiles, 256 px": {SIZE: 256, **_grid(2)},
    "2x2 tiles, 512 px": {SIZE: 512, **_grid(2)},
    "4x4 tiles, 256 px": {SIZE: 256, **_grid(4)},
    LOOKS_FIRST: {SIZE: 256, **_grid(4), **FIRST_LOOK},
    "4x4 tiles and whole, 256 px": {SIZE: 256, **_grid(4, whole=True)},
}


class Result(NamedTuple):
    """What a detector finds on the validation scenes, and its FPS."""

    name: str
    metrics: Metrics
    cost: Cost

    @property
    def point(self) -> tuple[float, float]:
        """AP_small and FPS."""
        return self.metrics.ap_small or 0.0, self.cost.fps


def table_of(results: Sequence[Result], title: str = "") -> Table:
    """A row for each result. A star marks the front of AP_small and FPS."""
    table, best = Table("", *COLUMNS, title=title), front([result.point for result in results])
    for place, (name, metrics, cost) in enumerate(results):
        by_size = (metrics.ap, metrics.ap_small, metrics.ap_medium, metrics.ap_large)
        scores = (f"{value or 0:.3f}" for value in by_size)
        megabytes = cost.memory.megabytes if cost.memory else None
        memory = "" if megabytes is None else f"{megabytes:.0f}"
        mark = "*" if place in best else ""
        table.add_row(name, f"{cost.inputs:.3g}", *scores, f"{cost.fps:.3g}", memory, mark)
    return table


def result_of(name: str, detector: Detector, config: TrialConfig, data: TrialData) -> Result:
    """Score and time a detector. With a first look, it is timed with the mean number of tiles that
    it looked at in a validation scene."""
    metrics = score(detector, data.val, CPU, bounded=False)
    form = config.measure.changed(seconds=SECONDS)
    if metrics.inputs is not None:
        form = form.changed(tiles=metrics.inputs - 1)
    with cpu_time(*TIMING):
        return Result(name, metrics, measure(Detector(detector.config), form, CPU))


def with_threshold(detector: Detector, threshold: float | None) -> Detector:
    """The same weights with another threshold of the first look, or, without a threshold, on the
    whole image and all tiles."""
    tiles = detector.canvas.tiles
    assert isinstance(tiles, Tiled)
    look = NoFirstLook() if threshold is None else FirstLook(threshold=threshold)
    changed = tiles.changed(first_look=look, whole=True)
    other = Detector(detector.config.changed(tiles=changed), detector.classes)
    other.load_state_dict(detector.state_dict())
    return other.eval()


def by_threshold(detector: Detector, config: TrialConfig, data: TrialData) -> Iterator[Result]:
    """A trained detector without a first look, and with one at several thresholds."""
    yield result_of("all tiles and whole", with_threshold(detector, None), config, data)
    for threshold in THRESHOLDS:
        other = with_threshold(detector, threshold)
        yield result_of(f"threshold {threshold:g}", other, config, data)


def searched(
    detector: Detector, config: TrialConfig, data: TrialData, folder: Path
) -> list[Result]:
    """The trials of a search over the threshold alone; the weights stay as they are."""
    variant = VARIANTS[LOOKS_FIRST]
    given = {path: value for path, value in variant.items() if path != THRESHOLD}
    space = with_variant(load_space("quick"), config.detector.num_classes, given)
    for path, value in space.to_params(space.baseline()).items():
        if path != THRESHOLD:
            space = space.fix(path, value)
    results = []
    study = Study.create(folder, space, trials=PROPOSALS, papers=False, seed=0)
    while (trial := study.ask()) is not None:
        tiles = trial.config.detector.canvas.tiles
        assert tiles is not None
        other = with_threshold(detector, tiles.threshold)
        found = result_of(f"threshold {tiles.threshold:.3g}", other, config, data)
        results.append(found)
        small, fps = found.point
        study.tell(trial, {"ap_small": small, "fps": fps})
    return results


def run(data: TrialData, seconds: float, names: Sequence[str], work: Path) -> Iterator[Table]:
    """A table of the variants after equal training, then those about thresholds of a first look."""
    space, results, further = load_space("quick"), [], []
    for name in names:
        config = config_of(space, data.train.num_classes, VARIANTS[name])
        config = data.decide(config.changed(train=config.train.changed(batch_size=8)))
        with cpu_time():
            epochs, detector = fitted(config, data, seconds)
        results.append(result_of(f"{name}, {epochs} epochs", detector, config, data))
        tiles = detector.canvas.tiles
        if tiles is not None and tiles.threshold is not None:
            further.append((name, detector, config))
    yield table_of(results, f"{seconds:g} s of training each")
    for name, detector, config in further:
        yield table_of([*by_threshold(detector, config, data)], name)
        folder = work / f"search-{len(list(work.glob('search-*')))}"
        yield table_of(searched(detector, config, data, folder), "the thresholds of a search")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--filled", type=int, default=CELLS**2)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", action="append", choices=VARIANTS, metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("build/tiles"))
    given = parser.parse_args()
    folder = scenes(given.work, given.scenes, given.filled, given.data)
    data = TrialData.read(DataSource.from_folder(folder))
    for table in run(data, given.seconds, given.only or list(VARIANTS), given.work):
        Console().print(table)


if __name__ == "__main__":
    main()
