"""A data set in memory: one split after validation, whatever format it was read from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from pycocotools.coco import COCO

from detectors.data.fetched import Fetched
from detectors.data.records import Annotation, Category, ImageFile, ImageRecord
from detectors.data.validation import Problem
from searchspace.geometry import Size
from searchspace.words import counted

__all__ = ["Annotation", "Category", "Dataset", "ImageFile", "ImageRecord", "spread"]

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset:
    """One valid split: images and categories by ascending id, and for every image its annotations
    by ascending id. Ignore regions and images without annotations are kept.

    `skipped` has the entries that `read_split` left out, `listed` the numbers of images and
    annotations that there were (skipped ones included), and `files` the content of each image file
    by image id. `warnings` say what was mended and what is suspicious, one for each cause.
    `fetched` are the data at an address that it is of; None if it lies in a folder.
    """

    images: tuple[ImageRecord, ...]
    categories: tuple[Category, ...]
    annotations: dict[int, tuple[Annotation, ...]]
    skipped: tuple[Problem, ...] = ()
    files: Mapping[int, ImageFile] = field(default_factory=dict, repr=False)
    listed: tuple[int, int] | None = None
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    fetched: Fetched | None = None

    @property
    def least_kept(self) -> float:
        """The share of the listed images that is left, or of the annotations if that is lower."""
        left = (len(self.images), sum(map(len, self.annotations.values())))
        pairs = zip(left, self.listed or left, strict=True)
        return min(now / before if before else 1.0 for now, before in pairs)

    def kept_in_words(self) -> str:
        """How many of the listed images and annotations are left, with shares."""
        left = (len(self.images), sum(map(len, self.annotations.values())))
        images, annotations = (
            f"{now:,} of {before:,} {name}" + (f" ({now / before:.0%})" if now < before else "")
            for now, before, name in zip(
                left, self.listed or left, ("images", "annotations"), strict=True
            )
        )
        return f"{images} and {annotations} are left"

    def dropped_in_words(self) -> str:
        """How many entries were dropped, and how many are left."""
        bad = f"{counted(len(self.skipped), 'bad entry')} dropped"
        return bad if self.listed is None else f"{bad}; {self.kept_in_words()}"

    @property
    def num_classes(self) -> int:
        """Foreground classes."""
        return len(self.categories)

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """Height and width of each image."""
        return tuple((image.height, image.width) for image in self.images)

    def without(self, images: Collection[int]) -> Dataset:
        """The same split without the images of these ids and their annotations."""
        return replace(
            self,
            images=tuple(image for image in self.images if image.id not in images),
            annotations={k: v for k, v in self.annotations.items() if k not in images},
            files={key: file for key, file in self.files.items() if key not in images},
        )

    def here(self) -> Dataset:
        """The same split, with the paths that its images have on this node."""
        there = self.fetched
        if there is None or there.here(self.images[0].path) == self.images[0].path:
            return self
        images = tuple(replace(image, path=there.here(image.path)) for image in self.images)
        return replace(self, images=images)

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of the image files by their names at the address that it is fetched from."""
        if self.fetched is None:
            return {}
        return {self.fetched.name_of(i.path): self.files[i.id].sha256 for i in self.images}

    def label_of(self, category_id: int | None) -> int:
        """The label 1..num_classes of a category; raises KeyError for an unknown id or None."""
        return self._labels[category_id]

    @cached_property
    def _labels(self) -> dict[int | None, int]:
        return {category.id: label for label, category in enumerate(self.categories, start=1)}

    def ground_truth(self) -> COCO:
        """The split as pycocotools' object, boxes as [x, y, width, height] in pixels.

        An ignore region of all classes is one of each class in it.
        """
        coco = COCO()
        coco.dataset = {
            "info": {},  # loadRes of some releases copies it
            "images": [_image_entry(image) for image in self.images],
            "categories": [{"id": item.id, "name": item.name} for item in self.categories],
            "annotations": self._by_class(),
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco

    def _by_class(self) -> list[dict[str, object]]:
        """The annotations as COCO's entries, each of a class."""
        known = [item for image in self.images for item in self.annotations[image.id]]
        new = itertools.count(1 + max((item.id for item in known), default=0))
        entries = [_annotation_entry(item) for item in known if item.category_id is not None]
        for region in (item for item in known if item.category_id is None):
            entries += [
                _annotation_entry(replace(region, id=next(new), category_id=category.id))
                for category in self.categories
            ]
        return entries

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
            file = self._file(image)
            content = [file.name, file.bytes, file.sha256]
            _update(digest, [image.id, image.width, image.height, *content])
            _update(digest, [_annotation_entry(item) for item in self.annotations[image.id]])
        return digest.hexdigest()

    @cached_property
    def pixels_fingerprint(self) -> str:
        """SHA-256 in hex over the images alone: their order, sizes and contents.

        Raises:
            ValueError: see `fingerprint`.
        """
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.width} {image.height} {self._file(image).sha256}\n".encode())
        return digest.hexdigest()

    def _file(self, image: ImageRecord) -> ImageFile:
        if image.id not in self.files:
            raise ValueError(f"image id {image.id} ({image.path}) has no entry in `files`")
        return self.files[image.id]


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
    if annotation.difficult:
        entry["difficult"] = 1
    if annotation.segmentation is not None:
        entry["segmentation"] = annotation.segmentation
    return entry


def _update(digest: hashlib._Hash, value: object) -> None:
    digest.update(json.dumps(value, sort_keys=True, default=list).encode())
    digest.update(b"\n")  # JSON has none outside strings: no two sequences run together


def spread(items: Sequence[T], most: int) -> list[T]:
    """Up to `most` of some items, spread evenly over them."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]
