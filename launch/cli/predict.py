"""`sparrow predict`: a saved detector's detections as files for evaluation servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict, Field

from detectors.data.dataset import Dataset
from detectors.data.node_cache import NodeCache
from detectors.data.reading import read_split, read_unannotated
from detectors.evaluate import detect_split
from detectors.models import Model
from detectors.servers import VOC_FILE, check_voc_names, write_coco, write_voc
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.models import find_model
from launch.cli.options import DataPlace, DeviceOption, InFile, InFolder, ModelName, PrintJson
from launch.cli.terminal import console
from launch.study.data_options import CacheOptions
from launch.study.options import Option
from launch.trial.run import pick_device
from searchspace.words import counted

VOC_FILES = VOC_FILE.format("*")


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

    def check(self, needs_ids: bool) -> None:
        """A usage error where the options do not go together, or name no ids where needed."""
        if bool(self.data) == bool(self.images):
            raise typer.BadParameter("give either --data or --images")
        if self.data and self.annotations:
            raise typer.BadParameter("it goes with --images only", param_hint="--annotations")
        if self.val_share and not self.data:
            raise typer.BadParameter("it goes with --data only", param_hint="--val-share")
        if needs_ids and not (self.data or self.annotations):
            raise typer.BadParameter(
                "COCO's ids of images and categories are in a file: give --annotations, such as "
                "image_info_test-dev2017.json"
            )

    def read(self, model: Model, reading: dict[str, Any]) -> Dataset:
        if self.data:
            return read_split(self.found().val, **reading)
        if self.images is None:
            raise ValueError("options were not checked")
        return read_unannotated(self.images, self.annotations, model.classes, **reading)


@with_options
def predict_command(
    name: ModelName,
    to: Annotated[str, typer.Option(help="Form of the result: coco or voc.")],
    out: Annotated[
        Path,
        typer.Option(
            parser=option_types.path,
            metavar="PATH",
            help="What to write: a JSON file (coco), or a folder of text files (voc).",
        ),
    ],
    images: ImageOptions,
    data: CacheOptions,
    where: DeviceOption,
    as_json: PrintJson = False,
) -> None:
    """Write a detector's detections on images as the servers of COCO or VOC take them."""
    if to not in ("coco", "voc"):
        raise typer.BadParameter(f"{to!r}: there are coco and voc", param_hint="--to")
    images.check(needs_ids=to == "coco")
    (option_types.out_file if to == "coco" else option_types.out_folder)(out)
    if out.is_file() or any(out.glob(VOC_FILES)):
        raise FileExistsError(f"{out} exists; choose another path, or delete it")
    device = pick_device(where.device)
    model = find_model(name, device)
    split = images.read(model, data.reading)
    if to == "voc":
        check_voc_names(split)
    results = detect_split(model.detector, split, model.device, NodeCache.of_gb(data.cache_gb))
    if to == "voc":
        write_voc(results, split, out)
    else:
        write_coco(results, out)
    dropped = f"; {split.dropped_in_words()}" if split.skipped else ""
    numbers = {"detections": len(results), "images": len(split.images)}
    if as_json:
        console.say_json({"file": str(out), "form": to, **numbers, "dropped": len(split.skipped)})
        return
    found = f"{counted(len(results), 'detection')} on {counted(len(split.images), 'image')}"
    console.say(f"{out}: {found}{dropped}")
