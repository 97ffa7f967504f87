"""`sparrow fps`: several detectors measured in turns, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from pydantic import Field, ValidationError
from rich.console import Group
from rich.table import Table

from detectors.detector import Detector
from detectors.runtimes import RuntimeUnavailable
from detectors.runtimes.deployment import deploy_as
from detectors.timing.cost import Cost
from detectors.timing.measure import Candidate, hardware_name, measure_together
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.models import find_detector
from launch.cli.options import DeviceOption, ImageSize, Options, PrintJson, height_and_width
from launch.cli.terminal import console
from launch.figures import FIGURES, show
from launch.report.speed import LATENCIES, SPEEDS, latency_cells, speed_cells
from launch.trial.run import pick_device
from searchspace.measuring import AUTO, MOST_BATCH, MOST_THREADS, MeasureConfig
from searchspace.reading import in_words
from searchspace.words import counted

NAMES = ("Detector", "Runtime")
DETAILS = (*LATENCIES, FIGURES["params"].label, FIGURES["macs"].label)

CALIBRATION = 8
"""Noise images for the calibration of int8, which affects accuracy but not speed."""


@dataclass(frozen=True)
class Row:
    """One detector in one form: its cost, or why it could not be measured."""

    name: str
    runtime: str
    outcome: Cost | str


class FormOptions(Options):
    """In which form detectors are measured, and for how long."""

    runtime: tuple[str, ...] = Field(
        default=(), description="Runtime; by default the fastest that is installed."
    )
    precision: str = Field(default=AUTO, description="float32, bfloat16, float16 or int8.")
    batch: int = Field(default=1, ge=1, le=MOST_BATCH, description="Images per call.")
    threads: int = Field(default=1, ge=1, le=MOST_THREADS, description="CPU threads.")
    image_size: ImageSize = Field(
        default=None,
        description="Size of the images, such as 1920x1080, that detectors with tiles cut.",
    )
    seconds: float = Field(default=10, gt=0, description="Time budget per detector in seconds.")


@with_options
def fps_command(
    systems: Annotated[
        list[str],
        typer.Argument(
            parser=option_types.model,
            metavar="SYSTEMS...",
            help="Papers' systems, trials (RUN:3, or as JSON), or folders of saved detectors.",
        ),
    ],
    form: FormOptions,
    where: DeviceOption,
    as_json: PrintJson = False,
) -> None:
    forms = [_form(name, form) for name in form.runtime or [AUTO]]
    detectors = {name: find_detector(name) for name in systems}
    device, threads = pick_device(where.device), form.threads
    rows = measure_rows(detectors, forms, device)
    if as_json:
        console.say_json([as_tree(row) for row in rows])
        return
    on_cpu = f", {counted(threads, 'thread')}" if device.type == "cpu" else ""
    console.print(fps_tables(rows, f"{hardware_name(device)}{on_cpu}, batch {form.batch}"))
    for note in notes(rows):
        console.say(note)


def _form(runtime: str, form: FormOptions) -> MeasureConfig:
    """How detectors are measured; a usage error if there is no such form."""
    given = {**dict(form), "runtime": runtime, "image_size": height_and_width(form.image_size)}
    try:
        return MeasureConfig.model_validate(given)
    except ValidationError as error:
        raise typer.BadParameter(in_words(error)) from None


def measure_rows(
    detectors: Mapping[str, Detector], forms: Sequence[MeasureConfig], device: torch.device
) -> list[Row]:
    """Every detector in every form, all in turns.

    Args:
        forms: configurations that differ in runtime and precision only.
    """
    pairs = [(name, form) for name in detectors for form in forms]
    tried = [_candidate(detectors[name], form, device) for name, form in pairs]
    there = [found for found in tried if isinstance(found, Candidate)]
    costs = iter(measure_together(there, forms[0], device) if there else [])
    return [
        Row(name, form.runtime, found if isinstance(found, str) else next(costs))
        for (name, form), found in zip(pairs, tried, strict=True)
    ]


def as_tree(row: Row) -> dict[str, object]:
    """A row as JSON: its cost, or in words why there is none."""
    measured = isinstance(row.outcome, Cost)
    cost = row.outcome.model_dump(mode="json") if isinstance(row.outcome, Cost) else None
    reason = None if measured else row.outcome
    return {"detector": row.name, "runtime": row.runtime, "cost": cost, "reason": reason}


def fps_tables(rows: Sequence[Row], title: str) -> Group:
    """Speeds, then latency, memory and size: a row for each detector in each form that could be
    measured. Both tables fit into eighty columns: names are wrapped, figures are not."""
    measured = [(row.name, row.outcome) for row in rows if isinstance(row.outcome, Cost)]
    return Group(
        _table(title, SPEEDS, measured, speed_cells),
        _table("Latency, memory and size", DETAILS, measured, _details),
    )


def notes(rows: Sequence[Row]) -> Iterator[str]:
    """Reasons for detectors that were not measured, and for figures that are not trusted."""
    for row in rows:
        if not isinstance(row.outcome, Cost):
            yield f"{row.name}: {row.outcome}"
        elif not row.outcome.trusted:
            form = f"{row.outcome.runtime} {row.outcome.precision}"
            yield f"{row.name} ({form}) is not trusted: {row.outcome.doubt}"


def _candidate(detector: Detector, form: MeasureConfig, device: torch.device) -> Candidate | str:
    """A detector in a form, or why that is not available."""
    if detector.canvas.tiles is not None and form.image_size is None:
        return "it cuts images into tiles, and how many depends on their size: give --image-size"
    random = torch.Generator().manual_seed(0)
    noise = torch.rand(CALIBRATION, 3, *detector.config.size, generator=random)
    try:
        return Candidate(detector, deployed=deploy_as(form, detector, device, noise))
    except RuntimeUnavailable as error:
        return str(error)


def _table(
    title: str,
    figures: Sequence[str],
    measured: Iterable[tuple[str, Cost]],
    cells: Callable[[Cost], tuple[str, ...]],
) -> Table:
    table = Table(title=title, header_style="bold")
    for heading in NAMES:
        table.add_column(heading, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, cost in measured:
        table.add_row(name, f"{cost.runtime} {cost.precision}", *cells(cost))
    return table


def _details(cost: Cost) -> tuple[str, ...]:
    return (*latency_cells(cost), show("params", cost.params), show("macs", cost.macs))
