"""`sparrow ladder`: one trained detector, pruned at several ratios."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from launch.cli.bugs import evidence_in
from launch.cli.ended import SAME_AGAIN, ended_by_signals
from launch.cli.from_fields import with_options
from launch.cli.given import given_trial
from launch.cli.live import Screen
from launch.cli.options import DataPaths, RunOptions, TrialName, parse_ratios
from launch.cli.terminal import console, errors
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
    screen = Screen(errors if options.as_json else console, options.quiet)
    with ended_by_signals(screen.out, lambda: SAME_AGAIN), ExitStack() as stack:
        stack.enter_context(screen.shown())
        given = given_trial(name, data, options, "runs/ladders", screen.say)
        log = stack.enter_context(evidence_in(given.folder))
        common: dict[str, Any] = {**given.common, "progress": True}
        results = ladder(
            given.config, rungs, given.data, given.folder, on_epoch=log.note_epoch, **common
        )
        control = ladder_control(given.config, given.data, given.folder, **common)
    if options.as_json:
        trials = [result.model_dump(mode="json") for result in results]
        console.say_json({"trials": trials, "control": control and control.model_dump(mode="json")})
    else:
        console.print(ladder_table(results, control))
    screen.out.say(f"Artefacts: {given.folder}")
