"""What a search needs before it starts: its data, space and settings, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.data.health import oddities
from detectors.data.readers import DataSource
from detectors.runtimes import best
from detectors.timing.energy import energy_counter
from launch.decisions.early_stopping import check_rungs
from launch.drivers.choose import make_driver
from launch.drivers.driver import Driver, Say
from launch.figures import ENERGY
from launch.searches.auto import AUTO, AutoSpace
from launch.searches.situation import made_for
from launch.study.search_settings import SearchSettings
from launch.study.settings import (
    StudyError,
    StudySettings,
    settings_of,
)
from launch.study.warm_start import read_known
from launch.trial.data import (
    TrialData,
    dropped_in_words,
    found_in_words,
    mended_in_words,
)
from launch.trial.errors import SettingsError
from launch.trial.given_teacher import with_teacher
from launch.trial.health import health_of_space, warnings_of
from launch.trial.initial_weights import with_weights
from launch.trial.preconditions import check_objects, check_space
from launch.trial.run import pick_device
from launch.trial.teachers import check_named_detectors, detector_folders
from searchspace import Space, load_plugins, load_space
from searchspace.errors import InputError

NUM_CLASSES = "detector.num_classes"
RUNTIME, PRECISION = "measure.runtime", "measure.precision"


@dataclass(frozen=True)
class Inputs:
    """The inputs of a new study."""

    data: TrialData
    settings: StudySettings
    made: AutoSpace | None


def driver_for(settings: SearchSettings) -> Driver:
    """The requested driver, ready for the device; raises `SettingsError`, `ValueError`."""
    options = dict(settings.resources)
    driver, device = options.pop("driver"), options.pop("device")
    return make_driver(driver, **options).on(device)


def inputs_of(
    space: Space | str | Path,
    data: DataSource | Path | str,
    asked: SearchSettings,
    driver: Driver,
    say: Say,
) -> Inputs:
    """All that a search needs is read and checked; see `search` for what it raises."""
    named = space if isinstance(space, Space) or space == AUTO else load_space(space)
    source = DataSource.given(data)
    read = TrialData.read(source, **asked.data.of_trials)
    check_objects(read, asked.figures)
    check_energy(driver, asked)
    made = None
    if not isinstance(named, Space):
        made = made_for(read, asked, driver, say)
        named = made.load()
    space = with_teacher(named, asked.start.teacher)
    space, weights = with_weights(space, asked.start.weights)
    teachers = detector_folders(space)
    check_named_detectors(space, teachers, read.classes)
    space = space.fix(NUM_CLASSES, read.train.num_classes)
    check_space(space, read)
    if driver.measure_on is None:
        space = with_form(space, asked.resources.device)
    dropped, fingerprint = dropped_in_words(read), read.fingerprint
    known = tuple(read_known(path, space, asked.figures) for path in asked.start.warm_start)
    health = health_of_space(read, space)
    told = (results.in_words(fingerprint) for results in known)
    found = found_in_words(source, read)
    mended = mended_in_words(read)
    for words in (found, *mended, *dropped, *told, *warnings_of(oddities(health))):
        say(words)
    settings = settings_of(
        asked,
        plugins=load_plugins(),
        space=space.dump(),
        train=source.train,
        val=source.val,
        fingerprint=fingerprint,
        dropped=dropped,
        health=health,
        teachers=teachers,
        known=known,
        measure_on=driver.measure_on,
        weights=weights,
        ladder=tuple(dict.fromkeys(asked.start.ladder)),
        **_stopping(asked, space),
    )
    return Inputs(read, settings, made)


def source_now(settings: StudySettings, data: DataSource | Path | str | None) -> DataSource:
    """Where the data of a study lie: at a new place, if one is given."""
    cut = settings.source.train.cut
    return DataSource.given(data or settings.source, cut.val_share if cut else None)


def same_data(folder: Path, settings: StudySettings, source: DataSource) -> TrialData:
    """The data of a study, wherever they lie; raises `StudyError` where they are others or gone."""
    now, before = source.train, settings.source.train
    place, known = now.shown(now.annotations), before.shown(before.annotations)
    if source == settings.source and not (now.fetched or now.annotations.exists()):
        raise StudyError(
            f"{folder}: the data of the study are not at {place} any more: if they were moved, "
            "say where they are with --data, or with the four options for images and annotations"
        )
    data = TrialData.read(source, **settings.data.of_trials)
    found = data.fingerprint
    if found == settings.fingerprint:
        return data
    if source == settings.source:
        raise StudyError(
            f"{folder}: the data at {now.shown(now.images.parent)} have changed since "
            "the study began: put them back, or begin another study"
        )
    raise StudyError(
        f"{folder}: the data at {place} are not those of the study, which lay at {known}: their "
        f"fingerprint is {_short(found)}, and the study's is {_short(settings.fingerprint)}; give "
        "a copy of the same data, or begin another study"
    )


def _short(fingerprint: str) -> str:
    """The beginnings of a fingerprint's parts, for training and validation."""
    return " + ".join(part[:8] for part in fingerprint.split("-"))


def check_energy(driver: Driver, asked: SearchSettings) -> None:
    """Raise `EnergyUnreadable` if it is requested and this machine, which measures, cannot read
    it."""
    if driver.here and ENERGY in asked.figures:
        energy_counter(pick_device(asked.resources.device))


def with_form(space: Space, device: str | None) -> Space:
    """The same space; where it leaves the runtime to us, with the fastest one that is installed."""
    if RUNTIME in space.domains:
        return space
    form = best(space.baseline().detector, pick_device(device))
    return space.fix(RUNTIME, form.runtime).fix(PRECISION, form.precision)


def _stopping(asked: SearchSettings, space: Space) -> dict[str, Any]:
    """The options of early stopping with its rule, if that can ever compare trials of the space.

    Raises:
        SettingsError: it cannot.
    """
    early, train = asked.early, space.baseline().train
    try:
        rule = early.rule(train)
        if rule is not None:
            check_rungs(rule.budgets, train)
    except InputError as error:
        raise SettingsError(str(error)) from None
    if rule is None:
        return {}
    return {
        "early_stopping": rule,
        "halving": False,
        "rungs": None,
        "stopped_as": early.reported_as,
    }
