"""`sparrow describe`: a detector as tables, layer by layer, then level by level."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table

from detectors.declared import check_declared
from detectors.describe import Description, describe, describe_layers, skeleton
from detectors.detector import Detector
from detectors.dry_run import dry_run
from launch.cli import option_types
from launch.cli.models import find_system
from launch.cli.options import PrintJson
from launch.cli.papers import published_in_words
from launch.cli.terminal import console
from searchspace import DetectorConfig, Published
from searchspace.heads import LevelPoints
from searchspace.priors import LevelPriors
from searchspace.words import TIMES, on_axes


def describe_command(
    system: Annotated[
        str,
        typer.Argument(
            parser=option_types.model,
            metavar="SYSTEM",
            help="A paper's system, such as mfssd_bn, a trial (RUN:3, or as JSON), or the folder "
            "of a saved detector.",
        ),
    ],
    as_json: PrintJson = False,
) -> None:
    """Show a detector layer by layer: shapes, parameters, MACs, priors."""
    detector, published = find_system(system)
    if not isinstance(detector, Detector):
        check_declared(detector)
    if as_json:
        console.say_json(as_tree(detector, published))
    else:
        console.print(description(detector, published))


def as_tree(detector: Detector | DetectorConfig, published: Published | None) -> dict[str, Any]:
    """The same as JSON."""
    detector = skeleton(detector)
    return {
        "input_size": detector.config.size,
        **asdict(describe(detector)),
        "layers": [asdict(layer) for layer in describe_layers(detector)],
        "published": published and asdict(published),
    }


def description(detector: Detector | DetectorConfig, published: Published | None) -> Group:
    """Layers, levels with their priors, and a paper's published figures."""
    detector = skeleton(detector)
    counted = describe(detector)
    parts = [_layer_table(detector, counted), _level_table(detector, counted)]
    return Group(*parts, *([published_in_words(published)] if published else []))


def _layer_table(detector: Detector, counted: Description) -> Table:
    size = on_axes(detector.config.input_size)
    table = Table(title=f"Layers, for {size} pixels", header_style="bold")
    table.add_column("Part", no_wrap=True)
    for heading in ("Layer", "Output"):  # In a narrow terminal these wrap, and numbers stay whole.
        table.add_column(heading, overflow="fold")
    for heading in ("Parameters", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    layers = describe_layers(detector)
    for part, members in itertools.groupby(layers, key=lambda layer: layer.part):
        for layer in members:
            outputs = dict.fromkeys(TIMES.join(map(str, shape)) for shape in layer.outputs)
            numbers = (f"{layer.params:,}", f"{layer.macs:,}")
            table.add_row(part, layer.name, ", ".join(outputs), *numbers)
        table.add_section()
    table.add_row("total", "", "", f"{counted.params:,}", f"{counted.macs:,}", style="bold")
    return table


def _level_table(detector: Detector, counted: Description) -> Table:
    table = Table(title="Levels and their priors, in pixels", header_style="bold")
    headings = ("Level", "Channels", "Cells", "Step", "Sizes", "Per cell", "Priors")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading != "Sizes")
    maps = dry_run(detector).maps
    rows = zip(maps, detector.config.priors(), counted.priors_per_level, strict=True)
    for number, (features, prior, count) in enumerate(rows):
        _, channels, height, width = features.shape
        table.add_row(
            str(number),
            str(channels),
            f"{height}{TIMES}{width}",
            on_axes(prior.step),
            _sizes(prior),
            str(prior.boxes_per_cell),
            f"{count:,}",
        )
    table.add_section()
    table.add_row("total", *[""] * 5, f"{sum(counted.priors_per_level):,}", style="bold")
    return table


def _sizes(prior: LevelPriors | LevelPoints) -> str:
    if isinstance(prior, LevelPriors):
        return f"{prior.min_size:g} to {prior.max_size:g}"
    return "points"
