"""All that an evaluation says of a model on a split, from one set of detections."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from detectors.data.dataset import Dataset
from detectors.evaluate import Metrics, bounding_matches, coco_metrics
from detectors.evaluation.confusion import confusion
from detectors.evaluation.curves import POINTS, curves, thresholds
from detectors.evaluation.errors_by_kind import Errors, errors_by_kind
from detectors.evaluation.judged import Judged
from detectors.evaluation.matches import matches
from detectors.evaluation.results import Results, Row
from detectors.evaluation.truth import detections_needed
from detectors.thresholds import Thresholds


def judged_on(split: Dataset, results: Sequence[Row]) -> Judged:
    """Detections of a model on a split, each with what it takes."""
    rows = Results.of(results)
    found = matches(split, rows, detections_needed(split), ("all",))
    return Judged.of(split, rows, found["all"])


def scored_on(split: Dataset, results: Sequence[Row]) -> tuple[Metrics, Judged]:
    """The metrics of a model's detections on a split, and each detection with what it takes: both
    from one set of matches."""
    rows, most = Results.of(results), detections_needed(split)
    found = bounding_matches(split, rows, most)
    return coco_metrics(split, rows, most, found=found), Judged.of(split, rows, found["all"])


class ClassCurves(BaseModel):
    """The curves of a class at IoU 0.5, at equal steps from 0 to 1.

    Attributes:
        objects: their number.
        precision: by recall, the best there or at a higher one.
        f1: by score.
    """

    model_config = ConfigDict(frozen=True)

    objects: int
    precision: list[float]
    f1: list[float]


def curves_by_class(judged: Judged) -> dict[str, ClassCurves]:
    """The curves of all classes as they are stored, by name."""
    return {
        curve.name: ClassCurves(
            objects=curve.objects, precision=curve.by_recall(), f1=curve.by_score()
        )
        for curve in curves(judged)
    }


class Evaluation(BaseModel):
    """What a model finds on a split, compared with what there is.

    Attributes:
        thresholds: chosen on these images.
        confusion: numbers of objects by class (rows) and detected class (columns) at these
            thresholds; the last row and column are background.
        curves: by class.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    objects: int
    metrics: Metrics
    errors: Errors
    thresholds: Thresholds
    confusion: list[list[int]]
    curves: dict[str, ClassCurves]

    @classmethod
    def of(
        cls, split: Dataset, results: Sequence[Row], least_precision: float | None = None
    ) -> Evaluation:
        """Args:
        least_precision: see `thresholds`.
        """
        metrics, judged = scored_on(split, results)
        chosen = thresholds(judged, least_precision)
        shown = judged.above(chosen.scores().numpy())
        return cls(
            images=judged.count,
            objects=len(judged.item_labels),
            metrics=metrics,
            errors=errors_by_kind(judged),
            thresholds=chosen,
            confusion=confusion(shown).tolist(),
            curves=curves_by_class(judged),
        )

    def curves_csv(self) -> str:
        """The curves as a table: class, step (recall, and score), precision, F1."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("class", "recall_or_score", "precision_at_recall", "f1_at_score"))
        for name, curve in self.curves.items():
            rows = zip(range(POINTS), curve.precision, curve.f1, strict=True)
            writer.writerows(
                (name, f"{step / (POINTS - 1):.2f}", f"{precision:.6f}", f"{f1:.6f}")
                for step, precision, f1 in rows
            )
        return text.getvalue()
