"""Detection in tiles beside sahi, the library for sliced inference: `pip install sahi`, then::

    python -m benchmarks.sliced [--side 512] [--input 256] [--threads 1] [--seconds 20]

Both cut a generated image of 2,048 x 2,048 pixels into the same tiles, and the same detector of the
space `quick`, trained for a few seconds, looks at them: one at a time for sahi, 16 at a time for
Sparrow, in PyTorch for both, and for Sparrow in the fastest runtime, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
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
"""Timed calls, of which the fastest counts."""

Row = tuple[float, int, list[float]]
"""Score, label and corners of a detection."""


class Sliced(DetectionModel):
    """A detector as sahi calls it: with one slice at a time."""

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
    """What sahi finds in the tiles of an image, best first."""
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
    """The value for the first image; for a whole image, sahi passes it without a list around it."""
    return given[0] if isinstance(given[0], list) else given


def trained(data: TrialData, side: int, size: int, seconds: float) -> Detector:
    """A detector that looks at tiles of a side, each placed on an input of a size."""
    variant = {SIZE: size, "detector.tiles.kind": "size", "detector.tiles.size.side": side}
    config = config_of(load_space("quick"), data.train.num_classes, variant)
    with cpu_time():
        return fitted(config, data, seconds)[1]


def times(cut: Detector, image: Path, threads: int) -> Table:
    """Seconds that an image takes."""
    tiles = cut.canvas.tiles
    assert isinstance(tiles, TileSize)
    plain = Detector(cut.config.changed(tiles=NoTiles())).eval()
    plain.load_state_dict(cut.state_dict())
    pixels = np.asarray(Image.open(image))
    torch.set_num_threads(threads)
    form = best(cut, CPU)
    deployed, theirs = deploy(cut, *form, CPU), Sliced(_model(plain))
    models = {"Sparrow, eager float32": _model(cut), f"Sparrow, {form}": _model(deployed)}
    calls: dict[str, Callable[[], object]] = {
        "sahi, eager float32": lambda: found_by_sahi(theirs, pixels, tiles),
        **{
            name: lambda model=model: model.detect([as_tensor(pixels)])
            for name, model in models.items()
        },
    }
    parts = len(tiles.windows(pixels.shape[:2]))
    table = Table("", "s", "times as fast", title=f"{parts} tiles, CPU threads: {threads}")
    first = 0.0
    for name, call in calls.items():
        taken = _seconds(call)
        first = first or taken
        table.add_row(name, f"{taken:.2f}", f"{first / taken:.1f}")
    return table


def _model(detector: Any) -> Model:
    return Model(Path(), detector, PLAIN, CPU, None)


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of some calls after a first one."""
    call()
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--input", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=Path("build/tiles"))
    given = parser.parse_args()
    data = TrialData.read(DataSource.from_folder(scenes(given.work, 3)))
    detector = trained(data, given.side, given.input, given.seconds)
    Console().print(times(detector, data.val.images[0].path, given.threads))


if __name__ == "__main__":
    main()
