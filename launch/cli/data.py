"""The commands `sparrow data shapes | check | subset | preview`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from torchvision.io import encode_png

from detectors.data.coco import DataSource, Split, read_split
from detectors.data.shapes import MIN_SIZE, ShapesConfig, generate_shapes
from detectors.data.subset import cut_annotations
from detectors.detector import SMALL_AREA
from detectors.files import write_atomically
from launch.cli import option_types
from launch.cli.names import read_trial
from launch.cli.options import Annotations, Data, Images, Seed, SkipBad
from launch.cli.preview import OTHER, PASTED, SMALL, contact_sheet
from launch.cli.terminal import console
from searchspace import TrainConfig
from searchspace.detector import DetectorConfig
from searchspace.geometry import InputSize
from searchspace.reading import in_words

SHARE = option_types.number(low=0, high=1)
MOST_SIDE = 8192
"""Pixels of a side; a larger image takes gigabytes."""

MOST_COUNT = 10**9

ImageCount = Annotated[int, typer.Option(min=1, max=1_000_000)]
CocoFile = Annotated[
    Path,
    typer.Option(parser=option_types.in_file, metavar="FILE", help="COCO annotation file."),
]

PLAIN = {"photometric": 0.0, "zoom_out": 0.0, "crop": 0.0, "flip": 0.0}
"""The augmentation with `--plain`."""


def shapes_command(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=option_types.out_folder,
            metavar="FOLDER",
            help="Folder to write to.",
        ),
    ],
    train_images: ImageCount = ShapesConfig.train_images,
    val_images: ImageCount = ShapesConfig.val_images,
    size: Annotated[
        int, typer.Option(min=MIN_SIZE, max=MOST_SIDE, help="Side of the images in pixels.")
    ] = ShapesConfig.size,
    seed: Seed = ShapesConfig.seed,
) -> None:
    """Write the generated data set as a COCO folder."""
    generate_shapes(folder, ShapesConfig(train_images, val_images, size, seed))
    console.say(f"{train_images} training and {val_images} validation images: {folder}")


def check_command(
    images: Annotated[
        Path,
        typer.Option(parser=option_types.in_folder, metavar="FOLDER", help="Image folder."),
    ],
    annotations: CocoFile,
    skip_bad: SkipBad = False,
) -> None:
    """Check a data set as a search would; exits 0 when it can be used, 1 when not."""
    split = read_split(Split(images, annotations), skip_bad)
    objects = [a for found in split.annotations.values() for a in found]
    small = sum(a.area < SMALL_AREA for a in objects)
    console.say(
        f"{annotations}: {len(split.images)} images, {len(objects)} objects ({small} small) of "
        f"{split.num_classes} categories, {split.dropped_in_words()}"
    )
    for problem in split.skipped:
        console.say(f"dropped: {problem.entry}: {problem.what}")


def subset_command(
    annotations: CocoFile,
    classes: Annotated[str, typer.Option(help="Classes to keep, e.g. person,car.")],
    out: Annotated[
        Path,
        typer.Option(
            parser=option_types.out_file,
            metavar="FILE",
            help="Annotation file to write; images are not copied.",
        ),
    ],
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST_COUNT, help="Number of images; default: all.")
    ] = None,
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Also keep images without such objects.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Reduce an annotation file to some classes and a random subset of its images."""
    if out.exists():
        raise FileExistsError(f"{out} exists; choose another file, or delete it")
    names = [name.strip() for name in classes.split(",")]
    document = cut_annotations(annotations, names, count, seed, all_images)
    write_atomically(out, json.dumps(document))
    console.say(f"{len(document['images'])} images, {len(document['annotations'])} objects: {out}")


def preview_command(
    data: Data = None,
    images: Images = None,
    annotations: Annotations = None,
    config: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.in_file,
            metavar="FILE",
            help="A trial as JSON, instead of augmentation options.",
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, max=MOST_SIDE, help="Input size in pixels.")
    ] = None,
    copies: Annotated[
        int | None, typer.Option(min=0, max=3, help="Additional images of copy-paste.")
    ] = None,
    pastes: Annotated[
        int | None, typer.Option(min=1, max=3, help="Pastes of each small object.")
    ] = None,
    probability: Annotated[
        float | None,
        typer.Option(
            parser=SHARE, metavar="NUMBER", help="Probability of pasting into an original image."
        ),
    ] = None,
    source: Annotated[
        Literal["mask", "box", "mask_or_box"] | None,
        typer.Option(help="Cut out pastes by mask or box."),
    ] = None,
    mosaic: Annotated[
        float | None,
        typer.Option(parser=SHARE, metavar="NUMBER", help="Probability of a mosaic."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="No changes of colour, zoom, crop or flip.")
    ] = False,
    count: Annotated[int, typer.Option(min=1, max=1024, help="Number of images.")] = 16,
    seed: Seed = 0,
    out: Annotated[
        Path,
        typer.Option(parser=option_types.out_file, metavar="FILE", help="PNG to write."),
    ] = Path("preview.png"),
    skip_bad: SkipBad = False,
) -> None:
    """Draw augmented training images with their boxes and class names."""
    pasting = {"copies": copies, "pastes": pastes, "probability": probability, "source": source}
    augment = (PLAIN if plain else {}) | _given({"mosaic": mosaic})
    train, input_size = _recipe(config, _given(pasting), augment, size)
    split = read_split(_split(data, images, annotations), skip_bad)
    sheet = contact_sheet(split, train, input_size, count, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(encode_png(sheet).numpy().tobytes())
    console.say(f"Boxes: {PASTED} pasted, {SMALL} small, {OTHER} others. {out}")


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _recipe(
    config: Path | None,
    pasting: Mapping[str, object],
    augment: Mapping[str, object],
    size: int | None,
) -> tuple[TrainConfig, InputSize]:
    """The augmentation, and the input size."""
    if config is None:
        try:
            train = TrainConfig.model_validate({"copy_paste": pasting, "augment": augment})
        except ValidationError as error:
            raise typer.BadParameter(in_words(error)) from None
        return train, DetectorConfig().input_size if size is None else size
    if pasting or augment or size is not None:
        raise typer.BadParameter(
            "it sets the augmentation; give either it or augmentation options",
            param_hint="--config",
        )
    trial = read_trial(config)
    return trial.train, trial.detector.input_size


def _split(data: Path | None, images: Path | None, annotations: Path | None) -> Split:
    """The split that the options name; for a data folder the training split."""
    if bool(data) == bool(images or annotations):
        raise typer.BadParameter("give --data, or --images and --annotations")
    if data:
        return DataSource.from_folder(data).train
    if not (images and annotations):
        raise typer.BadParameter("give both --images and --annotations")
    return Split(images, annotations)
