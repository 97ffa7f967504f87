"""The images that an export is compared on, and those that int8 is calibrated on."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict, Field
from torch import Tensor

from detectors.annotated import Annotated as AnnotatedImages
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_split
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.evaluate import check_classes
from detectors.postprocess import Detecting
from launch.cli.calibration import MOST, Pictures
from launch.cli.names import study_around
from launch.cli.options import DataPlace, InFolder
from launch.study.options import Option
from searchspace.words import counted

GENERATED = 16
"""Number of generated images, where there are no others."""

MEMORY = 1 << 30
"""Bytes that the images to compare on take at most, in float32 on the input."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """Images that an export is compared on.

    Attributes:
        words: what they are.
        images: [M, 3, H, W] in 0..1, on the network's input.
        annotated: the same with their annotations, if they have any.
    """

    words: str
    images: Tensor
    annotated: AnnotatedImages | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """What an export is compared on, and calibrated on.

    Attributes:
        seen: each group of images.
        calibration: those for the ranges of int8; None if there are none.
    """

    seen: tuple[Seen, ...]
    calibration: Seen | None

    @property
    def annotated(self) -> AnnotatedImages | None:
        """The images that AP is computed on, if there are any."""
        return next((seen.annotated for seen in self.seen if seen.annotated), None)


class ComparedOptions(DataPlace):
    """The images. Without any, those of the study that the model is from, or generated ones."""

    model_config = ConfigDict(title="Images to compare on")

    images: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None,
        description="Images to compare on; for int8, training images, which it is calibrated on, "
        "too.",
    )
    val_images: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None, description="Further images to compare on."
    )
    most: int = Field(
        default=MOST, ge=1, le=10_000, description="Most images of each kind, spread evenly."
    )

    def check(self) -> None:
        """A usage error where the options do not go together."""
        if self.data and (self.images or self.val_images):
            raise typer.BadParameter("give either it or folders of images", param_hint="--data")
        if self.val_share and not self.data:
            raise typer.BadParameter("it goes with --data only", param_hint="--val-share")
        if self.val_images and not self.images:
            raise typer.BadParameter("it goes with --images only", param_hint="--val-images")


def compared(
    options: ComparedOptions,
    detector: Detecting,
    model: Path,
    reading: dict[str, Any],
    int8: bool,
    force: bool,
    say: Say,
) -> Compared:
    """The images that the options name, or those of the model's study, or generated ones.

    Args:
        model: where the detector lies.
        reading: arguments of `read_split`.
        int8: whether images to calibrate on are needed.
        force: any images will do.

    Raises:
        InputError: images are missing or will not do.
    """
    height, width = detector.canvas.size
    most = min(options.most, max(1, MEMORY // (4 * 3 * height * width)))
    if options.images:
        given = [folder for folder in (options.images, options.val_images) if folder]
        seen = tuple(_of_folder(folder, detector, most, force, say) for folder in given)
        return Compared(seen, seen[0])
    source = options.found() if options.data else _source_of_study(model, say)
    if source:
        val = read_split(source.val, **reading)
        train = read_split(source.train, **reading) if int8 else None
        return compared_on(source, val, train, detector, most)
    if int8:
        raise typer.BadParameter(
            "int8 needs --images, a folder of training images, or --data",
            param_hint="--precision",
        )
    return Compared((_generated(detector, most, say),), None)


def compared_on(
    source: DataSource, val: Dataset, train: Dataset | None, detector: Detecting, most: int = MOST
) -> Compared:
    """The images of both splits of some data: the validation split to compare on, the training
    split, where int8 needs it, to calibrate on.

    Args:
        most: the most images of each.
    """
    seen = _of_split(source.val, val, detector, most)
    if train is None:
        return Compared((seen,), None)
    calibration = _of_split(source.train, train, detector, most)
    return Compared((seen,), dataclasses.replace(calibration, annotated=None))


def _of_folder(folder: Path, detector: Detecting, most: int, force: bool, say: Say) -> Seen:
    pictures = Pictures.read(folder, detector.canvas, most, fit=not force)
    for line in pictures.warnings():
        say(f"warning: {line}")
    return Seen(f"{pictures}", pictures.images)


def _of_split(split: Split, read: Dataset, detector: Detecting, most: int) -> Seen:
    check_classes(detector, read)
    found = AnnotatedImages.of(read, detector.canvas, most)
    words = f"{counted(len(found.split.images), 'image')} of {split.shown(split.images)}"
    return Seen(words, found.floats, found)


def _source_of_study(model: Path, say: Say) -> DataSource | None:
    """The data of the study that a model is from, if both are still there."""
    study = study_around(model)
    if study is None:
        return None
    from launch.study.settings import read_settings  # Optuna: only for a study's.

    source = read_settings(study).known_source
    if source is None:
        return None
    val = source.val
    if val.fetched or (val.images.exists() and val.annotations.exists()):
        return source
    say(f"warning: the validation images of the study, {val.images}, are gone")
    return None


def _generated(detector: Detecting, most: int, say: Say) -> Seen:
    """Textured shapes; they show whether two forms compute the same, and not how well."""
    count = min(most, GENERATED)
    say("compared on generated images: real ones, with --images or --data, are better")
    with tempfile.TemporaryDirectory() as folder:
        shapes = ShapesConfig(train_images=1, val_images=count)
        place = generate_shapes(Path(folder) / "shapes", shapes)
        pictures = Pictures.read(place / "val", detector.canvas)
    return Seen(f"{counted(count, 'generated image')}", pictures.images)
