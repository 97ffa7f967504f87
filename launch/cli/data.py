"""The commands `sparrow data shapes | check | subset | preview`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from detectors.data.dataset import Dataset
from detectors.data.health import data_health, oddities, split_figures, split_oddities
from detectors.data.readers import Split
from detectors.data.reading import read_source, read_split
from detectors.data.shapes import MIN_SIZE, ShapesConfig, generate_shapes
from detectors.data.subset import cut_annotations
from detectors.detector import SMALL_AREA
from detectors.files import write_atomically
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.options import FolderOrFile, Seed
from launch.cli.terminal import console
from launch.study.search_settings import DataOptions
from launch.trial.data import TrialData, found_in_words
from launch.trial.health import warnings_of
from launch.trial.preconditions import check_objects

MOST_SIDE = 8192
"""Pixels of a side; a larger image takes gigabytes."""

MOST_COUNT = 10**9

ImageCount = Annotated[int, typer.Option(min=1, max=1_000_000)]
CocoFile = Annotated[
    Path,
    typer.Option(parser=option_types.in_file, metavar="FILE", help="COCO annotation file."),
]


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
    generate_shapes(folder, ShapesConfig(train_images, val_images, size, seed))
    console.say(f"{train_images} training and {val_images} validation images: {folder}")


@with_options
def check_command(source: FolderOrFile, data: DataOptions) -> None:
    found = source.read()
    if isinstance(found, Split):
        read = read_split(found, **data.reading)
        _say_checked(found, read)
        odd = split_oddities("given", split_figures(read))
    else:
        train, val = read_source(found, **data.reading)
        _say_checked(found.train, train)
        _say_checked(found.val, val)
        both = TrialData(train, val)
        console.say(found_in_words(found, both))
        check_objects(both)
        odd = oddities(data_health(train, val))
    for words in warnings_of(odd):
        console.say(words)


def _say_checked(split: Split, read: Dataset) -> None:
    """What a split holds, and what was dropped of it."""
    annotated = [a for items in read.annotations.values() for a in items]
    objects = [a for a in annotated if not a.iscrowd]
    small = sum(a.area < SMALL_AREA for a in objects)
    numbers = {
        "difficult": sum(a.difficult for a in objects),
        "ignore regions": len(annotated) - len(objects),
    }
    more = "".join(f", {number} {name}" for name, number in numbers.items() if number)
    counts = [sum(not a.iscrowd for a in items) for items in read.annotations.values()]
    console.say(
        f"{split.annotations}: {len(read.images)} images, {len(objects)} objects ({small} small"
        f"{more}) of {read.num_classes} categories, {read.dropped_in_words()}; "
        f"{counts.count(0)} images without an object, {max(counts)} objects on one at most"
    )
    for problem in read.skipped:
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
    if out.exists():
        raise FileExistsError(f"{out} exists; choose another file, or delete it")
    names = [name.strip() for name in classes.split(",")]
    document = cut_annotations(annotations, names, count, seed, all_images)
    write_atomically(out, json.dumps(document))
    console.say(f"{len(document['images'])} images, {len(document['annotations'])} objects: {out}")
