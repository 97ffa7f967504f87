from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.data.readers import Split

# Image 10 has an object with polygons and one without; 20 a crowd region and an object; 30 nothing.
DOCUMENT = {
    "info": {"year": 2024},
    "images": [
        {"id": 10, "file_name": "a.png", "width": 40, "height": 30, "license": 1},
        {"id": 20, "file_name": "sub/b.jpg", "width": 32, "height": 24},
        {"id": 30, "file_name": "c.png", "width": 16, "height": 8},
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "pet"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 10,
            "category_id": 3,
            "bbox": [1, 2, 10, 20],
            "area": 120.5,
            "iscrowd": 0,
            "segmentation": [[1, 2, 11, 2, 11, 22]],
        },
        {"id": 2, "image_id": 10, "category_id": 7, "bbox": [5.5, 5, 4, 4]},
        {
            "id": 3,
            "image_id": 20,
            "category_id": 7,
            "bbox": [0, 0, 32, 24],
            "area": 100,
            "iscrowd": 1,
            "segmentation": {"counts": [0, 100, 668], "size": [24, 32]},
        },
        {"id": 4, "image_id": 20, "category_id": 3, "bbox": [8, 8, 3, 3], "segmentation": []},
    ],
}


@dataclass
class CocoFolder:
    """A small valid data set of one split; tests damage `document` or the files."""

    root: Path
    document: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(DOCUMENT)))

    @property
    def images(self) -> Path:
        return self.root / "train"

    @property
    def json(self) -> Path:
        return self.root / "annotations" / "instances_train.json"

    def save(self) -> Split:
        self.json.parent.mkdir(exist_ok=True)
        self.json.write_text(json.dumps(self.document), encoding="utf-8")
        return Split(self.images, self.json)

    def draw(self) -> None:
        (self.images / "sub").mkdir(parents=True)
        for number, entry in enumerate(self.document["images"]):
            pixels = np.random.default_rng(number).integers(
                0, 256, (entry["height"], entry["width"], 3), dtype=np.uint8
            )
            Image.fromarray(pixels).save(self.images / entry["file_name"])


@pytest.fixture(scope="session")
def make_coco_folder() -> Callable[[Path], CocoFolder]:
    def make(root: Path) -> CocoFolder:
        root.mkdir(parents=True, exist_ok=True)
        folder = CocoFolder(root)
        folder.draw()
        folder.save()
        return folder

    return make


@pytest.fixture
def coco_folder(tmp_path: Path, make_coco_folder: Callable[[Path], CocoFolder]) -> CocoFolder:
    return make_coco_folder(tmp_path / "data")
