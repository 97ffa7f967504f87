"""Random splits with random detections on them, without image files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detectors.data.dataset import Annotation, Category, Dataset, ImageRecord
from detectors.evaluation.results import Results

SIDE = 400


@dataclass(frozen=True)
class Scenes:
    """What a random split looks like.

    Attributes:
        objects: mean number on an image; some images have none.
        detections: on an image.
        sides: of objects in pixels, the least and the most.
        crowds, difficult: shares of the objects; every fourth crowd is one of all classes.
        empty: classes that have no object.
        digits: of the scores, so that some are equal.
        gaps: in the ids of images and classes.
    """

    images: int = 12
    classes: int = 3
    objects: float = 5.0
    detections: int = 40
    sides: tuple[float, float] = (4.0, 130.0)
    crowds: float = 0.0
    difficult: float = 0.0
    empty: int = 0
    digits: int = 8
    gaps: bool = False

    def made(self, seed: int) -> tuple[Dataset, Results]:
        rng = np.random.default_rng(seed)
        step = 3 if self.gaps else 1
        images = tuple(
            ImageRecord(2 + step * n, Path(f"/nowhere/{n}.jpg"), SIDE, SIDE)
            for n in range(self.images)
        )
        categories = tuple(Category(step * n + 1, f"class {n}") for n in range(self.classes))
        annotations, rows, key = {}, [], 0
        for image in images:
            items = []
            for _ in range(rng.poisson(self.objects)):
                key += 1
                items.append(self._object(rng, key, image.id, categories))
            annotations[image.id] = tuple(items)
            rows += [
                self._detection(rng, image.id, items, categories) for _ in range(self.detections)
            ]
        return Dataset(images, categories, annotations), Results.of(rows)

    def _object(
        self, rng: np.random.Generator, key: int, image: int, categories: tuple[Category, ...]
    ) -> Annotation:
        width, height = np.exp(rng.uniform(*np.log(self.sides), 2))
        x, y = rng.uniform(0, SIDE - width), rng.uniform(0, SIDE - height)
        crowd = bool(rng.random() < self.crowds)
        category = categories[rng.integers(self.classes - self.empty)].id
        return Annotation(
            key,
            image,
            None if crowd and rng.random() < 0.25 else category,
            (x, y, x + width, y + height),
            width * height * rng.uniform(0.5, 1),
            crowd,
            None,
            bool(not crowd and rng.random() < self.difficult),
        )

    def _detection(
        self,
        rng: np.random.Generator,
        image: int,
        items: list[Annotation],
        categories: tuple[Category, ...],
    ) -> dict[str, object]:
        if items and rng.random() < 0.6:
            item = items[rng.integers(len(items))]
            x1, y1, x2, y2 = item.box
            noise = rng.normal(0, rng.choice([0.02, 0.1, 0.3]), 4)
            width, height = (x2 - x1) * np.exp(noise[0]), (y2 - y1) * np.exp(noise[1])
            box = [x1 + noise[2] * width, y1 + noise[3] * height, width, height]
            category = item.category_id if rng.random() < 0.9 else None
        else:
            box, category = [*rng.uniform(0, 300, 2), *rng.uniform(4, 100, 2)], None
        return {
            "image_id": image,
            "category_id": category or categories[rng.integers(self.classes)].id,
            "bbox": [float(number) for number in box],
            "score": round(float(rng.random()), self.digits),
        }


KINDS = {
    "plain": Scenes(),
    "crowds": Scenes(crowds=0.3),
    "difficult": Scenes(difficult=0.3, crowds=0.1),
    "dense": Scenes(images=2, classes=1, objects=70, detections=160, sides=(6, 60)),
    "empty classes and gaps": Scenes(classes=6, empty=3, gaps=True),
    "equal scores": Scenes(digits=1),
    "few objects": Scenes(objects=0.7),
    "no objects": Scenes(objects=0.0),
    "no detections": Scenes(detections=0),
    "one image": Scenes(images=1, classes=1),
}


def perfect(split: Dataset) -> Results:
    """Each object as a detection, those that are difficult too."""
    return Results.of(
        [
            {
                "image_id": a.image_id,
                "category_id": a.category_id,
                "bbox": [a.box[0], a.box[1], a.box[2] - a.box[0], a.box[3] - a.box[1]],
                "score": 0.9,
            }
            for items in split.annotations.values()
            for a in items
            if not a.iscrowd
        ]
    )


def noisy(split: Dataset, seed: int, copies: int = 2) -> Results:
    """Shifted copies of the objects, some of them of another class, some left out."""
    rng, found = np.random.default_rng(seed), perfect(split)
    found = found.at(np.flatnonzero(rng.random(copies * len(found)) > 0.2) % len(found))
    sizes = found.boxes[:, 2:]
    corners = found.boxes[:, :2] + sizes * rng.normal(0, 0.15, sizes.shape)
    boxes = np.concatenate((corners, sizes * np.exp(rng.normal(0, 0.15, sizes.shape))), 1)
    ids = np.array([category.id for category in split.categories])
    other = rng.random(len(found)) < 0.1
    categories = np.where(other, rng.choice(ids, len(found)), found.categories)
    return Results(found.images, categories, boxes, rng.random(len(found)))
