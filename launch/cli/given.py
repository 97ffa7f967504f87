"""The trial that a command is given: a paper's system or a file, changed by options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from detectors.data.health import oddities
from detectors.data.readers import DataSource
from launch.cli.bugs import bugs_kept_in
from launch.cli.names import find_trial
from launch.cli.options import DataPaths, RunOptions
from launch.cli.terminal import console
from launch.trial.data import TrialData, dropped_in_words, found_in_words, mended_in_words
from launch.trial.health import health_of_trials, warnings_of
from launch.trial.initial_weights import WEIGHTS, replaces_weights, trial_with_weights
from searchspace import TrialConfig
from searchspace.errors import InputError
from searchspace.overrides import overridden, sets

NUM_CLASSES = "detector.num_classes"


@dataclass(frozen=True)
class GivenTrial:
    """A trial as a command runs it.

    Attributes:
        folder: where it leaves its files.
        common: arguments of `run_trial` and `ladder` for its device and weights.
    """

    config: TrialConfig
    data: TrialData
    folder: Path
    common: dict[str, Any]


def given_trial(
    name: str,
    paths: DataPaths,
    options: RunOptions,
    runs: str,
    say: Callable[[str], None] = console.say,
) -> GivenTrial:
    """The trial with a name or in a file, and the data, both checked.

    A paper's system has as many classes as the data, unless an option sets their number.

    Args:
        runs: the folder of the default folder.
        say: called with what was found of the data.
    """
    config, weights = changed_by(options, find_trial(name))
    source = paths.needed_source()
    # Without a folder given, its name follows from the data.
    data = read_data(source, options.of_trials, options.out, say)
    is_file = Path(name).is_file()
    if not is_file and not sets(options.settings, NUM_CLASSES):
        config = config.with_classes(data.train.num_classes)
    stem = Path(name).stem if is_file else name
    say_oddities(data, config, say)
    folder = options.out or Path(runs) / f"{stem}-{config.digest()}"
    say(f"{stem} on {source.shown}, in {folder}")
    return GivenTrial(config, data, folder, {"device": options.device, "weights": weights})


def changed_by(options: RunOptions, config: TrialConfig) -> tuple[TrialConfig, Path | None]:
    """A configuration changed by `--set` and `--weights`, and the path of its published weights."""
    check_weights(options.settings, options.weights)
    with of_option("--set"):
        config = overridden(config, options.settings)
    return trial_with_weights(config, options.weights)


def read_data(
    source: DataSource, how: Mapping[str, Any], folder: Path | None, say: Callable[[str], None]
) -> TrialData:
    """The data at a source; what was found, mended and left out of them is said.

    Args:
        how: options of `TrialData.read`.
        folder: of the command, for the traceback of a bug, if it is known already.
    """
    with bugs_kept_in(folder) if folder else nullcontext():
        data = TrialData.read(source, **how)
    found = (found_in_words(source, data), *mended_in_words(data))
    for words in (*found, *dropped_in_words(data)):
        say(words)
    return data


def say_oddities(data: TrialData, config: TrialConfig, say: Callable[[str], None]) -> None:
    """Say what is odd about the data of a trial."""
    for words in warnings_of(oddities(health_of_trials(data, [config]))):
        say(words)


def check_weights(settings: Sequence[str], weights: Path | str | None) -> None:
    """A usage error where two options set a trial's weights, of which one would do nothing."""
    if sets(settings, WEIGHTS) and replaces_weights(weights):
        raise typer.BadParameter(
            f"it replaces the weights that --set {WEIGHTS} sets; give one of the two",
            param_hint="--weights",
        )


@contextmanager
def of_option(option: str) -> Iterator[None]:
    """What an option does not take ends the command with status 2 and its name."""
    try:
        yield
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
