"""Models side by side on the same images: their figures, and pictures of where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, ConfigDict
from torchvision.transforms.v2 import functional

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.images import load_image
from detectors.evaluate import Metrics, coco_metrics
from detectors.evaluation.comparison import (
    Difference,
    ImageDifference,
    differences,
    disagreements,
)
from detectors.evaluation.curves import thresholds
from detectors.evaluation.judged import Judged
from detectors.evaluation.report import judged_on
from detectors.evaluation.results import Row
from detectors.evaluation.truth import detections_needed
from launch.figures import FIGURES, show, show_change
from launch.report.drawing import drawn
from launch.report.evaluation import SUMMARY
from launch.report.templates import environment

PICTURES = 12
"""Images that are drawn, those on which the models differ the most."""

GAP = 8
"""Pixels between the parts of a picture."""


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
    most = detections_needed(split)
    metrics = [coco_metrics(split, found, most) for found in results]
    first, second = (_above_thresholds(split, found) for found in results[:2])
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
        image = split.images[place]
        parts = [_objects(image, shown[0], place)]
        parts += [_detections(image, judged, place) for judged in shown]
        files.append(folder / f"{number:02}.jpg")
        _beside(parts).save(files[-1], quality=85)
    return files


def _above_thresholds(split: Dataset, results: Sequence[Row]) -> Judged:
    judged = judged_on(split, results)
    return judged.above(thresholds(judged, None).scores().numpy())


def change_bounds(difference: Difference) -> str:
    """The 95 % interval of a change, and whether it may be chance; empty where it has none."""
    if difference.low is None or difference.high is None:
        return ""
    mark = "" if difference.certain else ", may be chance"
    return f"{difference.low:+.3f} to {difference.high:+.3f}{mark}"


def _objects(image: ImageRecord, judged: Judged, place: int) -> Image.Image:
    mine = judged.item_images == place
    labels = judged.item_labels[mine]
    return _drawn(image, judged.item_boxes[mine], [judged.names[k] for k in labels], labels)


def _detections(image: ImageRecord, judged: Judged, place: int) -> Image.Image:
    mine = judged.images == place
    labels = judged.labels[mine]
    pairs = zip(labels, judged.scores[mine], strict=True)
    texts = [f"{judged.names[k]} {score:.2f}" for k, score in pairs]
    return _drawn(image, judged.boxes[mine], texts, labels)


def _drawn(
    image: ImageRecord, boxes: Sequence[Sequence[float]], texts: list[str], labels: Sequence[int]
) -> Image.Image:
    picture = functional.to_pil_image(load_image(image.path, image.width, image.height))
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    return drawn(picture, corners, texts, [label + 1 for label in labels])


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    width = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    made, x = Image.new("RGB", (width, max(part.height for part in parts)), "white"), 0
    for part in parts:
        made.paste(part, (x, 0))
        x += part.width + GAP
    return made
