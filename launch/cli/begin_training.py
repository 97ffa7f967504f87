"""What `sparrow train` is asked for: a model by its name, its data and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from compress import plan_by_widths
from detectors.data.readers import DataSource
from detectors.group import Group
from detectors.runtimes.program import Wanted
from detectors.runtimes.targets import TARGETS, ready_target
from launch.cli.given import NUM_CLASSES, changed_by, read_data, say_oddities
from launch.cli.long_training import LongTraining
from launch.cli.models import is_configuration, trained_path
from launch.cli.names import (
    find_trial,
    read_trial,
    saved_detector,
    study_around,
)
from launch.cli.options import DataPaths, InFolder, RunOptions
from launch.cli.workers import WorkerOptions
from launch.files import PLAN, TRAINING, TRIAL
from launch.study.options import Option, Text
from launch.trial.data import TrialData
from launch.trial.initial_weights import WEIGHTS
from launch.trial.longer import Trainable
from launch.trial.widths import recorded_plan
from launch.trial.workers import check_shares
from searchspace.errors import InputError
from searchspace.given import restored
from searchspace.overrides import sets
from searchspace.plugins import load_plugins
from searchspace.runtimes import Precision
from searchspace.trial import TrialConfig

NOTHING = "none"
"""Of `--to`."""


class TrainOptions(RunOptions):
    """How long a detector is trained, what it starts from, and what is written at the end."""

    epochs: int = Field(default=100, ge=1, le=100_000, description="Epochs of training.")
    from_weights: Annotated[bool, Option(name="--from-weights/--anew")] = Field(
        default=True,
        description="Start from the model's own weights, the default, or anew from those that its "
        "recipe starts from. Channels that were pruned stay removed either way.",
    )
    teacher: Annotated[Text | None, Option("MODEL")] = Field(
        default=None,
        description="A trained model that teaches it; by default the teacher of its last "
        "training, if it had one.",
    )
    to: Annotated[Text, Option("FORMAT")] = Field(
        default="onnx", description=f"Export at the end: {', '.join(TARGETS)}, or none."
    )
    resume: Annotated[InFolder | None, Option("FOLDER")] = Field(
        default=None, description="Go on with the training in this folder."
    )

    def takes_weights(self, name: str, found: Trainable) -> bool:
        """Whether a model's own weights are trained on; a usage error where options do not go
        together."""
        trained = found.folder is not None
        from_weights = trained and self.from_weights
        if sets(self.settings, "train.epochs"):
            raise typer.BadParameter("--epochs sets train.epochs", param_hint="--set")
        if "from_weights" in self.model_fields_set and not trained:
            raise typer.BadParameter(
                f"{name} was not trained yet: leave it out", param_hint="--from-weights/--anew"
            )
        if from_weights and (self.weights is not None or sets(self.settings, WEIGHTS)):
            raise typer.BadParameter(
                f"training starts from the weights of {name}: give --anew to start from others",
                param_hint="--weights" if self.weights is not None else "--set",
            )
        return from_weights


RESUMABLE = ("resume", "to", "device", "as_json", "quiet", "cache_gb", *WorkerOptions.model_fields)
"""The options that may be given when a training is resumed."""


def export_precision(config: TrialConfig, to: str) -> Precision:
    """What a detector is exported in: int8 if it is quantised and the format has that."""
    quantised = bool(config.compress.calibration)
    return "int8" if quantised and "int8" in TARGETS[to].precisions else "float32"


def check_target(config: TrialConfig, to: str) -> None:
    """A usage error where the format of the export is unknown, or cannot be written here."""
    if to == NOTHING:
        return
    try:
        ready_target(to, Wanted())
        ready_target(to, Wanted(export_precision(config, to)))
    except InputError as error:
        raise typer.BadParameter(
            f"{error}; or give none, and export it afterwards", param_hint="--to"
        ) from None


def find_trainable(name: str) -> Trainable:
    """What a name on the command line stands for, as something that can be trained.

    Raises:
        InputError: there is no such model, or its weights cannot be read.
    """
    if is_configuration(name):
        return Trainable(find_trial(name))
    folder = trained_path(name).resolve()
    detector, trial_file = saved_detector(folder), folder.parent / TRIAL
    known = trial_file.exists()
    return Trainable(
        config=read_trial(trial_file) if known else TrialConfig(detector=detector.config),
        folder=folder,
        classes=detector.classes,
        plan=recorded_plan(folder) or plan_by_widths(detector),
        folders=_folders(folder),
    )


def begin(
    name: str,
    paths: DataPaths,
    options: TrainOptions,
    workers: WorkerOptions,
    say: Callable[[str], None],
) -> tuple[LongTraining, TrialData, Path]:
    """A new long training, all of it checked, its data and its folder.

    Args:
        say: called with what was found.
    """
    found = find_trainable(name)
    from_weights = options.takes_weights(name, found)
    teacher = None if options.teacher is None else trained_path(options.teacher).resolve()
    config = found.longer(options.epochs, not from_weights, teacher)
    config, weights = changed_by(options, config)
    check_target(config, options.to)
    workers.check(options.device)
    before = _before(found)
    source, reading = _data(found, before, paths, options)
    data = read_data(source, reading, options.out, say)
    if not sets(options.settings, NUM_CLASSES):
        found.check_classes(data)
        config = config.with_classes(data.train.num_classes)
    check_shares(config, data, Group(size=workers.count))
    say_oddities(data, config, say)
    for words in _notes(found, from_weights):
        say(words)
    training = LongTraining(
        model=name,
        detector=found.folder,
        trial=before.trial if before else _trial(found),
        new_classes=not found.finds_classes(data),
        config=config,
        plan=found.plan,
        weights=weights,
        train=source.train,
        val=source.val,
        layout=source.layout,
        reading=reading,
        to=options.to,
        workers=workers,
        plugins=load_plugins(),
    )
    folder = options.out or Path("runs/trained") / f"{_stem(name, found)}-{config.digest()}"
    say(f"{name} on {source.shown}, in {folder}")
    return training, data, folder


def go_on(
    context: typer.Context,
    options: TrainOptions,
    workers: WorkerOptions,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[LongTraining, TrialData]:
    """The training in a folder, and its data.

    Raises:
        InputError: none was begun there, or the detector that it started from is gone.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source and source.name == "COMMANDLINE" and parameter.name not in RESUMABLE:
            raise typer.BadParameter(
                f"{parameter.opts[0]} was set when the training began; leave it out",
                param_hint="--resume",
            )
    training = LongTraining.read(folder)
    if workers.model_fields_set:
        training = training.model_copy(update={"workers": workers})
    if "to" in options.model_fields_set:
        training = training.model_copy(update={"to": options.to})
    check_target(training.config, training.to)
    training.workers.check(options.device)
    if training.detector is not None:
        try:
            saved_detector(training.detector)
        except InputError as error:
            raise InputError(
                f"{error}; {training.model} is compared with what it was before: put its detector "
                f"back into {training.detector}"
            ) from None
    how = training.reading
    if "cache_gb" in options.model_fields_set:
        how = how | {"cache_gb": options.cache_gb}
    data = read_data(training.source, how, folder, say)
    check_shares(training.config, data, Group(size=training.workers.count))
    say(f"{training.model} on {training.source.shown}, in {folder}")
    return training, data


def _before(found: Trainable) -> LongTraining | None:
    """The long training that a model is from; None if it is from none."""
    if found.folder is None or not (found.folder.parent / TRAINING).exists():
        return None
    return LongTraining.read(found.folder.parent)


def _trial(found: Trainable) -> Path | None:
    """The folder of the study's trial that a model is from; None if it is from none."""
    return found.folder.parent if found.folder and study_around(found.folder) else None


def _data(
    found: Trainable, before: LongTraining | None, paths: DataPaths, options: TrainOptions
) -> tuple[DataSource, dict[str, Any]]:
    """The data that are named, or else those that the model was trained on, and how they are
    read."""
    source = paths.source()
    if source is not None:
        return source, options.of_trials
    given = {n: v for n, v in options.of_trials.items() if n in options.model_fields_set}
    if before is not None:
        return before.source, before.reading | given
    if trial := _trial(found):
        from launch.study.settings import read_settings  # Optuna: only for a study's.

        settings = read_settings(trial.parent.parent)
        if known := settings.known_source:
            return known, settings.data.of_trials | given
    return paths.needed_source(), options.of_trials


def _folders(folder: Path) -> dict[str, Path]:
    """Where the saved detectors lie that a study's configurations name."""
    study = study_around(folder)
    if study is None:
        return {}
    from launch.study import needs  # Optuna: only for a study's.
    from launch.study.opening import read_records
    from launch.study.settings import read_settings

    settings, records = read_settings(study), read_records(study)
    space, name = restored(settings.space), folder.parent.name
    own = (r for r in records if Path(r.folder).name == name)
    others = (needs.detectors(space, record, records, study) for record in own)
    return settings.teachers | next(others, {})


def _notes(found: Trainable, from_weights: bool) -> Iterator[str]:
    """What a user should know of the start."""
    if found.folder is None:
        return
    if not (found.folder.parent / TRIAL).exists():
        yield f"{found.folder}: its recipe is not known, so it is the usual one; --set changes it"
    if found.plan and not from_weights and recorded_plan(found.folder) is None:
        yield (
            f"{found.folder}: which of its channels were pruned is not known, only how many "
            f"({PLAN} is not beside it): the last ones of each layer are taken for them"
        )


def _stem(name: str, found: Trainable) -> str:
    """What a folder is called after: `mine-3` for `runs/mine:3`, else the end of the path."""
    if found.folder is None:
        return Path(name).stem if Path(name).is_file() else name
    folder, study = found.folder, study_around(found.folder)
    if study is not None:
        return f"{study.name}-{int(folder.parent.name.split('-')[0])}"
    return (folder.parent if (folder.parent / TRIAL).exists() else folder).name
