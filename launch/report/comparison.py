"""Models side by side on the same images: their figures, and pictures of where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from detectors.data.dataset import Dataset
from detectors.evaluate import Metrics
from detectors.evaluation.comparison import (
    Difference,
    ImageDifference,
    differences,
    disagreements,
)
from detectors.evaluation.curves import at_thresholds
from detectors.evaluation.judged import Judged
from detectors.evaluation.report import scored_on
from detectors.evaluation.results import Row
from launch.figures import FIGURES, show, show_change
from launch.report.evaluation import SUMMARY
from launch.report.side_by_side import side_by_side
from launch.report.templates import environment

PICTURES = 12
"""Images that are drawn, those on which the models differ the most."""


class Disagreement(BaseModel):
    """An image on which two models differ, by its file's name."""

    model_config = ConfigDict(frozen=True)

    image: str
    counts: ImageDifference


class ModelComparison(BaseModel):
    """Models that were scored on the same images.

    Attributes:
        models: their names; the first is what the others are compared with.
        metrics: of each.
        changes: of each but the first, by figure.
        disagreements: of the first two, the most different image first.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    models: tuple[str, ...]
    metrics: tuple[Metrics, ...]
    changes: tuple[dict[str, Difference], ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def headings(self) -> list[str]:
        """What stands above the columns of `figure_rows`."""
        first, *others = self.models
        changes = [part for name in others for part in (name, "Change", "95 % interval")]
        return ["Figure", first, *changes]


def compared_models(
    split: Dataset, models: Sequence[str], results: Sequence[Sequence[Row]]
) -> tuple[ModelComparison, tuple[Judged, Judged]]:
    """The comparison, and the detections of the first two models above the thresholds with the best
    F1 on these images.

    Args:
        results: detections of each model on the split.
    """
    scored = [scored_on(split, found) for found in results]
    metrics = [own for own, _ in scored]
    first, second = (at_thresholds(judged) for _, judged in scored[:2])
    compared = ModelComparison(
        images=len(split.images),
        models=tuple(models),
        metrics=tuple(metrics),
        changes=tuple(differences(metrics[0], other, SUMMARY) for other in metrics[1:]),
        disagreements=tuple(
            Disagreement(image=split.images[row.image].path.name, counts=row)
            for row in disagreements(first, second)
        ),
    )
    return compared, (first, second)


def figure_rows(compared: ModelComparison) -> list[tuple[str, ...]]:
    """By figure: its label, its value of the first model, and of each other one its value, the
    change and the change's interval."""
    rows = []
    for name in SUMMARY:
        first, *others = (getattr(metrics, name) for metrics in compared.metrics)
        cells = [FIGURES[name].label, show(name, first)]
        for value, changes in zip(others, compared.changes, strict=True):
            change = show_change(name, first, value)
            cells += [show(name, value), change, change_bounds(changes[name])]
        rows.append(tuple(cells))
    return rows


def class_rows(compared: ModelComparison) -> list[tuple[str, ...]]:
    """By class: its name, and its AP by each model."""
    return [
        (name, *(show("ap", metrics.classes[name].ap) for metrics in compared.metrics))
        for name in compared.metrics[0].classes
    ]


def comparison_page(compared: ModelComparison, pictures: Sequence[str]) -> str:
    """The whole page as one HTML document.

    Args:
        pictures: paths from the page of pictures of the first disagreements.
    """
    template = environment().get_template("comparison.html")
    return template.render(
        title="Comparison of models",
        compared=compared,
        figure_headings=compared.headings,
        class_headings=["Class", *compared.models],
        figures=figure_rows(compared),
        classes=class_rows(compared),
        pictures=list(zip(compared.disagreements, pictures, strict=False)),
    )


def draw_disagreements(
    compared: ModelComparison, split: Dataset, shown: tuple[Judged, Judged], folder: Path
) -> list[Path]:
    """Write pictures of the images on which the first two models differ the most: the objects, what
    the first finds, what the second finds."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, row in enumerate(compared.disagreements[:PICTURES], 1):
        place = row.counts.image
        files.append(folder / f"{number:02}.jpg")
        side_by_side(split.images[place], place, shown).save(files[-1], quality=85)
    return files


def change_bounds(difference: Difference) -> str:
    """The 95 % interval of a change, and whether it may be chance; empty where it has none."""
    if difference.low is None or difference.high is None:
        return ""
    mark = "" if difference.certain else ", may be chance"
    return f"{difference.low:+.3f} to {difference.high:+.3f}{mark}"
