"""`sparrow train`: a detector trained for long, compared with what it was, and exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from detectors.detector import Detector
from detectors.evaluate import detect_split
from detectors.evaluation.report import Evaluation
from detectors.files import write_atomically
from detectors.locks import Busy, held
from detectors.models import load_model
from detectors.thresholds import Thresholds, write_thresholds
from launch.cli import option_types
from launch.cli.begin_training import NOTHING, TrainOptions, begin, export_precision, go_on
from launch.cli.bugs import evidence_in
from launch.cli.compared import compared_on
from launch.cli.ended import NOTHING_WRITTEN, ended_by_signals
from launch.cli.export import FileOptions, Written, write_export
from launch.cli.from_fields import with_options
from launch.cli.live import Screen
from launch.cli.long_training import LongTraining
from launch.cli.options import DataPaths
from launch.cli.terminal import console, errors, figure_table
from launch.cli.view import trial_frame
from launch.cli.workers import WorkerOptions
from launch.files import (
    DETECTOR,
    EVALUATION,
    SPEEDS,
    STAGES,
    TRAINED,
    TRAINING_LOCK,
    final_folder,
    trained_folder,
)
from launch.report.evaluation import write_evaluation
from launch.report.trained import HEADINGS, AgainstFront, Trained, against_front, changes_of
from launch.trial.data import TrialData
from launch.trial.log import TrialLog
from launch.trial.meter import LocalMeter
from launch.trial.result import Outcome, TrialResult
from launch.trial.run import pick_device, run_trial
from searchspace.errors import InputError
from searchspace.plugins import load_plugins
from searchspace.words import command

Say = Callable[[str], None]


@with_options
def train_command(
    context: typer.Context,
    options: TrainOptions,
    data: DataPaths,
    workers: WorkerOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            parser=option_types.model,
            metavar="MODEL|NAME",
            help="A trial (RUN:3 or RUN/trials/0003), the folder of a saved detector, or what was "
            "not trained yet: a paper's system, or a trial configuration as JSON.",
        ),
    ] = None,
) -> None:
    """The same command again, or --resume, goes on from the last checkpoint. Data are those of the
    model's study, unless others are given."""
    if (name is None) == (options.resume is None):
        raise typer.BadParameter("give either a model to train, or --resume FOLDER")
    screen = Screen(errors if options.as_json else console, options.quiet)
    folder = options.resume

    def go_on_with() -> str:
        return f"Go on with: {command('train', '--resume', folder)}" if folder else NOTHING_WRITTEN

    with ended_by_signals(screen.out, go_on_with), ExitStack() as stack:
        stack.enter_context(screen.shown())
        if folder is not None:
            training, read = go_on(context, options, workers, folder, screen.say)
        else:
            training, read, folder = begin(str(name), data, options, workers, screen.say)
        training.claim(folder)
        stack.enter_context(_alone_in(folder))
        log = stack.enter_context(evidence_in(folder))
        screen.follow(trial_frame(folder, training.model))
        outcome = _train(training, read, folder, options.device, log, screen.say)
        exported = _export(training, read, folder, outcome.thresholds, screen.say)
    if options.as_json:
        tree = outcome.model_dump(mode="json")
        file = exported.as_tree() if isinstance(exported, Written) else None
        console.say_json({**tree, "export": file})
    else:
        _print(outcome)
    screen.out.say(f"Artefacts: {folder}")
    if isinstance(exported, InputError):
        raise InputError(
            f"{exported}. The training itself is whole: "
            f"{command('export', folder, '--to', training.to)}"
        )
    if exported is not None:
        screen.out.say(f"Exported: {exported.file}")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Refuse a second training in a folder: both would write the same log and figures."""
    try:
        with held(folder / TRAINING_LOCK, "training in it", wait=False):
            yield
    except Busy as error:
        raise InputError(f"{folder}: another process trains in it: {error}") from None


def _train(
    training: LongTraining,
    data: TrialData,
    folder: Path,
    device: str | None,
    log: TrialLog,
    say: Say,
) -> Trained:
    """Train, evaluate and compare; the outcome is also written into the folder."""
    where = pick_device(device)
    # By the speeds of its study, what has the same shape has the same speed as there.
    speeds = (training.study or folder) / STAGES / SPEEDS
    meter = LocalMeter(data, where, speeds)
    if training.workers.alone:
        result = run_trial(
            training.config,
            data,
            folder,
            device=where,
            on_epoch=log.note_epoch,
            meter=meter,
            weights=training.weights,
            plan=training.plan,
        )
    else:
        result = _by_workers(training, data, folder, device, speeds, say)
    model = load_model(folder / final_folder(result.config), where)
    found = detect_split(model.detector, data.val, model.device, data.cache)
    evaluation = Evaluation.of(data.val, found)
    write_thresholds(model.path, evaluation.thresholds)
    write_evaluation(evaluation, folder / EVALUATION, f"Evaluation of {model.path}")
    before = _before(training, data, meter)
    outcome = Trained(
        model=training.model,
        detector=model.path,
        epochs=sum(result.config.epochs),
        before=before,
        after=result.final,
        changes=changes_of(before, result.final),
        front=_front(training, data, result),
        thresholds=evaluation.thresholds,
    )
    write_atomically(folder / TRAINED, outcome.model_dump_json(indent=1))
    return outcome


def _by_workers(
    training: LongTraining,
    data: TrialData,
    folder: Path,
    device: str | None,
    speeds: Path,
    say: Say,
) -> TrialResult:
    # Only here: it loads Ray.
    from launch.drivers.ray_training import LongTask, train_together

    task = LongTask(
        training.config,
        data,
        folder.resolve(),
        device,
        speeds.resolve(),
        training.weights,
        training.plan,
        load_plugins(),
    )
    reserved = training.workers.reserved(device)
    say(f"Training by {reserved.workers}")
    return train_together(task, reserved, training.workers.address, say)


def _front(training: LongTraining, data: TrialData, result: TrialResult) -> AgainstFront | None:
    if training.study is None or training.trial is None:
        return None
    return against_front(training.study, result, data.fingerprint, training.trial.name)


def _before(training: LongTraining, data: TrialData, meter: LocalMeter) -> Outcome | None:
    """What the detector was before, on the same images and in the same form; None if it was not
    trained then, or found other classes."""
    if training.detector is None or training.new_classes:
        return None
    config = data.decide(training.config)
    detector = Detector.load(training.detector).to(meter.device)
    return Outcome(
        metrics=meter.evaluate(detector, config.deployment, config.compress.calibration),
        cost=meter.measure(detector, config.deployment),
    )


def _export(
    training: LongTraining, data: TrialData, folder: Path, thresholds: Thresholds, say: Say
) -> Written | InputError | None:
    """The detector exported into its folder; or why it was not; None if it should not be."""
    if training.to == NOTHING:
        return None
    path = folder / trained_folder(training.config)
    detector = Detector.load(path).eval()
    precision = export_precision(training.config, training.to)
    calibration = data.train if precision == "int8" else None
    found = compared_on(training.source, data.val, calibration, detector)
    file = FileOptions(precision=precision)
    try:
        return write_export(detector, training.to, file, found, thresholds, path / DETECTOR, say)
    except InputError as error:
        return error


def _print(outcome: Trained) -> None:
    headings = HEADINGS if outcome.before else (HEADINGS[0], "Value")
    table = figure_table(*headings, fold=True)
    for row in outcome.rows():
        table.add_row(*row)
    console.print(table)
    if outcome.front is not None:
        for sentence in outcome.front.sentences():
            console.say(sentence)
    console.say(f"Thresholds ({outcome.thresholds}): {outcome.detector}; sparrow predict uses them")
