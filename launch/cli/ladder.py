"""`sparrow ladder`: one trained detector, pruned at several ratios."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from launch.cli.bugs import evidence_in
from launch.cli.names import read_trial
from launch.cli.options import (
    Annotations,
    Data,
    Device,
    Images,
    ResultFolder,
    TrialFile,
    Weights,
    data_source,
    needed_source,
    parse_ratios,
)
from launch.cli.terminal import console
from launch.report import ladder_table
from launch.trial.ancestor import ancestor_beside
from launch.trial.data import TrialError
from launch.trial.initial_weights import trial_with_weights
from launch.trial.ladder import ladder, ladder_control


def ladder_command(
    config: TrialFile,
    ratios: Annotated[
        str, typer.Option(help="Pruning ratios, e.g. 0.3,0.5,0.7; the trial must prune.")
    ],
    data: Data = None,
    train_images: Images = None,
    train_annotations: Annotations = None,
    val_images: Images = None,
    val_annotations: Annotations = None,
    out: ResultFolder = None,
    device: Device = None,
    weights: Weights = None,
) -> None:
    """Train a detector once, and prune and fine-tune it at several ratios."""
    if ancestor_beside(config):
        raise TrialError(
            f"{config}: its training started from an ancestor, which no ladder supports: copy the "
            "file into another folder to train without an ancestor"
        )
    trial, given = trial_with_weights(read_trial(config), weights)
    rungs = parse_ratios("--ratios", ratios)
    source = needed_source(
        data_source(data, (train_images, train_annotations, val_images, val_annotations))
    )
    folder = out or Path("runs/ladders") / f"{config.stem}-{trial.digest()}"
    progress = sys.stderr.isatty()
    with evidence_in(folder) as log:
        results = ladder(
            trial, rungs, source, folder, device, log.note_epoch, progress=progress, weights=given
        )
        control = ladder_control(trial, source, folder, device, progress=progress, weights=given)
    console.print(ladder_table(results, control))
    console.say(f"Artefacts: {folder}")
