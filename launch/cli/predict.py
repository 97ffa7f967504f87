"""`sparrow predict`: a model's detections drawn on images, and as files for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import ConfigDict, Field

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.image_files import image_files
from detectors.data.images import LARGE, PICTURE_SIDE, is_large
from detectors.data.node_cache import NodeCache
from detectors.data.reading import read_split, read_unannotated
from detectors.detection_files import image_name, write_csv, write_yolo
from detectors.evaluate import detect_split
from detectors.evaluation.results import Results
from detectors.models import Model
from detectors.servers import VOC_FILE, check_voc_names, write_coco, write_voc
from detectors.videos import is_video
from launch.cli import option_types
from launch.cli.from_fields import option_name, with_options
from launch.cli.models import find_model
from launch.cli.options import (
    DataPlace,
    DeviceOption,
    InFile,
    InFolder,
    InPath,
    ModelName,
    Options,
    PrintJson,
)
from launch.cli.predict_video import PICTURES, VideoTask
from launch.cli.terminal import console, errors
from launch.report.drawing import draw_results
from launch.study.data_options import CacheOptions
from launch.study.options import Option
from launch.trial.run import pick_device
from searchspace.errors import InputError
from searchspace.words import command, counted

PREDICTIONS = "predictions"
FILES = ("csv", "coco")
"""The forms that are one file; the others are a folder."""

ALL = ("coco", "voc")
"""The forms for evaluation servers, which want every detection there is."""

UNCHOSEN = 0.3
"""The threshold of a model for which none was chosen."""

VOC_FILES = VOC_FILE.format("*")


class FormOptions(Options):
    """What is written, and which detections."""

    to: str = Field(
        default=PICTURES,
        description="Form of the result: pictures, csv, yolo, coco or voc. Pictures have a "
        "detections.csv beside them. Of a video: pictures, which become a video, csv or coco.",
    )
    out: Annotated[InPath | None, Option("PATH")] = Field(
        default=None,
        description="What to write: a file (csv, coco) or a folder (pictures, yolo, voc); by "
        "default the folder predictions for pictures.",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Least score of a detection; by default that which sparrow eval chose for "
        "each class, and for coco and voc none.",
    )

    def place(self) -> Path:
        """Where the result goes; a usage error where that is no place for it."""
        if self.to not in WRITE:
            raise typer.BadParameter(
                f"{self.to!r}: there are {', '.join(WRITE)}", param_hint="--to"
            )
        if self.out is None and self.to != PICTURES:
            raise typer.BadParameter(f"{self.to} needs it", param_hint="--out")
        out = self.out or Path(PREDICTIONS)
        (option_types.out_file if self.to in FILES else option_types.out_folder)(out)
        full = out.is_dir() and any(out.glob(VOC_FILES if self.to == "voc" else "*"))
        if out.is_file() or full:
            raise FileExistsError(f"{out} exists; choose another path, or delete it")
        return out

    def least(self, model: Model) -> np.ndarray | None:
        """[1 + K], the least score that is written, by label; None for all."""
        if self.threshold is None and self.to in ALL:
            return None
        least = np.full(1 + len(model.classes), UNCHOSEN)
        if self.threshold is not None:
            least[:] = self.threshold
        elif model.thresholds is not None:
            least[1:] = model.thresholds.scores().numpy()
        return least

    def kept(self, results: Results, split: Dataset, model: Model) -> Results:
        """The detections that are written."""
        least = self.least(model)
        if least is None:
            return results
        labels = [split.label_of(key) for key in results.categories.tolist()]
        return results.at(results.scores >= least[labels])

    def in_words(self, model: Model) -> str:
        """Which detections are written."""
        if self.threshold is not None:
            return f"scores of {self.threshold:g} or more"
        if self.to in ALL:
            return "all scores"
        if model.thresholds is None:
            evaluate = command("eval", model.path, "--data", "FOLDER")
            return (
                f"scores of {UNCHOSEN:g} or more, as no threshold was chosen: {evaluate} chooses "
                "one for each class"
            )
        chosen = (
            f"{name} {'never' if found.score is None else format(found.score, '.2f')}"
            for name, found in model.thresholds.classes.items()
        )
        return f"thresholds of {model.thresholds}: {', '.join(chosen)}"


class ImageOptions(DataPlace):
    """The images, and what their ids and those of the classes are."""

    model_config = ConfigDict(title="Images")

    images: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None, description="Folder of images, in place of --data."
    )
    annotations: Annotated[InFile | None, Option("FILE")] = Field(
        default=None,
        description="COCO file that lists the images and the categories, with or without "
        "annotations, such as image_info_test-dev2017.json.",
    )

    every: int = Field(
        default=1,
        ge=1,
        description="Of a video, look at every Nth frame only, beginning with the first.",
    )

    def check(self, sources: list[Path], needs_ids: bool, reading: CacheOptions) -> None:
        """A usage error where the options do not go together, or name no ids where needed."""
        video = any(map(is_video, sources))
        for name, field in type(reading).model_fields.items() if video else ():
            if name in reading.model_fields_set:
                raise typer.BadParameter(
                    "it is about images and says nothing of a video; leave it out",
                    param_hint=option_name(name, field),
                )
        if video and len(sources) > 1:
            raise typer.BadParameter("give one video, and nothing beside it")
        if "every" in self.model_fields_set and not video:
            raise typer.BadParameter("it goes with a video only", param_hint="--every")
        for name in ("data", "images") if video else ():
            if name in self.model_fields_set:
                raise typer.BadParameter("it does not go with a video", param_hint=f"--{name}")
        if sum(map(bool, (self.data, self.images, sources))) != 1:
            raise typer.BadParameter(
                "give either --data or --images, or else images or folders after the model"
            )
        if self.annotations and not self.images:
            raise typer.BadParameter("it goes with --images only", param_hint="--annotations")
        if self.val_share and not self.data:
            raise typer.BadParameter("it goes with --data only", param_hint="--val-share")
        if needs_ids and self.images and not self.annotations:
            raise typer.BadParameter(
                "COCO's ids of images and categories are in a file: give --annotations, such as "
                "image_info_test-dev2017.json"
            )

    def read(self, sources: list[Path], model: Model, reading: dict[str, Any]) -> Dataset:
        if self.data:
            return read_split(self.found().val, **reading)
        if self.images is not None:
            return read_unannotated(self.images, self.annotations, model.classes, **reading)
        files = [file for source in sources for file in _images_at(source)]
        root = Path(os.path.commonpath([file.parent for file in files]))
        return read_unannotated(root, None, model.classes, files=files, **reading)


def _images_at(source: Path) -> list[Path]:
    """The images in a folder, or the file itself, by absolute paths."""
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    found = image_files(source.absolute()) if source.is_dir() else [source.absolute()]
    if not found:
        raise InputError(f"{source}: there are no images in this folder")
    return found


def _draw(results: Results, split: Dataset, folder: Path) -> None:
    draw_results(results, split, folder)
    write_csv(results, split, folder / "detections.csv")


def reduced_in_words(images: Sequence[ImageRecord]) -> str:
    """How many pictures are smaller than their images."""
    large = sum(is_large(image.width, image.height) for image in images)
    if not large:
        return ""
    return (
        f"; {counted(large, 'picture')} of more than {LARGE:g} megapixels reduced to "
        f"{PICTURE_SIDE} pixels on the longer side"
    )


def _write_coco(results: Results, split: Dataset, file: Path) -> None:
    write_coco(results, file)


def _write_named(results: Results, split: Dataset, file: Path) -> None:
    """COCO's form for images that have no ids: they are numbered by name, and each row has it."""
    names = {image.id: image_name(split, image) for image in split.images}
    write_coco([{**row, "file_name": names[row["image_id"]]} for row in results], file)


WRITE: dict[str, Callable[[Results, Dataset, Path], None]] = {
    PICTURES: _draw,
    "csv": write_csv,
    "yolo": write_yolo,
    "coco": _write_coco,
    "voc": write_voc,
}


@with_options
def predict_command(
    name: ModelName,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=option_types.path,
            metavar="IMAGES|FOLDER|VIDEO",
            help="Images, or folders of them, or one video.",
        ),
    ] = None,
    *,
    form: FormOptions,
    images: ImageOptions,
    data: CacheOptions,
    where: DeviceOption,
    as_json: PrintJson = False,
) -> None:
    """In any form of a model: a trial, a saved detector, an exported file."""
    sources = sources or []
    out = form.place()
    images.check(sources, needs_ids=form.to == "coco", reading=data)
    video = next(filter(is_video, sources), None)
    task = VideoTask(video, images.every, form.to, out) if video else None
    if task:
        task.check()
    model = find_model(name, pick_device(where.device))
    say = errors.say if as_json else console.say
    if task:
        say(form.in_words(model))
        done = task.run(model, form.least(model))
        if as_json:
            console.say_json({"file": str(out), "form": form.to, **done._asdict()})
        else:
            console.say(f"{out}: {done.in_words()}")
        return
    split = images.read(sources, model, data.reading)
    if form.to == "voc":
        check_voc_names(split)
    found = detect_split(model.detector, split, model.device, NodeCache.of_gb(data.cache_gb))
    results = form.kept(found, split, model)
    write = _write_named if form.to == "coco" and sources else WRITE[form.to]
    write(results, split, out)
    say(form.in_words(model))
    numbers = {"detections": len(results), "images": len(split.images)}
    if as_json:
        dropped = {"dropped": len(split.skipped)}
        console.say_json({"file": str(out), "form": form.to, **numbers, **dropped})
        return
    dropped = f"; {split.dropped_in_words()}" if split.skipped else ""
    words = f"{counted(len(results), 'detection')} on {counted(len(split.images), 'image')}"
    reduced = reduced_in_words(split.images) if form.to == PICTURES else ""
    console.say(f"{out}: {words}{reduced}{dropped}")
