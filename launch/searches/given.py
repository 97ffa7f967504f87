"""Given trials: a list of configurations, run side by side as the trials of a study."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectors.data.health import oddities
from detectors.data.readers import DataSource
from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.own_folder import lock_folder
from detectors.runtimes import best
from launch.drivers.driver import Driver, Say
from launch.drivers.interrupts import interruptible
from launch.records import TrialRecord
from launch.searches import drive
from launch.searches.inputs import check_energy, driver_for
from launch.searches.tracking import Tracking
from launch.study.opening import open_study, read_records
from launch.study.recovery import check_new
from launch.study.search_settings import GIVEN, SearchSettings
from launch.study.settings import StudySettings, settings_of
from launch.study.study import OnEnd
from launch.trial.copies import study_place
from launch.trial.data import (
    TrialData,
    TrialError,
    dropped_in_words,
    found_in_words,
    mended_in_words,
)
from launch.trial.errors import SettingsError
from launch.trial.health import health_of_trials, warnings_of
from launch.trial.initial_weights import make_sure, trials_with_weights
from launch.trial.preconditions import check_fits, check_objects
from launch.trial.run import pick_device
from launch.trial.teachers import check_named_detectors, detector_folders, load_teacher
from searchspace import TrialConfig, load_plugins
from searchspace.errors import InputError
from searchspace.given import GivenTrials, restored
from searchspace.measuring import AUTO
from searchspace.names import closest
from searchspace.papers import PaperSystem
from searchspace.papers.tables import needed_elsewhere, table_named, with_needed_there
from searchspace.words import command

Configs = Mapping[str, TrialConfig] | Sequence[TrialConfig]
"""Configurations by name, or in order, where their names are the numbers from 0."""


def run_trials(
    configs: Configs,
    data: DataSource | Path | str,
    out: Path | str,
    title: str = "Given trials",
    on_end: OnEnd | None = None,
    say: Say | None = None,
    plugins: Sequence[Path | str] = (),
    **options: Any,
) -> dict[str, TrialRecord]:
    """Run given trials on a data set, side by side, and write a report into `out`.

    They are the trials of a study, like those of a search: same drivers and resources, one store of
    stages, a journal, a report. An interrupted run goes on with `launch.resume(out)`. A trial whose
    teacher is the name of another one runs after it, with its detector as the teacher. The number
    of classes of all detectors becomes that of the data, and all trials whose runtime is left open
    are measured in the same one. Equal configurations are one trial.

    Args:
        data: as in `launch.search`.
        out: the folder of the study, which must be new or empty, or its address.
        title: what they are, for the report.
        on_end: called with each trial that ends, and what is left of the budget.
        say: called with words on what `skip_bad` dropped, and, from another thread, on trials that
            have been silent for long.
        plugins: as in `launch.search`.
        **options: `skip_bad`, `drop_leaks`, `cache_gb`, `minutes`, `hours`, `device_hours`,
            `trial_timeout`, `objectives`, `weights`, `driver` with its options, such as
            `cpus_per_trial`, `device`, `measure_on`, `track`, and `storage`, `study_name` and
            `stages`, by which several drivers share them; they mean the same as for a search.

    Returns:
        By name, the record of each trial that was begun; `record.result` is None if it did not
        finish, and `record.reason` says why.

    Raises:
        SettingsError, DataError, PluginError, StudyError, InputError: bad input, before anything is
            trained.
        TrialError: a configuration does not fit the data or its teacher; the message names it.
        WeightsUnavailable, EnergyUnreadable, SearchStopped, KeyboardInterrupt: see `launch.search`.
    """
    given = GivenTrials.of(title, _named(configs))
    return _run(given, data, out, on_end, say, plugins, options)


def reproduce(
    table: str,
    data: DataSource | Path | str,
    out: Path | str,
    change: Callable[[TrialConfig], TrialConfig] = lambda config: config,
    rows: Sequence[str] = (),
    on_end: OnEnd | None = None,
    say: Say | None = None,
    **options: Any,
) -> dict[str, TrialRecord]:
    """Run the rows of a paper's table as `run_trials` does, each after the systems that it needs.

    The report and `published.json` in `out` show our figures beside the published ones.

    Args:
        table: its name in `searchspace.papers.tables.TABLES`, such as `fssd-2`.
        change: makes the trial of each system from its configuration, for example a shorter one.
        rows: the systems of some rows; by default all.

    Raises:
        InputError: there is no such table, or no such row in it, where the nearest is named.
    """
    given = GivenTrials.of(
        f"{table}: {table_named(table).title}",
        {name: change(system.trial) for name, system in table_systems(table, rows).items()},
        table,
    )
    return _run(given, data, out, on_end, say, (), options)


def table_systems(table: str, rows: Sequence[str]) -> dict[str, PaperSystem]:
    """The systems of a table's rows, or of some of them, with those that they need; raises
    `InputError`."""
    systems = table_named(table).systems
    for name in rows:
        if name not in systems:
            raise InputError(f"{name}: {table} has no such row{closest(name, systems)}")
    chosen = tuple(rows or systems)
    for name, others in needed_elsewhere(chosen).items():
        for other in others:
            if not Path(other).exists():
                train = command("trial", other, "--data", "FOLDER", "--out", other)
                raise InputError(
                    f"{name} starts from {other}, which is trained on other data: train it with "
                    f"`{train}`, or leave out this row"
                )
    return with_needed_there(chosen)


def _run(
    given: GivenTrials,
    data: DataSource | Path | str,
    out: Path | str,
    on_end: OnEnd | None,
    say: Say | None,
    plugins: Sequence[Path | str],
    options: Mapping[str, Any],
) -> dict[str, TrialRecord]:
    load_plugins(plugins)
    asked = _asked(options)
    lock_folder()
    out, say = study_place("out", out), say or (lambda words: None)
    check_new(out)
    tracking = Tracking(asked.tracking.track, out, on_end)
    driver = driver_for(asked)
    source = DataSource.given(data)
    read = TrialData.read(source, **asked.data.of_trials)
    settings = _settings(given, asked, source, read, driver)
    odd = oddities(settings.health) if settings.health else ()
    found = (found_in_words(source, read), *mended_in_words(read))
    for words in (*found, *settings.dropped, *warnings_of(odd)):
        say(words)
    with (
        interruptible(),
        tracking,
        driver.ready(asked.figures, asked.budget.trial_timeout),
        open_study(out, settings, tracking.on_end) as study,
    ):
        drive(driver, study, read, say)
    return given_records(out, settings)


def given_records(folder: Path, settings: StudySettings) -> dict[str, TrialRecord]:
    """By name, the records of a study's given trials; empty for a search."""
    space = restored(settings.space)
    if not isinstance(space, GivenTrials):
        return {}
    found = {record.as_drawn: record for record in read_records(folder)}
    return {name: found[own] for name, own in space.configs.items() if own in found}


def _asked(options: Mapping[str, Any]) -> SearchSettings:
    for name in options:
        if name not in GIVEN:
            raise SettingsError(f"{name}: given trials have no such option{closest(name, GIVEN)}")
    # Nothing is drawn, so no sampler needs a model.
    return SearchSettings.of(**options, sampler="random", papers=False)


def _named(configs: Configs) -> dict[str, TrialConfig]:
    if isinstance(configs, Mapping):
        return dict(configs)
    return {str(number): config for number, config in enumerate(configs)}


def _settings(
    given: GivenTrials,
    asked: SearchSettings,
    source: DataSource,
    read: TrialData,
    driver: Driver,
) -> StudySettings:
    """The settings of the study, after all that trials need was checked."""
    check_objects(read, asked.figures)
    check_energy(driver, asked)
    named = {name: c.with_classes(read.train.num_classes) for name, c in given.configs.items()}
    named, weights = trials_with_weights(named, asked.start.weights)
    if driver.measure_on is None:
        named = _with_form(named, asked.resources.device)
    space = given.with_configs(named)
    make_sure(space, weights)
    teachers = detector_folders(space)
    check_named_detectors(space, teachers, read.classes)
    _check_all(space, read)
    return settings_of(
        asked,
        plugins=load_plugins(),
        space=space.dump(),
        train=source.train,
        val=source.val,
        fingerprint=read.fingerprint,
        dropped=dropped_in_words(read),
        health=health_of_trials(read, list(named.values())),
        teachers=teachers,
        measure_on=driver.measure_on,
        weights=weights,
        trials=len({config.digest() for config in named.values()}),
    )


def _with_form(configs: Mapping[str, TrialConfig], device: str | None) -> dict[str, TrialConfig]:
    """The same trials; where they leave runtime and precision open, with one form for all."""
    form = best(next(iter(configs.values())).detector, pick_device(device))
    fields = {"runtime": form.runtime, "precision": form.precision}
    return {
        name: config.changed(measure=config.measure.changed(**fields))
        if (config.measure.runtime, config.measure.precision) == (AUTO, AUTO)
        else config
        for name, config in configs.items()
    }


def _check_all(space: GivenTrials, data: TrialData) -> None:
    """Raise `TrialError`, which names the trial, if one does not fit the data or a teacher."""
    load = functools.partial(_untrained, space)
    for name, config in space.configs.items():
        try:
            check_fits(config, data, load)
        except TrialError as error:
            raise TrialError(f"trial {name}: {error}") from None


def _untrained(space: GivenTrials, name: str) -> Detector:
    """The detector with a name: of a trial that is still to run, without values."""
    if name in space.configs:
        return skeleton(space.configs[name].detector)
    return load_teacher(name)
