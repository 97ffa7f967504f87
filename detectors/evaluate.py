"""COCO's metrics, computed by pycocotools, and those of Pascal VOC and TT100K."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from pycocotools.cocoeval import COCOeval
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.loader import evaluation_batches
from detectors.detector import SMALL_AREA, Detector
from detectors.quiet import computing
from detectors.runtimes import Deployed
from detectors.tt100k_metric import SizeMetrics, by_size
from detectors.voc_metric import VocPrecision, mean_precision, voc_precisions
from searchspace.errors import InputError

BATCH = 16

STATS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""pycocotools' summary, in its order."""


class ClassMetrics(BaseModel):
    """Average precision of one class; None if the split has no such object, or if an earlier
    version did not compute it.

    Attributes:
        voc_ap, voc_ap_07: Pascal VOC's, as the area and over 11 points.
    """

    model_config = ConfigDict(frozen=True)

    ap: float | None
    ap50: float | None
    ap_small: float | None
    ap75: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    voc_ap: float | None = None
    voc_ap_07: float | None = None


class Metrics(BaseModel):
    """Metrics as fractions, COCO's unless said otherwise; None if the split has no object of that
    size, or if an earlier version did not compute it.

    Attributes:
        ar: average recall with up to 100 detections of a class on an image, as the others; `ar_1`
            and `ar_10` with up to 1 and 10.
        voc_map, voc_map_07: Pascal VOC's mean average precision, as the area and over 11 points.
        by_size: TT100K's recall and accuracy by the longer side of objects in pixels.
        small_objects: number of ground-truth boxes that `ap_small` is computed from.
        classes: average precision by class name.
        own: figures that modules of users compute, by name.
    """

    model_config = ConfigDict(frozen=True)

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    ar_1: float | None = None
    ar_10: float | None = None
    voc_map: float | None = None
    voc_map_07: float | None = None
    small_objects: int
    classes: dict[str, ClassMetrics]
    by_size: dict[str, SizeMetrics] = {}
    own: dict[str, float | None] = {}

    @property
    def ar_100(self) -> float | None:
        """Average recall with up to 100 detections, which is `ar`."""
        return self.ar


def evaluate(detector: Detector | Deployed, split: Dataset, device: torch.device) -> Metrics:
    """COCO's metrics of a detector, deployed or not, on a split.

    Raises:
        ValueError: the classes of the split are not those of the detector.
    """
    return coco_metrics(split, detect_split(detector, split, device))


@torch.inference_mode()
def detect_split(
    detector: Detector | Deployed, split: Dataset, device: torch.device
) -> list[dict[str, Any]]:
    """All detections on a split in COCO's result format (boxes as x, y, width, height).

    A runtime compiles for a batch size, so a smaller last batch is padded.

    Raises:
        ValueError: the split has other classes than the detector was trained for.
    """
    _check_classes(detector, split)
    if isinstance(detector, Detector):
        detector.eval().to(device)
    size, results = min(BATCH, len(split.images)), []
    canvas = detector.config.canvas
    for records, images in evaluation_batches(split, canvas, size):
        images = torch.cat((images, images[:1].expand(size - len(records), -1, -1, -1)))
        with computing(device, "scoring a batch"):
            batch = images.to(device).float().div_(255)
            detections = detector.detect(batch.contiguous(memory_format=torch.channels_last))
        for index, record in enumerate(records):
            found = detections.of_image(index, record.width, record.height, canvas)
            results += _coco_rows(found, record, split)
    return results


def _check_classes(detector: Detector | Deployed, split: Dataset) -> None:
    """If a detector does not name its classes, only their number is compared."""
    names = tuple(category.name for category in split.categories)
    if detector.classes and detector.classes != names:
        raise InputError(
            f"the detector was trained for the classes {', '.join(detector.classes)}, but the data "
            f"have {', '.join(names)}: score it on data of the same classes in the same order"
        )
    if detector.config.num_classes != len(names):
        raise InputError(
            f"the detector was trained for {detector.config.num_classes} classes, but the data "
            f"have {len(names)} ({', '.join(names)}): score it on data of the same classes"
        )


def _coco_rows(
    found: dict[str, Tensor], record: ImageRecord, split: Dataset
) -> list[dict[str, Any]]:
    """One image's detections in COCO's result format."""
    rows = zip(*(found[k].tolist() for k in ("boxes", "labels", "scores")), strict=True)
    return [
        {
            "image_id": record.id,
            "category_id": split.category_of(label),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), label, score in rows
    ]


def coco_metrics(split: Dataset, results: list[dict[str, Any]]) -> Metrics:
    """The metrics of detections in COCO's result format."""
    truth = split.ground_truth()
    # COCO's range of small areas includes its upper end.
    small = sum(
        item.area <= SMALL_AREA and item.scored
        for items in split.annotations.values()
        for item in items
    )
    # pycocotools cannot load an empty list of results: no detection means zero recall.
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results) if results else _nothing(split)
        run = _Evaluation(truth, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    scores = {name: _defined(value) for name, value in zip(STATS, run.stats, strict=True)}
    voc = voc_precisions(split, results)
    classes = {
        category.name: _class_metrics(run.eval["precision"], run.params, index, voc[category.id])
        for index, category in enumerate(split.categories)
    }
    mean = mean_precision(tuple(voc.values()))
    others = {"voc_map": mean.area, "voc_map_07": mean.points, "by_size": by_size(split, results)}
    return Metrics.model_validate({**scores, **others, "small_objects": small, "classes": classes})


class _Evaluation(COCOeval):
    """COCO's evaluation, in which difficult objects are ignored."""

    def _prepare(self) -> None:
        super()._prepare()
        for objects in self._gts.values():
            for item in objects:
                item["ignore"] = item["ignore"] or item.get("difficult", 0)


def _class_metrics(
    precision: np.ndarray, params: Any, index: int, voc: VocPrecision
) -> ClassMetrics:
    """From precision[IoU, recall, class, area, detections], for the largest number of
    detections."""
    by_area = {label: precision[:, :, index, k, -1] for k, label in enumerate(params.areaRngLbl)}
    return ClassMetrics(
        ap=_mean(by_area["all"]),
        ap50=_mean(by_area["all"][0]),
        ap75=_mean(by_area["all"][5]),
        **{f"ap_{label}": _mean(by_area[label]) for label in ("small", "medium", "large")},
        voc_ap=voc.area,
        voc_ap_07=voc.points,
    )


def _mean(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _defined(value: float) -> float | None:
    return float(value) if value > -1 else None


def _nothing(split: Dataset) -> Any:
    empty = split.ground_truth()
    empty.dataset["annotations"] = []
    empty.createIndex()
    return empty
