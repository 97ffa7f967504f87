"""A search from its settings to its front: start, resume, report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.files import write_atomically
from detectors.own_folder import lock_folder
from detectors.remote import PATIENCE
from launch.drivers.driver import Driver, Say
from launch.drivers.interrupts import interruptible
from launch.files import AUTO_SPACE, final_folder
from launch.report import Front, load_front, write_report
from launch.report.facts import study_facts
from launch.report.looks import SECONDS, look_closer
from launch.report.member import page_of, write_pages
from launch.report.page import About
from launch.report.published import comparison
from launch.report.shortfall import shortfall
from launch.report.study import StudyView
from launch.searches.inputs import driver_for, inputs_of, same_data, source_now
from launch.searches.shared_weights import check_shared, shared_in_words, with_shared_weights
from launch.searches.tracking import Tracking
from launch.study.failures import SearchStopped, broken_place
from launch.study.opening import open_study, read_records
from launch.study.recovery import check_new, missing_in_words, missing_trials, trial_folders
from launch.study.search_settings import RESUMABLE, SearchSettings, changed
from launch.study.settings import read_settings, resume_command
from launch.study.shared_scores import read_shared
from launch.study.study import OnEnd, Study
from launch.trial.copies import bring, send_report, study_place
from launch.trial.data import TrialData
from launch.trial.errors import SettingsError
from launch.trial.initial_weights import make_sure
from launch.trial.teachers import check_named_detectors
from searchspace import Space, load_plugins
from searchspace.given import restored
from searchspace.words import counted

logger = logging.getLogger(__name__)


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
        out: the folder of the study, which must be new or empty, or an address, such as
            `s3://BUCKET/PATH`: then the study is there, and this machine has a copy.
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
    check_shared(asked)
    lock_folder()
    out = study_place("out", out)
    check_new(out)
    tracking = Tracking(asked.tracking.track, out, on_end)
    driver = driver_for(asked)
    found = inputs_of(space, data, asked, driver, on_known or (lambda words: None))
    # Nothing is written before it is certain that trials can start.
    with (
        interruptible(),
        tracking,
        driver.ready(asked.figures, asked.budget.trial_timeout),
        open_study(out, found.settings, tracking.on_end) as study,
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
        on_end: see `search`.
        on_wait: see `search`.
        data: where the study's data lie now, if they were moved: they have to be the same.
        **options: those that may change when a study is resumed: `trials` in all,
            `trial_timeout`, and with which driver and what resources it goes on: `driver`,
            and the options of that driver, such as `cpus_per_trial` and `address`; `cache_gb`,
            whether its trials are logged: `track`, and the database of a shared study: `storage`.

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
    folder = study_place("folder", folder)
    settings = changed(read_settings(folder), **options)
    space = restored(settings.space)
    if "trials" in options and settings.is_given:
        raise SettingsError("trials: the study runs given trials, and no others; leave it out")
    tracking = Tracking(settings.tracking.track, folder, on_end)
    driver = driver_for(settings)
    source = source_now(settings, data)
    same = same_data(folder, settings, source)
    make_sure(space, settings.start.weights)
    check_named_detectors(space, settings.teachers, same.classes)
    with (
        interruptible(),
        tracking,
        open_study(folder, None, tracking.on_end, settings.shared.storage) as study,
        driver.ready(settings.figures, settings.budget.trial_timeout),
    ):
        study.relocate(source)
        if "trials" in options:
            # Only now: what its journal had lost is back.
            check_more(study, settings.budget.trials)
            study.extend(settings.budget.trials)
        if "trial_timeout" in options and (limit := settings.budget.trial_timeout):
            study.allow(limit)
        study.try_again(lasting=retry_failed)
        return drive(driver, study, same, on_wait)


def _check_resumable(options: dict[str, Any]) -> None:
    for name in options:
        if name not in RESUMABLE:
            raise SettingsError(
                f"{name}: it was set when the study began and cannot change; on resuming there "
                f"are {', '.join(RESUMABLE)}"
            )


def check_more(study: Study, trials: int) -> None:
    """Raise `SettingsError` where a study holds more trials already than it shall have in all."""
    there = len(study.records)
    if trials < there:
        raise SettingsError(
            f"trials is {trials}, but {study.folder} holds {there} already: give how many there "
            "shall be in all, or leave it out"
        )


def report(
    folder: Path | str,
    val: Dataset | None = None,
    seconds: float = SECONDS,
    patience: float = PATIENCE,
) -> Front:
    """Rebuild front and report of a study from what is stored, and look closer at the trials of its
    front that have not been looked at yet; see `launch.report.looks`.

    Args:
        val: the study's validation split, if it has been read already.
        seconds: after so long, no further trial is looked at.
        patience: seconds for which an address that does not answer is tried again.

    Raises:
        StudyError: no study there, or its journal is gone.
    """
    folder = study_place("folder", folder, patience)
    settings = read_settings(folder)
    folders = trial_folders(folder)
    records = read_records(folder)
    facts = study_facts(settings, records)
    if scores := read_shared(folder):
        space = restored(settings.space)
        facts["Shared weights"] = shared_in_words(settings, scores, records, space)
    if missing := missing_trials(records, folders):
        facts["Missing trials"] = missing_in_words(missing)
    view = StudyView.of(records, settings.goal.objectives)
    for record in view.front:
        bring(folder / record.folder / final_folder(record.config))
    write_report(
        folder,
        records,
        title=settings.title,
        facts=facts,
        objectives=settings.goal.objectives,
        about=About(
            shortfall(settings, records),
            load_plugins() if settings.plugins else (),  # Where they lie now.
            comparison(settings, records),
            settings.health,
            {record.number: page_of(record) for record in view.front},
        ),
    )
    unseen: dict[int, str] = {}
    try:
        look_closer(folder, settings, view, unseen, val, seconds)
    finally:  # Whoever interrupts it has a report all the same.
        write_pages(folder, view, settings, unseen)
    send_report(folder, patience)
    return load_front(folder)


def drive(driver: Driver, study: Study, data: TrialData, on_wait: Say | None) -> Front:
    say = on_wait or (lambda words: None)
    try:
        with_shared_weights(driver, study, data, say)
        driver.run(study, data, say)
    except BaseException as error:
        _report_if_possible(study.folder)
        broken = broken_place(error, study.folder) if isinstance(error, Exception) else None
        if broken is None:
            raise
        raise SearchStopped(_how_to_go_on(study, broken)) from error
    if study.stopped_by:
        _report_if_possible(study.folder)
        raise SearchStopped(_how_to_go_on(study, study.stopped_by))
    return report(study.folder, data.val)


def _report_if_possible(folder: Path) -> None:
    """Write the report of a search that ends early; the disk may be what ended it."""
    try:
        report(folder, seconds=0.0, patience=0.0)
    except Exception as error:
        logger.warning(f"{folder}: the report could not be written ({error})")


def _how_to_go_on(study: Study, reason: str) -> str:
    """Why a search stopped, and the command that resumes it."""
    finished = sum(record.state == "finished" for record in study.records)
    kept = f"{counted(finished, 'trial')} finished; nothing that finished is lost"
    again = " --retry-failed" if any(record.lasting for record in study.records) else ""
    return (
        f"the search stopped: {reason.rstrip('.')}. {kept}. Once the cause is "
        f"mended, go on with: {resume_command(study.folder)}{again}"
    )
