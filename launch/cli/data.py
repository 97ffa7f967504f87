"""The commands `sparrow data shapes | check | subset | preview`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from detectors.data.dataset import Dataset
from detectors.data.health import data_health, oddities, split_figures, split_oddities
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_source, read_split
from detectors.data.shapes import MIN_SIZE, ShapesConfig, generate_shapes
from detectors.data.subset import cut_annotations
from detectors.data.validation import DataError, Problem, by_cause
from detectors.detector import SMALL_AREA
from detectors.evaluation.truth import detections_needed
from detectors.files import write_atomically
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.options import AsJson, FolderOrFile, PlaceOfData, Seed
from launch.cli.terminal import console, errors
from launch.study.data_options import DataOptions
from launch.study.options import Group
from launch.trial.data import TrialData, found_in_words
from launch.trial.health import warnings_of
from launch.trial.preconditions import check_objects
from searchspace.measuring import COCO_DETECTIONS
from searchspace.words import counted

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
    images = f"{train_images} training and {counted(val_images, 'validation image')}"
    console.say(f"{images}: {folder}")


class CheckOptions(Group):
    """How findings are printed."""

    as_json: AsJson = False


@with_options
def check_command(
    source: FolderOrFile, data: DataOptions, form: CheckOptions, place: PlaceOfData = None
) -> None:
    found = source.at(place).read()
    say = errors.say if form.as_json else console.say
    try:
        splits, odd = _checked(found, data, say)
    except DataError as error:
        if form.as_json:
            console.say_json({"ok": False, **_findings(error.problems, error.warnings)})
            raise typer.Exit(1) from None
        for warning in by_cause(error.warnings):
            console.say(f"warning: {warning.file}: {warning}")
        raise
    if form.as_json:
        dropped = [problem for _, read in splits for problem in read.skipped]
        warnings = [warning for _, read in splits for warning in read.warnings]
        read = [{"annotations": s.shown(s.annotations), **_counts(r)} for s, r in splits]
        told = {"ok": True, "splits": read, **_findings(dropped, warnings), "odd": list(odd)}
        console.say_json(told)
        return
    names = ("training data", "validation data") if len(splits) == 2 else ("given data",)
    for name, (split, read) in zip(names, splits, strict=True):
        _say_checked(f"{name} ({split.shown(split.annotations)})", read)
    for words in warnings_of(odd):
        console.say(words)


def _checked(
    found: DataSource | Split, data: DataOptions, say: Callable[[str], None]
) -> tuple[list[tuple[Split, Dataset]], Iterable[str]]:
    """Each split as it was read, and what is odd about the data."""
    if isinstance(found, Split):
        read = read_split(found, **data.reading)
        return [(found, read)], split_oddities("given", split_figures(read))
    train, val = read_source(found, **data.reading)
    both = TrialData(train, val)
    say(found_in_words(found, both))
    check_objects(both)
    return [(found.train, train), (found.val, val)], oddities(
        data_health(train, val, detections=both.detections)
    )


def _findings(problems: Iterable[Problem], warnings: Iterable[Problem]) -> dict[str, Any]:
    """Problems and warnings by cause, as JSON."""
    parts = {"problems": problems, "warnings": warnings}
    fields = ("file", "entry", "what", "fix", "count")
    return {
        name: [{key: getattr(found, key) for key in fields} for found in by_cause(part)]
        for name, part in parts.items()
    }


def _counts(read: Dataset) -> dict[str, int]:
    """The numbers of a split by what they are called."""
    annotated = [a for items in read.annotations.values() for a in items]
    objects = [a for a in annotated if not a.iscrowd]
    counts = [sum(not a.iscrowd for a in items) for items in read.annotations.values()]
    images, annotations = read.listed or (len(read.images), len(annotated))
    return {
        "images": len(read.images),
        "objects": len(objects),
        "small": sum(a.area < SMALL_AREA for a in objects),
        "difficult": sum(a.difficult for a in objects),
        "ignore regions": len(annotated) - len(objects),
        "categories": read.num_classes,
        "images listed": images,
        "annotations listed": annotations,
        "without an object": counts.count(0),
        "most objects": max(counts),
    }


def _say_checked(name: str, read: Dataset) -> None:
    """What a split holds, what was mended, and what was dropped of it, by cause."""
    counts = _counts(read)
    more = "".join(
        f", {counts[kind]:,} {kind}" for kind in ("difficult", "ignore regions") if counts[kind]
    )
    most = detections_needed(read)
    usual = most == COCO_DETECTIONS
    scored = "" if usual else f"; {most} detections of an image are kept and scored, not COCO's 100"
    console.say(
        f"{name}: {counted(counts['images'], 'image')}, {counted(counts['objects'], 'object')} "
        f"({counts['small']:,} small{more}) of {counted(read.num_classes, 'category')}, "
        f"{read.dropped_in_words()}; {counted(counts['without an object'], 'image')} without an "
        f"object, {counted(counts['most objects'], 'object')} on one at most{scored}"
    )
    for warning in read.warnings:
        console.say(f"warning: {warning}")
    for problem in by_cause(read.skipped):
        console.say(f"dropped: {problem}")


def subset_command(
    annotations: CocoFile,
    classes: Annotated[
        list[str], typer.Option(help="Classes to keep, e.g. person,car. Repeatable.")
    ],
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
    document = cut_annotations(annotations, classes, count, seed, all_images)
    write_atomically(out, json.dumps(document))
    images, objects = len(document["images"]), len(document["annotations"])
    console.say(f"{counted(images, 'image')}, {counted(objects, 'object')}: {out}")
