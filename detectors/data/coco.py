"""COCO data: the paths of its splits, and a split after validation."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pycocotools.coco import COCO

from detectors.data.entries import (
    inspect_images,
    read_annotations,
    read_categories,
    read_images,
)
from detectors.data.records import Annotation, Category, ImageFile, ImageRecord
from detectors.data.validation import DataError, Problem, read_entries, read_sections

__all__ = [
    "Annotation",
    "Category",
    "CocoSplit",
    "DataSource",
    "ImageFile",
    "ImageRecord",
    "Split",
    "read_source",
    "read_split",
]

_LAYOUT = (
    "expected layout: train/ and val/ with the images, annotations/instances_train.json and "
    "annotations/instances_val.json"
)


@dataclass(frozen=True)
class Split:
    """An image folder and its annotation file. Both become absolute paths with links resolved,
    because a trial may run in another working directory."""

    images: Path
    annotations: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", Path(self.images).resolve())
        object.__setattr__(self, "annotations", Path(self.annotations).resolve())

    def missing(self) -> list[Problem]:
        """A problem for each of the two that does not exist."""
        problems = []
        if not self.images.is_dir():
            what = _absent(self.images, "not a folder")
            problems.append(Problem(str(self.images), "image folder", what, _LAYOUT))
        if not self.annotations.is_file():
            what = _absent(self.annotations, "not a file")
            problems.append(Problem(str(self.annotations), "annotation file", what, _LAYOUT))
        return problems


def _absent(path: Path, otherwise: str) -> str:
    return f"is {otherwise}" if path.exists() else "does not exist"


@dataclass(frozen=True)
class DataSource:
    """The split that a detector is trained on, and the one that it is validated on."""

    train: Split
    val: Split

    @classmethod
    def from_folder(cls, folder: Path | str) -> DataSource:
        """The usual layout: `train/`, `val/`, `annotations/instances_{train,val}.json`.

        Raises:
            DataError: one of the four does not exist.
        """
        if folder == "":
            raise DataError([Problem("''", "data folder", "is not a path", _LAYOUT)])
        root = Path(folder).resolve()
        if not root.is_dir():
            what = _absent(root, "not a folder")
            raise DataError([Problem(str(root), "data folder", what, _LAYOUT)])
        train, val = (
            Split(root / name, root / "annotations" / f"instances_{name}.json")
            for name in ("train", "val")
        )
        missing = train.missing() + val.missing()
        if missing:
            raise DataError(missing)
        return cls(train, val)


@dataclass(frozen=True)
class CocoSplit:
    """One valid split: images and categories by ascending id, and for every image its annotations
    by ascending id. Ignore regions and images without annotations are kept.

    `skipped` has the entries that `read_split` left out, `listed` the numbers of images and
    annotations in the file (skipped ones included), and `files` the content of each image file by
    image id.
    """

    images: tuple[ImageRecord, ...]
    categories: tuple[Category, ...]
    annotations: dict[int, tuple[Annotation, ...]]
    skipped: tuple[Problem, ...] = ()
    files: Mapping[int, ImageFile] = field(default_factory=dict, repr=False)
    listed: tuple[int, int] | None = None

    def dropped_in_words(self) -> str:
        """How many entries were dropped, and how many are left."""
        bad = f"{len(self.skipped)} bad entries dropped"
        if self.listed is None:
            return bad
        images, annotations = self.listed
        left = sum(map(len, self.annotations.values()))
        return (
            f"{bad}; {len(self.images)} of {images} images and {left} of {annotations} annotations "
            "are left"
        )

    @property
    def num_classes(self) -> int:
        """Foreground classes."""
        return len(self.categories)

    def label_of(self, category_id: int) -> int:
        """The label 1..num_classes of a category; raises KeyError for an unknown id."""
        return self._labels[category_id]

    def category_of(self, label: int) -> int:
        """The category id of a label 1..num_classes; raises ValueError for any other label."""
        if not 1 <= label <= self.num_classes:
            raise ValueError(f"label {label} is not in 1..{self.num_classes}")
        return self.categories[label - 1].id

    @cached_property
    def _labels(self) -> dict[int, int]:
        return {category.id: label for label, category in enumerate(self.categories, start=1)}

    def ground_truth(self) -> COCO:
        """The split as pycocotools' object, boxes as [x, y, width, height] in pixels."""
        coco = COCO()
        coco.dataset = {
            "info": {},  # loadRes of some releases copies it
            "images": [_image_entry(image) for image in self.images],
            "categories": [{"id": item.id, "name": item.name} for item in self.categories],
            "annotations": [
                _annotation_entry(annotation)
                for image in self.images
                for annotation in self.annotations[image.id]
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex over everything that training and evaluation see: categories, images
        (name, size, content), annotations. It does not depend on the folder's path or on the order
        of the file's entries.

        Raises:
            ValueError: the content of an image is not known, as it was not read by `read_split`.
        """
        digest = hashlib.sha256()
        _update(digest, [[category.id, category.name] for category in self.categories])
        for image in self.images:
            if image.id not in self.files:
                raise ValueError(f"image id {image.id} ({image.path}) has no entry in `files`")
            file = self.files[image.id]
            content = [file.name, file.bytes, file.sha256]
            _update(digest, [image.id, image.width, image.height, *content])
            _update(digest, [_annotation_entry(item) for item in self.annotations[image.id]])
        return digest.hexdigest()


def _image_entry(image: ImageRecord) -> dict[str, object]:
    return {
        "id": image.id,
        "file_name": image.path.name,
        "width": image.width,
        "height": image.height,
    }


def _annotation_entry(annotation: Annotation) -> dict[str, object]:
    x1, y1, x2, y2 = annotation.box
    entry: dict[str, object] = {
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": annotation.area,
        "iscrowd": int(annotation.iscrowd),
    }
    if annotation.segmentation is not None:
        entry["segmentation"] = annotation.segmentation
    return entry


def _update(digest: hashlib._Hash, value: object) -> None:
    digest.update(json.dumps(value, sort_keys=True).encode())
    digest.update(b"\n")  # JSON has none outside strings: no two sequences run together


def read_split(split: Split, skip_bad: bool = False) -> CocoSplit:
    """Read and validate one split: every entry, and every image to its last byte.

    Boxes that extend beyond the image by at most one pixel are silently clipped, and a missing
    `area` becomes the box's; everything else that is wrong is a problem. With `skip_bad`, bad
    entries are dropped (a bad image or category with its annotations) and listed in `skipped`.

    Raises:
        DataError: with every problem found. With `skip_bad`, only if the folder or the lists of the
            file are missing, no image or no category is left, or boxes are not in pixels.
    """
    missing = split.missing()
    if missing:
        raise DataError(missing)
    sections = read_sections(split.annotations)
    problems: list[Problem] = []
    images, categories, annotations = (
        read_entries(split.annotations, section, sections[section], problems)
        for section in ("images", "categories", "annotations")
    )
    category_table = read_categories(categories)
    image_table = read_images(images, split.images)
    files = inspect_images(image_table, split.images)
    found = read_annotations(annotations, image_table, category_table)
    usable = image_table.usable()
    by_image: dict[int, list[Annotation]] = {image.id: [] for image in usable}
    for annotation in found:
        by_image[annotation.image_id].append(annotation)
    result = CocoSplit(
        images=tuple(usable),
        categories=tuple(category_table.usable()),
        annotations={key: tuple(items) for key, items in by_image.items()},
        skipped=tuple(problems),
        files={key: files[key] for key in by_image},
        listed=(len(sections["images"]), len(sections["annotations"])),
    )
    normalised = _normalised(split.annotations, found)
    if normalised:
        raise DataError(normalised)
    if problems and not (skip_bad and result.images and result.categories):
        raise DataError(problems)
    return result


def _normalised(file: Path, found: Sequence[Annotation]) -> list[Problem]:
    """A problem if boxes are fractions of the image, as in some formats.

    Read as pixels, such a box lies within the first pixel. A single one may be right; if most do,
    and at fractions of a pixel, they are not in pixels.
    """
    inside = [item for item in found if max(item.box[2:]) <= 1]
    fractions = any(not side.is_integer() for item in inside for side in item.box)
    if not fractions or 2 * len(inside) < len(found):
        return []
    what = (
        f"{len(inside)} of {len(found)} boxes lie in 0..1, as if they were fractions of the image"
    )
    fix = "write bbox as [x, y, width, height] in pixels: multiply by the image's width and height"
    return [Problem(str(file), "annotations", what, fix)]


def read_source(source: DataSource, skip_bad: bool = False) -> tuple[CocoSplit, CocoSplit]:
    """Read train and val as `read_split` does, and compare their categories.

    Raises:
        DataError: with the problems of both; also if their categories differ, or if all boxes of
            train are ignore regions.
    """
    splits: list[CocoSplit] = []
    problems: list[Problem] = []
    for split in (source.train, source.val):
        try:
            splits.append(read_split(split, skip_bad))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    train, val = splits
    problems = _unlike_categories(source, train, val) + _no_boxes(source, train)
    if problems:
        raise DataError(problems)
    return train, val


def _unlike_categories(source: DataSource, train: CocoSplit, val: CocoSplit) -> list[Problem]:
    in_train = {(category.id, category.name) for category in train.categories}
    in_val = {(category.id, category.name) for category in val.categories}
    file = str(source.val.annotations)
    fix = f"give it the categories of {str(source.train.annotations)!r}, with the same ids"
    return [
        Problem(file, f"categories id {key}", f"{name!r} is {where}", fix)
        for key, name, where in sorted(
            [(*item, "missing here, but in train") for item in in_train - in_val]
            + [(*item, "here, but not in train") for item in in_val - in_train]
        )
    ]


def _no_boxes(source: DataSource, train: CocoSplit) -> list[Problem]:
    if any(not item.iscrowd for items in train.annotations.values() for item in items):
        return []
    what = "there is no box to train on (none, or crowd regions only)"
    fix = "add annotations with iscrowd 0"
    return [Problem(str(source.train.annotations), "annotations", what, fix)]
