"""`sparrow ladder`: one trained detector, pruned at several ratios."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from launch.cli.bugs import evidence_in
from launch.cli.from_fields import with_options
from launch.cli.names import read_trial
from launch.cli.options import DataPaths, RunOptions, TrialFile, parse_ratios
from launch.cli.terminal import console
from launch.report import ladder_table
from launch.trial.ancestor import ancestor_beside
from launch.trial.data import TrialError
from launch.trial.initial_weights import trial_with_weights
from launch.trial.ladder import ladder, ladder_control


@with_options
def ladder_command(
    config: TrialFile,
    ratios: Annotated[
        str, typer.Option(help="Pruning ratios, e.g. 0.3,0.5,0.7; the trial must prune.")
    ],
    data: DataPaths,
    options: RunOptions,
) -> None:
    if ancestor_beside(config):
        raise TrialError(
            f"{config}: its training started from an ancestor, which no ladder supports: copy the "
            "file into another folder to train without an ancestor"
        )
    trial, given = trial_with_weights(read_trial(config), options.weights)
    rungs = parse_ratios("--ratios", ratios)
    source = data.needed_source()
    folder = options.out or Path("runs/ladders") / f"{config.stem}-{trial.digest()}"
    common = {"device": options.device, "progress": sys.stderr.isatty(), "weights": given}
    with evidence_in(folder) as log:
        results = ladder(trial, rungs, source, folder, on_epoch=log.note_epoch, **common)
        control = ladder_control(trial, source, folder, **common)
    console.print(ladder_table(results, control))
    console.say(f"Artefacts: {folder}")
