"""Scenes of 2,048 x 2,048 pixels with small objects, made of smaller annotated images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes

SIDE, CELLS = 2048, 4
"""Pixels of a scene's side, and images along it."""

REDUCED = 2 / 3
"""The scale of generated images: small objects have 10 to 31 pixels, medium ones up to 96."""

VISIBLE = 0.5
"""An object that a cell cuts off is annotated if at least this share of it is left."""

SKY, NOISE = ((150, 180, 220), (205, 220, 240)), 4
"""The colours of an empty cell from top to bottom, and the standard deviation of its noise."""

Row = dict[str, Any]


def scenes(work: Path, count: int, filled: int = CELLS**2, given: Path | None = None) -> Path:
    """A COCO folder with `count` training scenes and a third as many validation scenes.

    Args:
        filled: number of cells with an image, in random places; the others are plain sky.
        given: a folder of annotated images, of which crops are used; generated ones by default.
    """
    folder = work / f"{given.name if given else 'shapes'}-{filled}-{count}"
    if (folder / "annotations" / "instances_val.json").exists():
        return folder
    source = read_source(DataSource.from_folder(given or _generated(work)))
    rng = np.random.default_rng(0)
    for split, data, number in zip(
        ("train", "val"), source, (count, max(1, count // 3)), strict=True
    ):
        _write(folder, split, data, number, filled, rng)
    return folder


def _generated(work: Path) -> Path:
    side = round(SIDE / CELLS / REDUCED)
    return generate_shapes(work / "parts", ShapesConfig(3 * CELLS**2, CELLS**2, side, seed=1))


def _write(
    folder: Path, split: str, data: Dataset, count: int, filled: int, rng: np.random.Generator
) -> None:
    """Write the scenes of a split, made of that split's images."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images: list[Row] = []
    annotations: list[Row] = []
    for key in range(1, count + 1):
        scene, objects = _scene(data, filled, rng)
        name = f"{key:04d}.jpg"
        scene.save(folder / split / name, quality=92)
        images.append({"id": key, "file_name": name, "width": SIDE, "height": SIDE})
        for row in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": key, "iscrowd": 0, **row})
    classes = [vars(category) for category in data.categories]
    text = json.dumps({"images": images, "annotations": annotations, "categories": classes})
    (folder / "annotations" / f"instances_{split}.json").write_text(text)


def _scene(data: Dataset, filled: int, rng: np.random.Generator) -> tuple[Image.Image, list[Row]]:
    """Images side by side, each mirrored or not, and their objects."""
    cell = round(SIDE / CELLS)
    scene, objects = Image.new("RGB", (SIDE, SIDE)), []
    places = set(rng.permutation(CELLS**2)[:filled].tolist())
    usable = [image for image in data.images if _has_no_regions(data, image)]
    for place in range(CELLS**2):
        left, top = place % CELLS * cell, place // CELLS * cell
        if place not in places:
            scene.paste(_sky(cell, rng), (left, top))
            continue
        part, found = _part(data, usable[int(rng.integers(len(usable)))], cell, rng)
        scene.paste(part, (left, top))
        for row in found:
            x, y, width, height = row["bbox"]
            objects.append({**row, "bbox": [left + x, top + y, width, height]})
    return scene, objects


def _part(
    data: Dataset, image: ImageRecord, cell: int, rng: np.random.Generator
) -> tuple[Image.Image, list[Row]]:
    """A random square of an image whose shorter side becomes that of a cell, and its objects."""
    factor = cell / min(image.width, image.height)
    width, height = round(factor * image.width), round(factor * image.height)
    left, top = int(rng.integers(width - cell + 1)), int(rng.integers(height - cell + 1))
    with Image.open(image.path) as opened:
        part = opened.convert("RGB").resize((width, height))
    part = part.crop((left, top, left + cell, top + cell))
    mirrored = rng.random() < 0.5
    objects = []
    for item in data.annotations[image.id]:
        corners = factor * np.array(item.box) - (left, top) * 2
        inside = corners.clip(0, cell)
        share = _area(inside) / _area(corners)
        if share < VISIBLE:
            continue
        x1, y1, x2, y2 = inside.tolist()
        if mirrored:
            x1, x2 = cell - x2, cell - x1
        area = factor**2 * share * item.area
        box = [x1, y1, x2 - x1, y2 - y1]
        objects.append({"bbox": box, "area": area, "category_id": item.category_id})
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part, objects


def _has_no_regions(data: Dataset, image: ImageRecord) -> bool:
    """Whether all objects of an image are annotated one by one."""
    return not any(item.iscrowd for item in data.annotations[image.id])


def _area(box: Sequence[float] | np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _sky(cell: int, rng: np.random.Generator) -> Image.Image:
    """An empty cell."""
    upper, lower = np.array(SKY, float)
    down = np.linspace(0, 1, cell)[:, None, None]
    colours = upper + down * (lower - upper) + rng.normal(0, NOISE, (cell, cell, 1))
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8))
