"""A baseline from elsewhere: Ultralytics' YOLO11n, trained from scratch on the same data::

    python -m benchmarks.yolo11n --data FOLDER [--epochs 30] [--size 320] [--out runs/yolo11n]

Needs `pip install ultralytics` (licence AGPL-3.0); Sparrow itself does not use it. The benchmark
converts the data to YOLO's format, trains on the CPU with Ultralytics' default recipe, and scores
the best epoch's detections on the validation images as Sparrow scores its own. It prints AP,
AP_small, the AP of each class, and how long the training took.

A training that was interrupted resumes after its last epoch. One that has ended is only scored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from detectors.data.convert import convert
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.evaluate import Metrics, coco_metrics
from detectors.evaluation.results import Row
from searchspace.errors import InputError

MODEL = "yolo11n.yaml"
"""The architecture without weights; `yolo11n.pt` would be weights trained on COCO."""

LEAST_SCORE, IOU = 0.001, 0.7
"""The thresholds of score and NMS that Ultralytics validates with."""


def network(weights: Path | str) -> Any:
    """An Ultralytics model; raises `InputError` if the package is not installed."""
    try:
        from ultralytics import YOLO  # pyrefly: ignore[missing-import]
    except ImportError:
        raise InputError("pip install ultralytics") from None
    return YOLO(str(weights))


def trained(data: Path, out: Path, epochs: int, size: int) -> tuple[Any, float]:
    """The weights of the best epoch as a network, and the seconds that this call took."""
    weights, ended = out / "train/weights", out / "trained"
    start = time.perf_counter()
    if not ended.exists():
        if (weights / "last.pt").exists():
            network(weights / "last.pt").train(resume=True)
        else:
            network(MODEL).train(
                data=str(data / "data.yaml"),
                epochs=epochs,
                imgsz=size,
                device="cpu",
                pretrained=False,
                project=str(out.absolute()),
                name="train",
                exist_ok=True,
                plots=False,
            )
        ended.touch()
    return network(weights / "best.pt"), time.perf_counter() - start


def detected(model: Any, val: Dataset, size: int) -> Iterator[Row]:
    """The model's detections on the validation images, in COCO's result format."""
    ids = [category.id for category in val.categories]
    for image in val.images:
        [found] = model.predict(
            image.path,
            imgsz=size,
            conf=LEAST_SCORE,
            iou=IOU,
            max_det=100,
            device="cpu",
            verbose=False,
        )
        boxes = found.boxes
        for (x1, y1, x2, y2), score, label in zip(
            boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            yield {
                "image_id": image.id,
                "category_id": ids[int(label)],
                "bbox": box,
                "score": score,
            }


def table(metrics: Metrics, seconds: float) -> Table:
    made = Table("", "")
    for name in ("ap", "ap50", "ap_small"):
        made.add_row(name, f"{getattr(metrics, name) or 0:.3f}")
    for name, figures in metrics.classes.items():
        made.add_row(f"ap of {name}", f"{figures.ap or 0:.3f}")
    made.add_row("seconds of training in this call", f"{seconds:.0f}")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--out", type=Path, default=Path("runs/yolo11n"))
    given = parser.parse_args(arguments)
    train, val = read_source(DataSource.from_folder(given.data))
    data = given.out / "data"
    if not data.exists():
        convert(train, val, data, "yolo", link=False)
    model, seconds = trained(data, given.out, given.epochs, given.size)
    rows = list(detected(model, val, given.size))
    Console().print(table(coco_metrics(val, rows, bounded=False), seconds))


if __name__ == "__main__":
    main()
