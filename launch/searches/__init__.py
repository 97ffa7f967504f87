"""A search from its settings to its front: start, resume, report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.data.health import oddities
from detectors.data.readers import DataSource
from detectors.files import write_atomically
from detectors.own_folder import lock_folder
from detectors.runtimes import best
from detectors.timing.energy import energy_counter
from launch.decisions.early_stopping import check_rungs
from launch.drivers.choose import make_driver
from launch.drivers.driver import Driver, Say
from launch.drivers.interrupts import interruptible
from launch.figures import ENERGY
from launch.files import AUTO_SPACE
from launch.report import Front, load_front, write_report
from launch.report.facts import study_facts
from launch.report.published import comparison
from launch.searches.auto import AUTO, AutoSpace
from launch.searches.situation import made_for
from launch.study.failures import SearchStopped, broken_place
from launch.study.recovery import check_new, missing_in_words, read_missing
from launch.study.search_settings import RESUMABLE, SearchSettings, changed
from launch.study.settings import (
    StudyError,
    StudySettings,
    read_settings,
    resume_command,
    settings_of,
)
from launch.study.study import OnEnd, Study, open_study, read_records
from launch.study.warm_start import read_known
from launch.trial.data import (
    TrialData,
    dropped_in_words,
    found_in_words,
    given_path,
    mended_in_words,
)
from launch.trial.errors import SettingsError
from launch.trial.given_teacher import with_teacher
from launch.trial.health import health_of_space, warnings_of
from launch.trial.initial_weights import make_sure, with_weights
from launch.trial.preconditions import check_objects, check_space
from launch.trial.run import pick_device
from launch.trial.teachers import check_named_detectors, detector_folders
from searchspace import Space, load_plugins, load_space
from searchspace.errors import InputError
from searchspace.given import restored

NUM_CLASSES = "detector.num_classes"
logger = logging.getLogger(__name__)
RUNTIME, PRECISION = "measure.runtime", "measure.precision"


def search(
    space: Space | str | Path,
    data: DataSource | Path | str,
    out: Path | str,
    settings: SearchSettings | None = None,
    on_end: OnEnd | None = None,
    on_known: Say | None = None,
    on_wait: Say | None = None,
    plugins: Sequence[Path | str] = (),
    **options: Any,
) -> Front:
    """Search a space on a data set, and write front and report into `out`.

    Args:
        space: a space, the name of one that ships, or a TOML file; `auto` makes one for the data,
            the device and the budget, and writes it to `auto.toml` in `out`.
        data: a folder that one of `detectors.data.readers` recognises, such as COCO's (`train/`,
            `val/`, `annotations/instances_{train,val}.json`), or the explicit paths.
        out: the folder of the study, which must be new or empty.
        settings: all options by group; those of `SearchSettings()` by default.
        on_end: called with each trial that ends, and what is left of the budget.
        on_known: called with facts known before the search starts, in words: which bad entries
            `skip_bad` dropped, and what each warm start holds.
        on_wait: called, from another thread, with words on trials that have been silent for long.
        plugins: names or files of modules that register members of their own, see `load_plugins`.
            Those that this process loaded before count, too. Ray's processes load them as well, and
            so does whatever reads the study later; a module that you only import is not known
            there.
        **options: any option of `launch.study.search_settings` by its name, such as `trials=8`,
            `minutes=30`, `driver="local"`, `device="cpu"`, `objectives=("ap", "params")` or
            `halving=True`; they replace those of `settings`. `sparrow search --help` lists them.

    Raises:
        SettingsError: there is no such option, or its value is invalid.
        DataError, PluginError, SpaceError, StudyError, TrialError, KnownError: bad input, before
            anything is trained.
        WeightsUnavailable: published weights that the space needs cannot be had.
        EnergyUnreadable: `energy_mj` is requested, but this machine cannot read it.
        SearchStopped: its latest trials all failed for one cause, or the disk is full or cannot be
            written; the message says how to resume.
        KeyboardInterrupt: interrupted; `resume(out)` continues.
    """
    load_plugins(plugins)  # First: options may name their members.
    asked = changed(settings or SearchSettings(), **options)
    asked.early.check()
    lock_folder()
    out = given_path("out", out)
    check_new(out)
    driver = driver_for(asked)
    found = _found(space, data, asked, driver, on_known or (lambda words: None))
    # Nothing is written before it is certain that trials can start.
    with (
        interruptible(),
        driver.ready(asked.figures, asked.budget.trial_timeout),
        open_study(out, found.settings, on_end) as study,
    ):
        if found.made:
            write_atomically(out / AUTO_SPACE, found.made.text)
        return drive(driver, study, found.data, on_wait)


def resume(
    folder: Path | str,
    retry_failed: bool = False,
    on_end: OnEnd | None = None,
    on_wait: Say | None = None,
    data: DataSource | Path | str | None = None,
    **options: Any,
) -> Front:
    """Go on with a search that was interrupted, or with more trials.

    Trials that failed for a passing cause, such as a lost process, are tried again.

    Args:
        retry_failed: also those that failed because of their design, for example by running out
            of memory.
        on_end, on_wait: see `search`.
        data: where the study's data lie now, if they were moved: they have to be the same.
        **options: those that may change when a study is resumed: `trials` in all,
            `trial_timeout`, and with which driver and what resources it goes on: `driver`,
            `cpus_per_trial`, `gpus_per_trial`, `address`, `cache_gb`.

    Raises:
        SettingsError: another option is given, or one does not take its value.
        StudyError: no study there, or its data have changed since.
        TrialError: a teacher that its space names is gone.
        WeightsUnavailable: so are published weights that it needs.
        SearchStopped, KeyboardInterrupt: see `search`.
    """
    options = {name: value for name, value in options.items() if value is not None}
    _check_resumable(options)
    lock_folder()
    folder = given_path("folder", folder)
    settings = changed(read_settings(folder), **options)
    space = restored(settings.space)
    if "trials" in options and settings.is_given:
        raise SettingsError("trials: the study runs given trials, and no others; leave it out")
    driver = driver_for(settings)
    source = _source_now(settings, data)
    same = _same_data(folder, settings, source)
    make_sure(space, settings.start.weights)
    check_named_detectors(space, settings.teachers, same.classes)
    with (
        interruptible(),
        open_study(folder, None, on_end) as study,
        driver.ready(settings.figures, settings.budget.trial_timeout),
    ):
        study.relocate(source)
        if "trials" in options:
            # Only now: what its journal had lost is back.
            _check_more(study, settings.budget.trials)
            study.extend(settings.budget.trials)
        if "trial_timeout" in options and (limit := settings.budget.trial_timeout):
            study.allow(limit)
        study.try_again(lasting=retry_failed)
        return drive(driver, study, same, on_wait)


@dataclass(frozen=True)
class _Found:
    """The inputs of a new study."""

    data: TrialData
    settings: StudySettings
    made: AutoSpace | None


def driver_for(settings: SearchSettings) -> Driver:
    """The requested driver, ready for the device; raises `SettingsError`, `ValueError`."""
    options = dict(settings.resources)
    driver, device = options.pop("driver"), options.pop("device")
    return make_driver(driver, **options).on(device)


def _found(
    space: Space | str | Path,
    data: DataSource | Path | str,
    asked: SearchSettings,
    driver: Driver,
    say: Say,
) -> _Found:
    """All that a search needs is read and checked; see `search` for what it raises."""
    named = space if isinstance(space, Space) or space == AUTO else load_space(space)
    source = data if isinstance(data, DataSource) else DataSource.from_folder(data)
    read = TrialData.read(
        source,
        drop_leaks=asked.data.drop_leaks,
        cache_gb=asked.data.cache_gb,
        **asked.data.reading,
    )
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
        space = _with_form(space, asked.resources.device)
    dropped, fingerprint = dropped_in_words(read), fingerprint_of(read)
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
    return _Found(read, settings, made)


def check_energy(driver: Driver, asked: SearchSettings) -> None:
    """Raise `EnergyUnreadable` if it is requested and this machine, which measures, cannot read
    it."""
    if driver.here and ENERGY in asked.figures:
        energy_counter(pick_device(asked.resources.device))


def _check_resumable(options: dict[str, Any]) -> None:
    for name in options:
        if name not in RESUMABLE:
            raise SettingsError(
                f"{name}: it was set when the study began and cannot change; on resuming there "
                f"are {', '.join(RESUMABLE)}"
            )


def _source_now(settings: StudySettings, data: DataSource | Path | str | None) -> DataSource:
    """Where the data of a study lie: at a new place, if one is given."""
    if data is None or isinstance(data, DataSource):
        return data or settings.source
    cut = settings.train.cut
    return DataSource.from_folder(data, cut.val_share if cut else None)


def _same_data(folder: Path, settings: StudySettings, source: DataSource) -> TrialData:
    """The data of a study, wherever they lie; raises `StudyError` where they are others or gone."""
    place = source.train.annotations
    if source == settings.source and not place.exists():
        raise StudyError(
            f"{folder}: the data of the study are not at {place} any more: if they were moved, "
            "say where they are with --data, or with the four options for images and annotations"
        )
    asked = settings.data
    data = TrialData.read(
        source,
        drop_leaks=asked.drop_leaks,
        cache_gb=asked.cache_gb,
        **asked.reading,
    )
    found = fingerprint_of(data)
    if found == settings.fingerprint:
        return data
    if source == settings.source:
        raise StudyError(
            f"{folder}: the data at {source.train.images.parent} have changed since "
            "the study began: put them back, or begin another study"
        )
    raise StudyError(
        f"{folder}: the data at {place} are not those of the study, which lay at "
        f"{settings.train.annotations}: their fingerprint is {_short(found)}, and the study's is "
        f"{_short(settings.fingerprint)}; give a copy of the same data, or begin another study"
    )


def _short(fingerprint: str) -> str:
    """The beginnings of a fingerprint's parts, for training and validation."""
    return " + ".join(part[:8] for part in fingerprint.split("-"))


def _check_more(study: Study, trials: int) -> None:
    """Raise `SettingsError` where a study holds more trials already than it shall have in all."""
    there = len(study.records)
    if trials < there:
        raise SettingsError(
            f"trials is {trials}, but {study.folder} holds {there} already: give how many there "
            "shall be in all, or leave it out"
        )


def report(folder: Path | str) -> Front:
    """Rebuild front and report of a study from what is stored.

    Raises:
        StudyError: no study there, or its journal is gone.
        JournalError: the journal is damaged.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    records = read_records(folder)
    facts = study_facts(settings, records)
    if missing := read_missing(folder):
        facts["Missing trials"] = missing_in_words(missing)
    write_report(
        folder,
        records,
        title=settings.title,
        facts=facts,
        objectives=settings.goal.objectives,
        plugins=load_plugins() if settings.plugins else (),  # Where they lie now.
        compared=comparison(settings, records),
        health=settings.health,
    )
    return load_front(folder)


def drive(driver: Driver, study: Study, data: TrialData, on_wait: Say | None) -> Front:
    try:
        driver.run(study, data, on_wait or (lambda words: None))
    except BaseException as error:
        _report_if_possible(study.folder)
        broken = broken_place(error, study.folder) if isinstance(error, Exception) else None
        if broken is None:
            raise
        raise SearchStopped(_how_to_go_on(study, broken)) from error
    if study.stopped_by:
        _report_if_possible(study.folder)
        raise SearchStopped(_how_to_go_on(study, study.stopped_by))
    return report(study.folder)


def _report_if_possible(folder: Path) -> None:
    """Write the report of a search that ends early; the disk may be what ended it."""
    try:
        report(folder)
    except Exception as error:
        logger.warning(f"{folder}: the report could not be written ({error})")


def _how_to_go_on(study: Study, reason: str) -> str:
    """Why a search stopped, and the command that resumes it."""
    finished = sum(record.state == "finished" for record in study.records)
    kept = f"{finished} trial{'' if finished == 1 else 's'} finished; nothing that finished is lost"
    again = " --retry-failed" if any(record.lasting for record in study.records) else ""
    return (
        f"the search stopped: {reason.rstrip('.')}. {kept[0].upper()}{kept[1:]}. Once the cause is "
        f"mended, go on with: {resume_command(study.folder)}{again}"
    )


def _with_form(space: Space, device: str | None) -> Space:
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


def fingerprint_of(data: TrialData) -> str:
    return f"{data.train.fingerprint}-{data.val.fingerprint}"
