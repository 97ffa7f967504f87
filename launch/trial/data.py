"""The data of a trial, read and checked once."""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from detectors.data.dataset import Dataset
from detectors.data.health import alike_across
from detectors.data.node_cache import DEFAULT_CACHE, NodeCache
from detectors.data.readers import DataSource
from detectors.data.reading import SkipBad, read_source
from detectors.evaluation.truth import detections_needed
from launch.trial.errors import SettingsError
from searchspace.errors import InputError
from searchspace.geometry import Size
from searchspace.masking import is_address, without_secrets
from searchspace.reading import shown
from searchspace.tiles import Tiled
from searchspace.trial import TrialConfig
from searchspace.words import counted, joined, percent

NAMED = 5
"""The most dropped entries, and classes without an object, that are named."""


class TrialError(InputError):
    """A configuration that does not fit the data; names field, value and fix."""


def given_path(name: str, value: Path | str) -> Path:
    """An argument as a path.

    Raises:
        SettingsError: it is empty, which Python would take for the working folder; or an address.
    """
    if value == "":
        raise SettingsError(f"{name} is empty: give a path")
    if is_address(value):
        raise SettingsError(
            f"{name} {without_secrets(str(value))}: give a path; only a search can be at an address"
        )
    return Path(value)


def median_size(split: Dataset) -> Size:
    """Height and width of the image of median area."""
    ordered = sorted(split.sizes, key=lambda size: (math.prod(size), size))
    return ordered[len(ordered) // 2]


def validation_in(fingerprint: str) -> str:
    """The part of `TrialData.fingerprint` that identifies the validation split."""
    return fingerprint.rpartition("-")[2]


def dropped_in_words(data: TrialData) -> tuple[str, ...]:
    """For each split with dropped entries, a sentence with the numbers dropped and left, and the
    first entries dropped; one for leaks that were left out."""
    leaks = f"training data: images left out as they are validation images, too: {data.leaks}"
    bad = tuple(
        f"{name} data: {split.dropped_in_words()}; dropped: {_named(split)}"
        for name, split in data.named
        if split.skipped
    )
    return (*bad, leaks) if data.leaks else bad


def mended_in_words(data: TrialData) -> tuple[str, ...]:
    """For each split, what was mended or is suspicious in its files: a line for each cause."""
    return tuple(f"warning: {name} data: {w}" for name, split in data.named for w in split.warnings)


def _named(split: Dataset) -> str:
    """The first dropped entries, as in `annotations[3] id 918`."""
    labels = list(dict.fromkeys(problem.entry for problem in split.skipped))
    return ", ".join([*labels[:NAMED], *(["..."] if len(labels) > NAMED else [])])


def found_in_words(source: DataSource, data: TrialData) -> str:
    """What was found, such as `COCO 2017 layout, 118,287 + 5,000 images, 80 classes`, and the
    classes without an object, for each of which a head has outputs all the same."""
    images = f"{len(data.train.images):,} + {len(data.val.images):,} images"
    if source.val.cut:
        images += f" ({percent(source.val.cut.val_share)} held out for validation)"
    words = joined(source.format, images, counted(data.train.num_classes, "class", "classes"))
    empty = [shown(name) for name in data.unused_classes]
    if len(empty) > NAMED:
        empty = [*empty[: NAMED - 1], f"{len(empty) - NAMED + 1} other classes"]
    return words + (f"; no object is of {' or '.join(empty)}" if empty else "")


@dataclass(frozen=True)
class TrialData:
    """Both splits, read and checked once and then used by any number of trials.

    Attributes:
        leaks: training images that were left out because they are validation images, too.
        cache: the decoded images of both splits on a node.
    """

    train: Dataset
    val: Dataset
    leaks: int = 0
    cache: NodeCache = DEFAULT_CACHE

    @classmethod
    def read(
        cls,
        source: DataSource,
        skip_bad: SkipBad = False,
        drop_leaks: bool = False,
        cache_gb: float | None = None,
        **how: Any,
    ) -> TrialData:
        """Read and check both splits.

        Args:
            skip_bad: that of `read_source`.
            drop_leaks: leave out the training images that are validation images, too, byte for
                byte, to the eye, or in a mirror.
            **how: further options of `read_source`.
            cache_gb: gigabytes of decoded images on a node; see `NodeCache`.

        Raises:
            DataError: with every problem found.
            TrialError: no training image is left.
        """
        train, val = read_source(source, skip_bad, **how)
        cache = NodeCache.of_gb(cache_gb)
        if not drop_leaks:
            return cls(train, val, cache=cache)
        leaks = {pair.image for pair in alike_across(train, val)}
        left = train.without(leaks)
        if not left.images:
            raise TrialError(
                f"drop_leaks: all {len(leaks)} training images are validation images, too; train "
                "on others"
            )
        return cls(left, val, len(leaks), cache)

    def here(self) -> TrialData:
        """The same data as this node has them: those at an address are fetched if it lacks them,
        and are what was read there when the search began.

        Raises:
            DataError, RemoteError, NoRoom: they cannot be had; see `Fetched.fetch`.
        """
        splits = (self.train, self.val)
        for split in splits:
            if split.fetched is not None:
                own = [other for other in splits if other.fetched == split.fetched]
                split.fetched.fetch(lambda own=own: dict(ChainMap(*(s.sums for s in own))))
        return replace(self, train=self.train.here(), val=self.val.here())

    @classmethod
    def of(cls, data: TrialData | DataSource | Path | str) -> TrialData:
        """`data` itself, or the data at a source, folder or address, read; raises
        `DataError`."""
        if isinstance(data, TrialData):
            return data
        return cls.read(DataSource.given(data))

    @property
    def named(self) -> tuple[tuple[str, Dataset], ...]:
        """Both splits with what messages call them."""
        return ("training", self.train), ("validation", self.val)

    @cached_property
    def detections(self) -> int:
        """How many detections of an image are kept and scored by default."""
        return detections_needed(self.train, self.val)

    @cached_property
    def image_size(self) -> Size:
        """Height and width of the validation image of median area."""
        return median_size(self.val)

    def decide(self, config: TrialConfig) -> TrialConfig:
        """A trial with what it leaves to the data: how many detections are kept and scored, and the
        size of the images that it is timed on."""
        tiles = config.detector.canvas.tiles
        used = 0.0 if tiles is None else self.tiles_with_objects(tiles)
        return config.with_detections(self.detections).with_images(self.image_size, used)

    def tiles_with_objects(self, tiles: Tiled) -> float:
        """The mean number of tiles of a validation image that have the centre of an object."""
        count = 0
        for image in self.val.images:
            boxes = [item.box for item in self.val.annotations[image.id] if not item.iscrowd]
            centres = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]
            own = tiles.tiles((image.height, image.width))
            count += sum(any(map(tile.contains, centres)) for tile in own)
        return count / len(self.val.images)

    @property
    def unused_classes(self) -> tuple[str, ...]:
        """The classes that no object is of, in training or validation."""
        annotated = itertools.chain.from_iterable(
            items for split in (self.train, self.val) for items in split.annotations.values()
        )
        used = {item.category_id for item in annotated if not item.iscrowd}
        return tuple(c.name for c in self.train.categories if c.id not in used)

    @property
    def fingerprint(self) -> str:
        """Identifies the images and annotations of both splits; see `validation_in`."""
        return f"{self.train.fingerprint}-{self.val.fingerprint}"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(category.name for category in self.train.categories)
