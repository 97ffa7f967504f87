"""How long an image takes in tiles, beside sahi, the library for sliced inference. Needs
`pip install sahi`::

    python -m benchmarks.sliced [--side 512] [--input 256] [--threads 1] [--seconds 20]

Both cut a generated image of 2,048 x 2,048 pixels into the same tiles and run the same detector on
them: that of the space `quick`, trained for a few seconds. sahi passes the detector one tile at a
time, Sparrow passes it batches. Sparrow is timed twice: in PyTorch, as sahi is, and in the fastest
runtime that is installed. All are timed in turns, and the table has medians and ranges. With one
thread, that is CPU time, so other programs may run beside.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction
from torch import Tensor

from benchmarks.auto_space import cpu_time
from benchmarks.equal_training import SIZE, config_of, fitted
from benchmarks.tile_scenes import scenes
from detectors.data.readers import DataSource
from detectors.detector import Detector
from detectors.models import PLAIN, Model
from detectors.runtimes import deploy
from detectors.runtimes.choosing import best
from launch.trial.data import TrialData
from searchspace import load_space
from searchspace.tiles import NoTiles, TileSize

CPU = torch.device("cpu")

CALLS = 5
"""Timed calls of each, after one that is not timed."""

Row = tuple[float, int, list[float]]
"""Score, label and corners of a detection."""


class Sliced(DetectionModel):
    """A detector wrapped for sahi, which calls it with one slice at a time."""

    def __init__(self, model: Model) -> None:
        self.own = model
        super().__init__(confidence_threshold=0.0, load_at_init=False)

    def perform_inference(self, image: np.ndarray) -> None:
        self._original_predictions = self.own.detect([as_tensor(image)])

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        [found] = self._original_predictions
        columns = (found[name].tolist() for name in ("boxes", "labels", "scores"))
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=box,
                    category_id=label,
                    category_name=str(label),
                    score=score,
                    shift_amount=_of_first(shift_amount_list),
                    full_shape=_of_first(full_shape_list),
                )
                for box, label, score in zip(*columns, strict=True)
            ]
        ]


def found_by_sahi(model: Sliced, image: np.ndarray, tiles: TileSize) -> list[Row]:
    """sahi's merged detections on an image in tiles, best first."""
    height, width = tiles.tile(image.shape[:2])
    result = get_sliced_prediction(
        image,
        model,
        slice_height=height,
        slice_width=width,
        overlap_height_ratio=tiles.overlap,
        overlap_width_ratio=tiles.overlap,
        perform_standard_pred=tiles.whole,
        postprocess_type="NMS",
        postprocess_match_metric="IOU" if tiles.merge.by == "nms" else "IOS",
        postprocess_match_threshold=tiles.merge.threshold,
        postprocess_class_agnostic=not tiles.merge.per_class,
        verbose=0,
    )
    rows = (
        (one.score.value, one.category.id, one.bbox.to_xyxy())
        for one in result.object_prediction_list
    )
    return sorted(rows, reverse=True)


def as_tensor(image: np.ndarray) -> Tensor:
    """An image, uint8 [H, W, 3], as uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _of_first(given: Any) -> Any:
    """The value for the first image: sahi passes a list for slices and a bare value otherwise."""
    return given[0] if isinstance(given[0], list) else given


def trained(data: TrialData, side: int, size: int, seconds: float, work: Path) -> Detector:
    """A detector for tiles of a side, each resized to an input of a size; one that an earlier call
    has trained is loaded from the folder."""
    saved = work / f"sliced-{side}-{size}-{seconds:g}"
    if not saved.exists():
        variant = {SIZE: size, "detector.tiles.kind": "size", "detector.tiles.size.side": side}
        config = config_of(load_space("quick"), data.train.num_classes, variant)
        with cpu_time():
            fitted(config, data, seconds)[1].save(saved)
    return Detector.load(saved)


def times(cut: Detector, image: Path, threads: int) -> Table:
    """Seconds that an image takes: median and range."""
    tiles = cut.canvas.tiles
    assert isinstance(tiles, TileSize)
    plain = Detector(cut.config.changed(tiles=NoTiles())).eval()
    plain.load_state_dict(cut.state_dict())
    pixels = np.asarray(Image.open(image))
    torch.set_num_threads(threads)
    form = best(cut, CPU)
    theirs, ours, deployed = Sliced(_model(plain)), _model(cut), _model(deploy(cut, *form, CPU))
    calls: Mapping[str, Callable[[], object]] = {
        "sahi, eager float32": lambda: found_by_sahi(theirs, pixels, tiles),
        "Sparrow, eager float32": lambda: ours.detect([as_tensor(pixels)]),
        f"Sparrow, {form}": lambda: deployed.detect([as_tensor(pixels)]),
    }
    parts = len(tiles.windows(pixels.shape[:2]))
    what = "CPU seconds" if threads == 1 else "seconds"
    table = Table("", what, "times as fast", title=f"{parts} tiles, CPU threads: {threads}")
    taken = in_turns(calls, time.process_time if threads == 1 else time.perf_counter)
    first = statistics.median(next(iter(taken.values())))
    for name, own in taken.items():
        median, low, high = statistics.median(own), min(own), max(own)
        table.add_row(name, f"{median:.3f} ({low:.3f} to {high:.3f})", f"{first / median:.1f}")
    return table


def in_turns(
    calls: Mapping[str, Callable[[], object]], now: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each call in `CALLS` rounds by a clock, after a round that is not timed."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1 + CALLS):
        for name, call in calls.items():
            start = now()
            call()
            if number:
                taken[name].append(now() - start)
    return taken


def _model(detector: Any) -> Model:
    return Model(Path(), detector, PLAIN, CPU, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--input", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=Path("build/tiles"))
    given = parser.parse_args()
    data = TrialData.read(DataSource.from_folder(scenes(given.work, 3)))
    detector = trained(data, given.side, given.input, given.seconds, given.work)
    Console().print(times(detector, data.val.images[0].path, given.threads))


if __name__ == "__main__":
    main()
