"""Detections drawn on images, with labels that can be read on any ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.v2 import functional

from detectors.data.dataset import Dataset
from detectors.data.images import load_picture
from detectors.detection_files import image_name
from detectors.evaluation.results import Results
from searchspace.reading import visible

COLOURS = (
    "#ff9500", "#00b7ff", "#7ee081", "#ff6bd6", "#ffe14d", "#b693ff", "#ff6f61", "#3fe0d0",
)  # fmt: skip
"""Light ones, on which black text can be read; classes take them in turns."""

OBJECT, RIGHT, WRONG = "#00b7ff", "#7ee081", "#ff6f61"
"""Where boxes are coloured by what they are worth, and not by their class."""

LEAST_FONT = 11


def colour_of(label: int) -> str:
    """The colour of a class, by its label from 1."""
    return COLOURS[(label - 1) % len(COLOURS)]


def drawn(
    picture: Image.Image,
    boxes: Sequence[Sequence[float]],
    texts: Sequence[str],
    colours: Sequence[str],
) -> Image.Image:
    """A copy of an image with boxes and texts, the last one on top.

    Args:
        boxes: corners x1, y1, x2, y2 in pixels.
    """
    copied = picture.convert("RGB")
    pen = ImageDraw.Draw(copied)
    unit = max(copied.size) / 640
    font = ImageFont.load_default(max(LEAST_FONT, round(12 * unit)))
    for (x1, y1, x2, y2), text, colour in zip(boxes, texts, colours, strict=True):
        pen.rectangle((x1, y1, x2, y2), outline=colour, width=max(1, round(2 * unit)))
        left, top, right, bottom = pen.textbbox((0, 0), visible(text), font=font)
        width, height = right - left + 4, bottom - top + 4
        x = max(0, min(x1, copied.width - width))
        y = y1 - height if y1 >= height else y1
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x + 2 - left, y + 2 - top), visible(text), fill="black", font=font)
    return copied


def draw_results(results: Results, split: Dataset, folder: Path) -> None:
    """Write each image of a split with its detections, the best on top, under its own name. A large
    one is reduced, see `load_picture`."""
    names = {category.id: category.name for category in split.categories}
    for image in split.images:
        mine = results.at(results.images == image.id)
        mine = mine.at(mine.scores.argsort(kind="stable"))
        x, y, width, height = mine.boxes.T
        texts = [
            f"{names[key]} {score:.2f}"
            for key, score in zip(mine.categories.tolist(), mine.scores.tolist(), strict=True)
        ]
        picture = functional.to_pil_image(load_picture(image.path, image.width, image.height))
        across, down = picture.width / image.width, picture.height / image.height
        left, right, top, bottom = x * across, (x + width) * across, y * down, (y + height) * down
        boxes = list(zip(left, top, right, bottom, strict=True))
        labels = [split.label_of(key) for key in mine.categories.tolist()]
        colours = [colour_of(label) for label in labels]
        file = folder / image_name(split, image)
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn(picture, boxes, texts, colours).save(file)
