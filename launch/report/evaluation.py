"""The page of an evaluation: `evaluation.html` filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.evaluate import Metrics
from detectors.evaluation.errors_by_kind import WORDS
from detectors.evaluation.report import ClassCurves, Evaluation
from detectors.files import write_atomically
from launch.figures import FIGURES, show
from launch.files import EVALUATION_CSV, EVALUATION_HTML, EVALUATION_JSON
from launch.report.templates import environment

CURVE = (300, 200)
"""Width and height of a curve in pixels."""

SUMMARY = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large",
    "ap_tiny", "ap_very_tiny", "voc_map", "voc_map_07",
)  # fmt: skip
"""The figures of an evaluation in the order in which they are shown: COCO's twelve first."""

OF_CLASSES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "voc_ap")


def summary(metrics: Metrics) -> list[tuple[str, str, str]]:
    """By row: the label of a figure, its value, and its 95 % interval or an empty text."""
    rows = []
    for name in SUMMARY:
        bounds = metrics.intervals.get(name)
        interval = f"{show(name, bounds.low)} to {show(name, bounds.high)}" if bounds else ""
        value = show(name, getattr(metrics, name))
        rows.append((FIGURES[name].label, value, interval))
    return rows


def evaluation_page(evaluation: Evaluation, title: str) -> str:
    """The whole page as one HTML document."""
    names = [*evaluation.curves, "background"]
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            title=title,
            found=evaluation,
            summary=summary(evaluation.metrics),
            of_classes=OF_CLASSES,
            show=show,
            words=WORDS,
            names=names,
            confusion=[(n, *row) for n, row in zip(names, evaluation.confusion, strict=True)],
            drawn=lines(evaluation.curves),
            size=CURVE,
        )
    )


def write_evaluation(evaluation: Evaluation, folder: Path, title: str) -> Path:
    """Write an evaluation as a page, as JSON, and its curves as CSV; returns the page."""
    write_atomically(folder / EVALUATION_JSON, evaluation.model_dump_json(indent=1))
    write_atomically(folder / EVALUATION_CSV, evaluation.curves_csv())
    write_atomically(folder / EVALUATION_HTML, evaluation_page(evaluation, title))
    return folder / EVALUATION_HTML


def lines(curves: Mapping[str, ClassCurves]) -> list[tuple[str, str, str]]:
    """By class: its name, and its curves of precision and of F1 as points in an SVG."""
    return [(name, _line(curve.precision), _line(curve.f1)) for name, curve in curves.items()]


def _line(values: Sequence[float]) -> str:
    """The points of a curve from 0 to 1 in an SVG."""
    width, height = CURVE
    last = len(values) - 1
    return " ".join(
        f"{width * place / last:.1f},{height * (1 - value):.1f}"
        for place, value in enumerate(values)
    )
