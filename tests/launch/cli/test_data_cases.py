"""Data of the kinds that people have, as `sparrow data check` meets them; see docs/data.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchspace import TrialConfig
from tests.launch.conftest import Run

SIZE = (48, 36)
BOXES = [(1, 2, 12, 10), (24, 15, 9, 14)]

Document = dict[str, list[dict[str, Any]]]


class Made:
    """A sound folder of COCO's layout, 3 + 2 images of two classes, whose parts can be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.documents: dict[str, Document] = {}
        for split, count in (("train", 3), ("val", 2)):
            document: Document = {"images": [], "annotations": [], "categories": []}
            document["categories"] = [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
            self.documents[split] = document
            for number in range(count):
                self.add(split, f"{split}_{number}.png", BOXES)

    def add(self, split: str, name: str, boxes: list[tuple], size: tuple[int, int] = SIZE) -> None:
        """An image of coarse noise with objects of both classes in turn."""
        document = self.documents[split]
        key = len(document["images"]) + 1
        noise = np.random.default_rng(key + 100 * len(split)).integers(0, 256, (9, 12, 3), np.uint8)
        (self.root / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize(size).save(self.root / split / name)
        width, height = size
        document["images"].append({"id": key, "file_name": name, "width": width, "height": height})
        for number, (x, y, w, h) in enumerate(boxes):
            entry = {"id": len(document["annotations"]) + 1, "image_id": key}
            entry |= {"category_id": 1 + number % 2, "bbox": [x, y, w, h], "area": w * h}
            document["annotations"].append(entry)

    def each(self, section: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change each entry of a list of both splits."""
        for document in self.documents.values():
            for entry in document[section]:
                change(entry)

    def write(self, pattern: str = "annotations/instances_{}.json") -> None:
        for split, document in self.documents.items():
            file = self.root / pattern.format(split)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(document), encoding="utf-8")


def sets(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.update(fields)


def root_class(made: Made) -> None:
    for document in made.documents.values():
        document["categories"].insert(0, {"id": 0, "name": "parts", "supercategory": "none"})
    made.write("{}/_annotations.coco.json")
    (made.root / "val").rename(made.root / "valid")


def years(made: Made) -> None:
    for split in made.documents:
        (made.root / split).rename(made.root / f"{split}2017")
    made.write("annotations/instances_{}2017.json")


def renamed(name: str) -> Callable[[Made], None]:
    return lambda made: made.each("images", lambda e: e.update(file_name=name.format(**e)))


def links(made: Made) -> None:
    store = made.root.parent / "store"
    shutil.move(made.root / "train", store)
    (made.root / "train").mkdir()
    for file in store.iterdir():
        (made.root / "train" / file.name).symlink_to(file)


def text_ids(made: Made) -> None:
    made.each("images", lambda entry: entry.update(id=f"frame_{entry['id']}"))
    made.each("annotations", lambda entry: entry.update(image_id=f"frame_{entry['image_id']}"))


def without_objects(made: Made) -> None:
    made.documents["val"]["annotations"] = []


def dense(objects: int) -> Callable[[Made], None]:
    boxes = [(2 * (n % 20), 2 * (n // 20), 2, 2) for n in range(objects)]
    return lambda made: made.add("val", "dense.png", boxes, (48, 2 * objects // 20))


def background(made: Made) -> None:
    for number in range(9):
        made.add("train", f"empty_{number}.png", [])


def leaks(mirrored: bool) -> Callable[[Made], None]:
    def leak(made: Made) -> None:
        file = made.root / "val" / "val_0.png"
        if mirrored:
            image = Image.open(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.resize((96, 72)).save(made.root / "train" / "train_1.png")
            made.documents["train"]["images"][1] |= {"width": 96, "height": 72}
        else:
            shutil.copy(file, made.root / "train" / "train_1.png")

    return leak


def aerial(pixels: int) -> Callable[[Made], None]:
    """An image of so many megapixels, with a bit for each."""

    def add(made: Made) -> None:
        made.add("val", "aerial.png", BOXES)
        side = (10_000, 100 * pixels)
        Image.new("1", side).save(made.root / "val" / "aerial.png")
        made.documents["val"]["images"][-1] |= {"width": side[0], "height": side[1]}

    return add


KINDS: dict[str, tuple[Callable[[Made], object], int, str]] = {
    "a root class": (
        root_class,
        0,
        "Roboflow's COCO layout, 3 + 2 images, 3 classes; no object is",
    ),
    "years in names": (years, 0, "COCO 2017 layout, 3 + 2 images, 2 classes"),
    "backslashes": (renamed(".\\{file_name}"), 0, "warning: 3 entries, such as images[0]"),
    "a server's prefix": (
        renamed("https://a.example/b/{file_name}"),
        0,
        "strip 'https://a.example/b/'",
    ),
    "links into a store": (links, 0, "3 of 3 images and 6 of 6 annotations are left"),
    "names in upper case": (
        lambda made: made.each("images", lambda e: e.update(file_name=e["file_name"].upper())),
        0,
        "it differs in case or Unicode form",
    ),
    "sizes left open": (
        lambda made: made.each("images", sets(width=-1, height="")),
        0,
        "width is -1 (int); it is taken from the file",
    ),
    "texts as ids": (text_ids, 0, "ids that are texts are numbered in alphabetical order"),
    "odd masks": (
        lambda made: made.each("annotations", sets(segmentation=[[1, 2]])),
        0,
        "the box stays, and the mask is left out",
    ),
    "no areas": (
        lambda made: made.each("annotations", sets(area=0)),
        0,
        "area is 0, which cannot be that of a box of 12x10; the area of the box is used: 120",
    ),
    "two classes of one name": (
        lambda made: made.each("categories", sets(name="bolt")),
        1,
        "ids 1 and 2 are all called 'bolt'",
    ),
    "nothing to score": (without_objects, 1, "no objects that are scored"),
    "400 objects on an image": (dense(400), 0, "400 detections of an image are kept and scored"),
    "1,000 objects on an image": (dense(1000), 0, "1,000 objects on one at most"),
    "mostly background": (background, 0, "9 of 12 training images have no object"),
    "100 megapixels": (aerial(100), 0, "3 images, 6 objects"),
    "180 megapixels": (aerial(180), 1, "more than the limit of 150 (cut it into tiles"),
    "images of both splits": (leaks(False), 0, "1 of 2 validation images are in the training data"),
    "mirrored ones": (leaks(True), 0, "0 the same files, others look the same, perhaps mirrored"),
    "ignored objects": (
        lambda made: made.documents["val"]["annotations"][0].update(ignore=1),
        0,
        "2 images, 3 objects (3 small, 1 ignore regions)",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_data_are_read_or_refused_in_words(run: Run, tmp_path: Path, kind: str) -> None:
    change, status, words = KINDS[kind]
    made = Made(tmp_path / "data")
    change(made)
    if not list(made.root.rglob("*.json")):
        made.write()
    found, said = run("data", "check", "--data", made.root)
    assert words in said
    assert found == status
    assert "Traceback" not in said


def test_objects_below_a_pixel_are_refused_before_training(
    run: Run, tmp_path: Path, tiny: TrialConfig
) -> None:
    made = Made(tmp_path / "data")
    made.documents["train"]["annotations"] = []
    made.add("train", "large.png", [(100, 100, 5, 5), (900, 40, 4, 6)], (2000, 1500))
    made.write()
    config = tiny.changed(detector=tiny.detector.changed(num_classes=2))
    (tmp_path / "trial.json").write_text(config.model_dump_json())
    out = tmp_path / "out"
    status, said = run("trial", tmp_path / "trial.json", "--data", made.root, "--out", out)
    assert "all 2 training objects are below 1 px there" in said
    assert status == 1
    assert not out.exists()
