"""A detector's detections on a split, and COCO's metrics of them, Pascal VOC's and TT100K's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.loader import evaluation_batches
from detectors.data.node_cache import NO_CACHE, NodeCache
from detectors.detector import SMALL_AREA, Detector
from detectors.evaluation.coco import ENGINES, SIZES, Tables, refereed
from detectors.evaluation.intervals import Interval, intervals
from detectors.evaluation.matches import Matches, matches
from detectors.evaluation.results import Results, Row
from detectors.evaluation.truth import detections_needed
from detectors.matching.objects import to_device
from detectors.postprocess import Detecting, Detections
from detectors.quiet import computing
from detectors.tiling import BATCH, Look, looks_at, planned
from detectors.tt100k_metric import SizeMetrics, by_size
from detectors.voc_metric import MOST as VOC_MOST
from detectors.voc_metric import VocPrecision, mean_precision, voc_precisions
from searchspace.errors import InputError
from searchspace.geometry import Canvas
from searchspace.measuring import COCO_DETECTIONS

BOUNDED = {"ap": "all", "ap_small": "small"}
"""The figures that have an interval, with the size of their objects."""


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
    ap_tiny: float | None = None
    ap_very_tiny: float | None = None
    voc_ap: float | None = None
    voc_ap_07: float | None = None


class Metrics(BaseModel):
    """Metrics as fractions, COCO's unless said otherwise; None if the split has no object of that
    size, or if an earlier version did not compute it.

    Attributes:
        max_detections: detections of a class on an image that are scored, 100 in COCO; also the
            most of an image for VOC's metric, where they are more than its 200.
        ap_tiny, ap_very_tiny: of objects of up to 16x16 and 8x8 pixels, as `ap_small` is of those
            of up to 32x32.
        ar: average recall; `ar_1` and `ar_10` with up to 1 and 10 detections.
        voc_map, voc_map_07: Pascal VOC's mean average precision, as the area and over 11 points.
        intervals: of the figures of `BOUNDED` over the images, by name.
        by_size: TT100K's recall and accuracy by the longer side of objects in pixels.
        small_objects: number of ground-truth boxes that `ap_small` is computed from; None where
            it was computed elsewhere.
        classes: average precision by class name.
        referee: the largest difference of COCO's tables from those of pycocotools; "too many
            images" where that was not computed, None for what has no intervals either.
        inputs: the mean number of inputs that an image had, after a first look at it; None where
            all images of a size have as many.
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
    ap_tiny: float | None = None
    ap_very_tiny: float | None = None
    max_detections: int = COCO_DETECTIONS
    voc_map: float | None = None
    voc_map_07: float | None = None
    small_objects: int | None
    classes: dict[str, ClassMetrics]
    by_size: dict[str, SizeMetrics] = {}
    referee: float | Literal["too many images"] | None = None
    inputs: float | None = None
    own: dict[str, float | None] = {}
    intervals: dict[str, Interval] = {}

    @property
    def ar_100(self) -> float | None:
        """Average recall with up to `max_detections`, which is `ar`."""
        return self.ar


def evaluate(
    detector: Detecting, split: Dataset, device: torch.device, most: int | None = None
) -> Metrics:
    """COCO's metrics of a detector in any form on a split; see `coco_metrics`.

    Raises:
        ValueError: the classes of the split are not those of the detector.
    """
    return coco_metrics(split, detect_split(detector, split, device), most)


def detect_split(
    detector: Detecting,
    split: Dataset,
    device: torch.device,
    cache: NodeCache = NO_CACHE,
) -> Results:
    """All detections on a split, image by image; those of tiles are merged. See `look_at_split`."""
    return look_at_split(detector, split, device, cache)[0]


@torch.inference_mode()
def look_at_split(
    detector: Detecting,
    split: Dataset,
    device: torch.device,
    cache: NodeCache = NO_CACHE,
) -> tuple[Results, float]:
    """All detections on a split, and the mean number of inputs that an image had.

    A runtime compiles for a batch size, so a smaller last batch is padded.

    Args:
        cache: keeps the images for further evaluations of the split.

    Raises:
        ValueError: the split has other classes than the detector was trained for.
    """
    check_classes(detector, split)
    if isinstance(detector, Detector):
        detector.eval().to(device)
    size = min(BATCH, len(looks_at(split.sizes, detector.canvas)))

    def run(canvas: Canvas, looks: Sequence[Look]) -> Iterator[Detections]:
        for records, images in evaluation_batches(split, canvas, size, cache, looks):
            images = torch.cat((images, images[:1].expand(size - len(records), -1, -1, -1)))
            with computing(device, "scoring a batch"):
                inputs = to_device(images, device).float().div_(255)
                found = detector.detect(inputs.contiguous(memory_format=torch.channels_last))
                # Tiles are merged on the device.
                found = found.cpu() if detector.canvas.tiles is None else found
            yield found.rows(0, len(records))

    plan = planned(run, split.sizes, detector.canvas)
    categories = np.array([0, *(category.id for category in split.categories)], dtype=np.int64)
    in_images = zip(split.images, plan.found(run), strict=True)
    parts = [results_of(one, record.id, categories) for record, one in in_images]
    return Results.joined(parts), plan.inputs


def check_classes(detector: Detecting, split: Dataset) -> None:
    """If a detector does not name its classes, only their number is compared."""
    names = tuple(category.name for category in split.categories)
    if detector.classes and detector.classes != names:
        raise InputError(
            f"the detector was trained for the classes {', '.join(detector.classes)}, but the data "
            f"have {', '.join(names)}: score it on data of the same classes in the same order"
        )
    if detector.num_classes != len(names):
        raise InputError(
            f"the detector was trained for {detector.num_classes} classes, but the data "
            f"have {len(names)} ({', '.join(names)}): score it on data of the same classes"
        )


def results_of(found: dict[str, Tensor], image_id: int, categories: np.ndarray) -> Results:
    """One image's detections.

    Args:
        categories: [1 + K], ids by label.
    """
    corners = found["boxes"].cpu().double().numpy()
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    scores = found["scores"].cpu().double().numpy()
    images = np.full(len(scores), image_id, dtype=np.int64)
    return Results(images, categories[found["labels"].cpu().numpy()], boxes, scores)


def coco_metrics(
    split: Dataset,
    results: Sequence[Row],
    most: int | None = None,
    engine: str = "hotcoco",
    bounded: bool = True,
    found: Mapping[str, Matches] | None = None,
) -> Metrics:
    """The metrics of detections.

    Args:
        results: in COCO's result format.
        most: detections of a class on an image that are scored; by default as many as
            `detections_needed` says for the split.
        engine: what computes COCO's figures, of `ENGINES`.
        bounded: with intervals of `BOUNDED`, which take as long again as the figures or longer, and
            compared with the referee's, see `refereed`.
        found: the matches of these detections that the intervals are computed from, if they are
            known already, see `bounding_matches`.
    """
    results, most = Results.of(results), most or detections_needed(split)
    tables = ENGINES[engine](split, results, most)
    voc = voc_precisions(split, results, max(VOC_MOST, most))
    classes = {
        category.name: _class_metrics(tables, label, voc[category.id])
        for label, category in enumerate(split.categories)
    }
    mean = mean_precision(tuple(voc.values()))
    others: dict[str, Any] = {
        "voc_map": mean.area,
        "voc_map_07": mean.points,
        "by_size": by_size(split, results),
        "small_objects": _small_objects(split),
        "classes": classes,
        "max_detections": most,
    }
    if bounded:
        found = found or bounding_matches(split, results, most)
        others["intervals"] = intervals({name: found[size] for name, size in BOUNDED.items()})
        difference = refereed(split, results, most, engine, tables)
        others["referee"] = "too many images" if difference is None else difference
    return Metrics.model_validate({**coco_figures(tables), **others})


def bounding_matches(split: Dataset, results: Results, most: int) -> dict[str, Matches]:
    """By the size of the objects, the matches that the intervals of `BOUNDED` are computed from."""
    return matches(split, results, most, tuple(BOUNDED.values()))


def coco_figures(tables: Tables) -> dict[str, float | None]:
    """COCO's twelve figures, and AP of tiny objects, by name."""
    return {
        "ap": tables.ap(),
        "ap50": tables.ap(iou=0),
        "ap75": tables.ap(iou=5),
        **{f"ap_{size}": tables.ap(size) for size in SIZES},
        "ar_1": tables.ar(most=0),
        "ar_10": tables.ar(most=1),
        "ar": tables.ar(),
        **{f"ar_{size}": tables.ar(size) for size in ("small", "medium", "large")},
    }


def _class_metrics(tables: Tables, label: int, voc: VocPrecision) -> ClassMetrics:
    return ClassMetrics(
        ap=tables.ap(label=label),
        ap50=tables.ap(iou=0, label=label),
        ap75=tables.ap(iou=5, label=label),
        **{f"ap_{size}": tables.ap(size, label=label) for size in SIZES},
        voc_ap=voc.area,
        voc_ap_07=voc.points,
    )


def _small_objects(split: Dataset) -> int:
    """COCO's range of small areas includes its upper end."""
    return sum(
        item.area <= SMALL_AREA and item.scored
        for items in split.annotations.values()
        for item in items
    )
