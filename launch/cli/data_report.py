"""`sparrow data report`: the health of a data set as a page with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from detectors.data.health import Health, oddities
from detectors.data.readers import DataSource
from detectors.files import write_atomically
from launch.cli import option_types
from launch.cli.from_fields import with_options
from launch.cli.options import Options, OutFile, PrintJson, ValShare
from launch.cli.terminal import console
from launch.report.health import health_lines, health_page
from launch.study.data_options import LeakOptions
from launch.study.options import Option, Text
from launch.trial.data import TrialData
from launch.trial.health import health_of_space, health_of_trials, warnings_of
from searchspace import TrialConfig, load_space
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.masking import is_address
from searchspace.priors import ScaledPriors

MOST_SIDE = 8192
"""Pixels of a side; a larger input takes gigabytes."""


class Inputs(Options):
    """The inputs at which objects are measured, and the priors that they are compared with."""

    input_size: int | None = Field(
        default=None,
        ge=64,
        le=MOST_SIDE,
        description="Input size in pixels at which objects are measured; 300 by default.",
    )
    space: Annotated[Text | None, Option("NAME|FILE")] = Field(
        default=None, description="Space at whose input sizes objects are measured."
    )
    val_share: ValShare = None
    out: Annotated[OutFile, Option("FILE")] = Field(
        default=Path("data_report.html"), description="HTML page to write."
    )

    def health(self, data: TrialData) -> Health:
        """The health of data at these inputs."""
        if self.space is not None:
            space = load_space(self.space)
            return health_of_space(data, space)
        head = Multibox(priors=ScaledPriors())
        detector = DetectorConfig(input_size=self.input_size or 300, head=head)
        return health_of_trials(data, [TrialConfig(detector=detector)])


@with_options
def report_command(
    folder: Annotated[
        Any,
        typer.Argument(
            parser=option_types.data, metavar="DIR", help="Data with training and validation."
        ),
    ],
    inputs: Inputs,
    data: LeakOptions,
    as_json: PrintJson = False,
) -> None:
    if inputs.space is not None and inputs.input_size is not None:
        raise typer.BadParameter(
            "a space has its own input sizes; give one of the two", param_hint="--input-size"
        )
    source = DataSource.from_folder(folder, inputs.val_share)
    read = TrialData.read(source, drop_leaks=data.drop_leaks, **data.reading)
    health = inputs.health(read)
    name = folder if is_address(folder) else folder.resolve().name
    title = f"Health of the data in {name}"
    inputs.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(inputs.out, health_page(read.train, read.val, health, title))
    if as_json:
        console.say_json({**health.model_dump(mode="json"), "odd": oddities(health)})
        return
    for line in (*health_lines(health), *warnings_of(oddities(health))):
        console.say(line)
    console.say(f"Report: {inputs.out}")
