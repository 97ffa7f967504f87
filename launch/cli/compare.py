"""`sparrow compare`: models on the same images, or the fronts of studies, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from rich.table import Table

from detectors.data.node_cache import NodeCache
from detectors.data.reading import read_split
from detectors.evaluate import detect_split
from detectors.files import write_atomically
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.models import find_model
from launch.cli.options import DeviceOption, FolderOrFile, Options, OutFolder, PrintJson
from launch.cli.terminal import console, figure_table
from launch.figures import FIGURES, show, with_unit
from launch.files import COMPARISON_HTML, COMPARISON_JSON, SETTINGS
from launch.report.comparison import (
    ModelComparison,
    class_rows,
    compared_models,
    comparison_page,
    draw_disagreements,
    figure_rows,
)
from launch.report.fronts import FrontSummary, summary_of
from launch.study.data_options import CacheOptions
from launch.study.options import Option
from launch.trial.run import pick_device
from searchspace.words import counted

Names = Annotated[
    list[str],
    typer.Argument(
        parser=option_types.model,
        metavar="MODEL|RUN...",
        help="Two or more models (see sparrow eval), or the folders of two or more studies.",
    ),
]


class CompareOptions(Options):
    """What is written."""

    out: Annotated[OutFolder | None, Option("FOLDER")] = Field(
        default=None,
        description=f"Write {COMPARISON_HTML}, {COMPARISON_JSON} and pictures of the images on "
        "which the first two models differ the most into this folder.",
    )


@with_options
def compare_command(
    names: Names,
    place: FolderOrFile,
    options: CompareOptions,
    data: CacheOptions,
    where: DeviceOption,
    as_json: PrintJson = False,
) -> None:
    """Models need --data, or --images and --annotations; studies need neither."""
    if len(names) < 2:
        raise typer.BadParameter(f"give two or more models or studies, not only {names[0]}")
    studies = [(Path(name) / SETTINGS).exists() for name in names]
    if any(studies) and not all(studies):
        one = names[studies.index(True)]
        raise typer.BadParameter(
            f"{one} is a whole study and others are models; name one of its trials, such as {one}:0"
        )
    if all(studies):
        _fronts([summary_of(Path(name)) for name in names], as_json)
        return
    images, _ = place.scored()
    split = read_split(images, **data.reading)
    cache, device = NodeCache.of_gb(data.cache_gb), pick_device(where.device)
    models = [find_model(name, device) for name in names]
    results = [detect_split(model.detector, split, model.device, cache) for model in models]
    compared, shown = compared_models(split, names, results)
    if options.out is not None:
        pictures = draw_disagreements(compared, split, shown, options.out / "pictures")
        paths = [file.relative_to(options.out).as_posix() for file in pictures]
        write_atomically(options.out / COMPARISON_JSON, compared.model_dump_json(indent=1))
        write_atomically(options.out / COMPARISON_HTML, comparison_page(compared, paths))
    if as_json:
        console.say_json(compared.model_dump(mode="json"))
        return
    _print_models(compared)
    if options.out is not None:
        console.say(f"Report: {options.out / COMPARISON_HTML}")


def _print_models(compared: ModelComparison) -> None:
    first, second, *_ = compared.models
    console.print(_table(compared.headings, figure_rows(compared)))
    console.print(_table(["Class, AP", *compared.models], class_rows(compared)))
    images = counted(len(compared.disagreements), "image")
    console.say(f"{first} and {second} disagree on {images} of {compared.images}.")


def _fronts(fronts: list[FrontSummary], as_json: bool) -> None:
    if as_json:
        console.say_json([front.model_dump(mode="json") for front in fronts])
        return
    names = list(fronts[0].best)
    headings = [
        "Study",
        "Trials",
        "Front",
        "Hypervolume",
        *(f"Best {FIGURES[n].label}" for n in names),
    ]
    rows: list[tuple[str, ...]] = [
        (
            front.name,
            str(front.trials),
            str(front.members),
            show("ap", front.hypervolume),
            *(with_unit(name, front.best.get(name)) for name in names),
        )
        for front in fronts
    ]
    console.print(_table(headings, rows))
    places = dict.fromkeys(front.measured_on for front in fronts)
    if len(places) > 1:
        console.say(f"Speeds are not comparable: measured on {'; '.join(places)}.")
    if len({front.fingerprint for front in fronts}) > 1:
        console.say("Accuracies are not comparable: the studies have different data.")


def _table(headings: list[str], rows: list[tuple[str, ...]]) -> Table:
    made = figure_table(*headings, fold=True)
    for row in rows:
        made.add_row(*row)
    return made
