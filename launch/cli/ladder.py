"""`sparrow ladder`: one trained detector, pruned at several ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launch.cli.bugs import evidence_in
from launch.cli.from_fields import with_options
from launch.cli.given import given_trial
from launch.cli.options import DataPaths, RunOptions, TrialName, parse_ratios
from launch.cli.terminal import console
from launch.report import ladder_table
from launch.trial.ancestor import ancestor_beside
from launch.trial.data import TrialError
from launch.trial.ladder import ladder, ladder_control


@with_options
def ladder_command(
    name: TrialName,
    ratios: Annotated[
        str, typer.Option(help="Pruning ratios, e.g. 0.3,0.5,0.7; the trial must prune.")
    ],
    data: DataPaths,
    options: RunOptions,
) -> None:
    if ancestor_beside(Path(name)):
        raise TrialError(
            f"{name}: its training started from an ancestor, which no ladder supports: copy the "
            "file into another folder to train without an ancestor"
        )
    rungs = parse_ratios("--ratios", ratios)
    given = given_trial(name, data, options, "runs/ladders")
    with evidence_in(given.folder) as log:
        results = ladder(
            given.config, rungs, given.data, given.folder, on_epoch=log.note_epoch, **given.common
        )
        control = ladder_control(given.config, given.data, given.folder, **given.common)
    if options.as_json:
        trials = [result.model_dump(mode="json") for result in results]
        console.say_json({"trials": trials, "control": control and control.model_dump(mode="json")})
    else:
        console.print(ladder_table(results, control))
    given.say(f"Artefacts: {given.folder}")
