"""`sparrow trial`: one trial, and its scores."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from launch.cli.bugs import evidence_in
from launch.cli.ended import SAME_AGAIN, ended_by_signals
from launch.cli.from_fields import with_options
from launch.cli.given import given_trial
from launch.cli.live import Screen
from launch.cli.options import AncestorOption, DataPaths, RunOptions, TrialName
from launch.cli.terminal import console, errors
from launch.cli.view import trial_frame
from launch.figures import shown_in, with_name
from launch.report.epochs import epochs_in_words
from launch.trial.ancestor import ancestor_beside
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from launch.trial.widths import plan_beside
from searchspace.words import counted


@with_options
def trial_command(
    name: TrialName,
    data: DataPaths,
    options: RunOptions,
    start: AncestorOption,
) -> None:
    screen = Screen(errors if options.as_json else console, options.quiet)
    with ended_by_signals(screen.out, lambda: SAME_AGAIN), ExitStack() as stack:
        stack.enter_context(screen.shown())
        given = given_trial(name, data, options, "runs/trials", screen.say)
        log = stack.enter_context(evidence_in(given.folder))
        screen.follow(trial_frame(given.folder, Path(name).stem))
        result = run_trial(
            given.config,
            given.data,
            given.folder,
            on_epoch=log.note_epoch,
            ancestor=start.ancestor or ancestor_beside(Path(name)),
            plan=plan_beside(Path(name)),
            **given.common,
        )
    if options.as_json:
        console.say_json(result.model_dump(mode="json"))
    else:
        _print_result(result)
    screen.out.say(f"Artefacts: {given.folder}")


def _print_result(result: TrialResult) -> None:
    epochs = result.config.epochs
    final = "pruned" if result.config.compress.prunes else "trained on"
    trained = counted(1, "epoch") if sum(epochs) == 1 else f"{epochs_in_words(epochs)} epochs"
    outcomes = {
        f"dense, {counted(epochs[0], 'epoch')}": result.dense,
        f"{final}, {trained}": result.compact,
    }
    for name, outcome in outcomes.items():
        if outcome is None:
            continue
        figures = (with_name(figure, outcome.figure(figure)) for figure in shown_in("file"))
        console.say(f"{name}: {', '.join(figures)}")
        for label, scores in outcome.metrics.classes.items():
            if scores.ap is not None:
                words = (with_name(figure, getattr(scores, figure)) for figure in ("ap", "ap50"))
                console.say(f"  {label}: {', '.join(words)}")
    if result.fitted:
        console.say(f"memory: {result.fitted}")
    for name, choice in result.steps.items():
        console.say(f"steps of {name}: {choice}")
    if result.quantised:
        console.say(f"int8: {result.quantised}")
        if result.quantised.poor:
            console.say("warning: the int8 detector finds different objects from the float one")
