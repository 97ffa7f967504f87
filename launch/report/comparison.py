"""Models side by side on the same images: their figures, and pictures of where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
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
from detectors.evaluation.curves import at_thresholds
from detectors.evaluation.judged import Judged
from detectors.evaluation.report import judged_on
from detectors.evaluation.results import Row
from detectors.evaluation.truth import detections_needed
from launch.figures import FIGURES, show, show_change
from launch.report.drawing import OBJECT, RIGHT, WRONG, drawn
from launch.report.evaluation import SUMMARY
from launch.report.templates import environment

PICTURES = 12
"""Images that are drawn, those on which the models differ the most."""

GAP = 8
"""Pixels between the parts of a picture."""

LEAST_SIDE, MOST_SIDE = 320, 1280
"""Pixels of the longer side of each part: smaller images are enlarged, so that texts have room."""


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
    first, second = (at_thresholds(judged_on(split, found)) for found in results[:2])
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


def side_by_side(image: ImageRecord, place: int, shown: Sequence[Judged]) -> Image.Image:
    """An image with its objects in blue, then with what each model finds, right in green and wrong
    in red.

    Args:
        place: of the image in its split.
        shown: of each model, the detections that are drawn; at least one.
    """
    picture = functional.to_pil_image(load_image(image.path, image.width, image.height))
    factor = min(max(1.0, LEAST_SIDE / max(picture.size)), MOST_SIDE / max(picture.size))
    enlarged = picture.resize([max(1, round(factor * side)) for side in picture.size])
    parts = [_objects(enlarged, factor, shown[0], place)]
    parts += [_detections(enlarged, factor, judged, place) for judged in shown]
    return _beside(parts)


def change_bounds(difference: Difference) -> str:
    """The 95 % interval of a change, and whether it may be chance; empty where it has none."""
    if difference.low is None or difference.high is None:
        return ""
    mark = "" if difference.certain else ", may be chance"
    return f"{difference.low:+.3f} to {difference.high:+.3f}{mark}"


def _objects(picture: Image.Image, factor: float, judged: Judged, place: int) -> Image.Image:
    mine = judged.item_images == place
    texts = [judged.names[label] for label in judged.item_labels[mine]]
    corners = _corners(judged.item_boxes[mine], factor)
    return drawn(picture, corners, texts, [OBJECT] * len(texts))


def _detections(picture: Image.Image, factor: float, judged: Judged, place: int) -> Image.Image:
    mine = np.flatnonzero(judged.images == place)
    mine = mine[np.argsort(judged.scores[mine], kind="stable")]
    pairs = zip(judged.labels[mine], judged.scores[mine], strict=True)
    texts = [f"{judged.names[label]} {score:.2f}" for label, score in pairs]
    colours = [RIGHT if right else WRONG for right in judged.right[mine]]
    return drawn(picture, _corners(judged.boxes[mine], factor), texts, colours)


def _corners(boxes: np.ndarray, factor: float) -> list[list[float]]:
    """Boxes x, y, width, height as corners on an enlarged picture."""
    return (factor * np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)).tolist()


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    width = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    made, x = Image.new("RGB", (width, max(part.height for part in parts)), "white"), 0
    for part in parts:
        made.paste(part, (x, 0))
        x += part.width + GAP
    return made
