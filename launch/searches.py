"""A search from its settings to its front: chooses the driver, runs, resumes, reports."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectors.data.coco import DataSource, Split
from detectors.own_folder import lock_folder
from detectors.runtimes import best
from detectors.timing.energy import energy_counter
from launch.constraints import Constraint, figures_of
from launch.decisions.early_stopping import EarlyStopping, rungs_within
from launch.decisions.rules import RULES
from launch.drivers.choose import make_driver
from launch.drivers.driver import Driver, Say
from launch.drivers.interrupts import interruptible
from launch.figures import DEFAULT, ENERGY, Figure
from launch.report import Front, load_front, write_report
from launch.report.facts import study_facts
from launch.study.failures import SearchStopped, broken_place
from launch.study.recovery import check_new, missing_in_words, read_missing
from launch.study.settings import (
    MOST_TRIALS,
    TOLD_AS,
    SplitPaths,
    StoppedAs,
    StudyError,
    changed,
    read_settings,
    resume_command,
    settings_of,
)
from launch.study.study import OnEnd, Study, open_study, read_records
from launch.study.warm_start import read_known
from launch.trial.data import SettingsError, TrialData, dropped_in_words, given_path
from launch.trial.initial_weights import make_sure, with_weights
from launch.trial.preconditions import check_objects, check_space
from launch.trial.run import pick_device
from launch.trial.teachers import check_named_teachers, teacher_folders
from searchspace import Space, load_plugins, load_space
from searchspace.errors import InputError

NUM_CLASSES = "detector.num_classes"
logger = logging.getLogger(__name__)
RUNTIME, PRECISION = "measure.runtime", "measure.precision"


def search(
    space: Space | str | Path,
    data: DataSource | Path | str,
    out: Path | str,
    trials: int = 20,
    seed: int = 0,
    minutes: float | None = None,
    device_hours: float | None = None,
    trial_timeout: float | None = None,
    driver: str | Driver = "ray",
    cpus_per_trial: float = 1,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    measure_on: str | None = None,
    device: str | None = None,
    skip_bad: bool = False,
    weights: Path | str | None = None,
    papers: bool = True,
    sampler: str | None = None,
    objectives: Sequence[Figure] = DEFAULT,
    constraints: Sequence[Constraint] = (),
    ladder: Sequence[float] = (),
    gate: bool = False,
    early_stopping: EarlyStopping | str | None = None,
    stopped_as: StoppedAs | None = None,
    inherit: bool = False,
    warm_start: Sequence[Path | str] = (),
    plugins: Sequence[Path | str] = (),
    on_end: OnEnd | None = None,
    on_known: Callable[[str], None] | None = None,
    on_wait: Say | None = None,
) -> Front:
    """Search a space on a data set, and write front and report into `out`.

    Args:
        space: a space, the name of one that ships, or a TOML file.
        data: a COCO folder (`train/`, `val/`, `annotations/instances_{train,val}.json`) or the
            explicit paths.
        trials: how many are proposed, the baseline and failed ones included.
        minutes: no trial is proposed that would probably end later.
        device_hours: no trial is proposed with which the trials' own times would probably sum up
            to more.
        trial_timeout: minutes after which a trial is ended for good, as failed. One that gives no
            sign of life for far longer than trials take is ended in any case.
        driver: what runs the trials, by its name or made with options of its own, such as
            `RayTune(cpus_per_trial=2)`.
        gpus_per_trial: None takes one where trials run on a GPU, else none.
        address: of a running Ray cluster; `out` must then be on storage that all nodes share.
        measure_on: custom resource of the Ray nodes that are the target: detectors are scored and
            measured on one of them, wherever they were trained.
        weights: a folder or file with the published weights that backbones start from, in place of
            a download, which all nodes see under the same path; `none` starts all of them from
            random numbers.
        papers: begin with the papers' systems that lie in the space.
        sampler: what proposes configurations after these, by its name in
            `launch.study.samplers.SAMPLERS`; None for `gp`, or for `tpe` where constraints or the
            gate may end designs before training.
        objectives: figures that the front is over, the most important first.
        constraints: bounds that a detector of the front keeps to.
        ladder: ratios at which the best of the trained detectors are pruned, as trials of their
            own that train nothing again.
        gate: designs that cannot reach the front any more, by what they will cost and what others
            scored, are not trained.
        early_stopping: the rule by which trials that are worse than others on the way are stopped,
            such as `Halving(budgets=(2, 4))`; by its name, such as `halving`, it compares them
            after a quarter and half of their training.
        stopped_as: how these are reported to the sampler; by default
            `launch.study.settings.TOLD_AS`.
        inherit: trainings of what the sampler draws start from the nearest trained relative, and
            take half the epochs.
        warm_start: folders of earlier studies, and CSV files, whose results the sampler is told
            of before it proposes anything.
        plugins: names or files of modules that register members of their own, see `load_plugins`.
            Those that this process loaded before count, too. Ray's processes load them as well, and
            so does whatever reads the study later; a module that you only import is not known
            there.
        on_end: told of each trial that ends, and of what is left of the budget.
        on_known: given, in words, what is known before the search begins: which bad entries
            `skip_bad` dropped, and what each warm start holds.
        on_wait: told in words, from another thread, which trials have been silent for long.

    Raises:
        DataError, PluginError, SpaceError, StudyError, TrialError, KnownError: bad input, before
            anything is trained.
        WeightsUnavailable: published weights that the space needs cannot be had.
        EnergyUnreadable: `energy_mj` is asked for, and this machine cannot read it.
        SearchStopped: its latest trials all failed for one cause, or the disk is full or cannot be
            written; the message says how to go on.
        KeyboardInterrupt: interrupted; `resume(out)` goes on.
    """
    _check_resources(cpus_per_trial, gpus_per_trial, address)
    out = given_path("out", out)
    check_new(out)
    loaded = load_plugins(plugins)
    options = _driver_options(cpus_per_trial, gpus_per_trial, address, measure_on)
    chosen = make_driver(driver, **options).on(device)
    space = space if isinstance(space, Space) else load_space(space)
    space, given = with_weights(space, weights)
    source = data if isinstance(data, DataSource) else DataSource.from_folder(data)
    read = TrialData.read(source, skip_bad)
    dropped = dropped_in_words(read)
    figures = figures_of(objectives, constraints)
    check_objects(read, figures)
    if chosen.here:
        _check_energy(figures, device)
    teachers = teacher_folders(space)
    check_named_teachers(teachers, read.classes)
    space = space.fix(NUM_CLASSES, read.train.num_classes)
    check_space(space, read)
    if chosen.measure_on is None:
        space = _with_form(space, device)
    fingerprint = _fingerprint(read)
    known = tuple(read_known(Path(source), space, figures) for source in warm_start)
    for words in (*dropped, *(results.in_words(fingerprint) for results in known)):
        if on_known:
            on_known(words)
    settings = settings_of(
        plugins=loaded,
        space=space.dump(),
        train=SplitPaths(**vars(source.train)),
        val=SplitPaths(**vars(source.val)),
        fingerprint=fingerprint,
        skip_bad=skip_bad,
        dropped=dropped,
        papers=papers,
        trials=trials,
        seed=seed,
        minutes=minutes,
        device_hours=device_hours,
        weights=given,
        teachers=teachers,
        trial_timeout=trial_timeout,
        device=device,
        measure_on=chosen.measure_on,
        **({"sampler": sampler} if sampler else {}),
        objectives=tuple(objectives),
        constraints=tuple(constraints),
        ladder=tuple(dict.fromkeys(ladder)),
        gate=gate,
        early_stopping=_rule(early_stopping, stopped_as, space),
        stopped_as=stopped_as or TOLD_AS,
        inherit=inherit,
        known=known,
    )
    # Nothing is written before it is certain that trials can start.
    with (
        interruptible(),
        chosen.ready(figures, trial_timeout),
        open_study(out, settings, on_end) as study,
    ):
        return _drive(chosen, study, read, on_wait)


def resume(
    folder: Path | str,
    trials: int | None = None,
    trial_timeout: float | None = None,
    driver: str | Driver = "ray",
    cpus_per_trial: float = 1,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    retry_failed: bool = False,
    on_end: OnEnd | None = None,
    on_wait: Say | None = None,
) -> Front:
    """Go on with a search that was interrupted, or with more trials.

    Trials that failed for a passing cause, such as a lost process, are tried again.

    Args:
        retry_failed: also those that failed by their design, such as for want of memory.

    Raises:
        StudyError: no study there, or its data have changed since.
        TrialError: a teacher that its space names is gone.
        WeightsUnavailable: so are published weights that it needs.
        SearchStopped, KeyboardInterrupt: see `search`.
    """
    _check_resources(cpus_per_trial, gpus_per_trial, address)
    folder = given_path("folder", folder)
    settings = read_settings(folder)
    options = _driver_options(cpus_per_trial, gpus_per_trial, address, settings.measure_on)
    chosen = make_driver(driver, **options).on(settings.device)
    source = DataSource(Split(**dict(settings.train)), Split(**dict(settings.val)))
    read = TrialData.read(source, settings.skip_bad)
    if _fingerprint(read) != settings.fingerprint:
        raise StudyError(
            f"{folder}: the data at {settings.train.annotations.parent.parent} have changed since "
            "the study began: put them back, or begin another study"
        )
    space = Space.restore(settings.space)
    make_sure(space, settings.weights)
    check_named_teachers(settings.teachers, read.classes)
    limit = changed(settings, trials=trials, trial_timeout=trial_timeout).trial_timeout
    with (
        interruptible(),
        open_study(folder, None, on_end) as study,
        chosen.ready(settings.figures, limit),
    ):
        if trials is not None:
            # Only now: what its journal had lost is back.
            _check_more(study, trials)
            study.extend(trials)
        if trial_timeout is not None:
            study.allow(trial_timeout)
        study.try_again(lasting=retry_failed)
        return _drive(chosen, study, read, on_wait)


def _check_more(study: Study, trials: int) -> None:
    """Raise `SettingsError` where a study holds more trials already than it shall have in all."""
    there = len(study.records)
    if trials < max(1, there):
        raise SettingsError(
            f"trials is {trials}, but {study.folder} holds {there} already: give how many there "
            "shall be in all, or leave it out"
        )
    if trials > MOST_TRIALS:
        raise SettingsError(f"trials is {trials}: give {MOST_TRIALS} at most")


def report(folder: Path | str) -> Front:
    """Rebuild front and report of a study from what is stored.

    Raises:
        StudyError: no study there, or its journal is gone.
        JournalError: the journal is damaged.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    records = read_records(folder)
    title = f"Search of the space {settings.space['name']}"
    facts = study_facts(settings, records)
    if missing := read_missing(folder):
        facts["Missing trials"] = missing_in_words(missing)
    write_report(folder, records, title=title, facts=facts, objectives=settings.objectives)
    return load_front(folder)


def _drive(driver: Driver, study: Study, data: TrialData, on_wait: Say | None) -> Front:
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
    """Why a search stopped, and the command that goes on with it."""
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


def _rule(
    asked: EarlyStopping | str | None, stopped_as: StoppedAs | None, space: Space
) -> EarlyStopping | None:
    """The early-stopping rule asked for, if it can ever compare trials of the space.

    Raises:
        SettingsError: it cannot, or there is no such rule.
    """
    if asked is None:
        if stopped_as is not None:
            raise SettingsError(f"stopped_as {stopped_as}: nothing is stopped without a rule")
        return None
    train = space.baseline().train
    try:
        rule = _named_rule(asked).usual(train) if isinstance(asked, str) else asked
    except InputError as error:
        raise SettingsError(str(error)) from None
    if rungs_within(rule.budgets, train) != rule.budgets:
        raise SettingsError(
            f"{rule.kind}: rungs {', '.join(map(str, rule.budgets))} must lie after the warm-up "
            f"and before the last of train.epochs ({train.epochs})"
        )
    return rule


def _named_rule(name: str) -> type[EarlyStopping]:
    try:
        return RULES.by_kind[name]
    except KeyError:
        known = ", ".join(RULES.by_kind)
        raise SettingsError(f"early_stopping {name!r}: choose from {known}") from None


def _driver_options(
    cpus: float, gpus: float | None, address: str | None, measure_on: str | None
) -> dict[str, Any]:
    """The options of a driver, as far as they are given."""
    return {
        "cpus_per_trial": cpus if cpus != 1 else None,
        "gpus_per_trial": gpus,
        "address": address,
        "measure_on": measure_on,
    }


def _check_resources(cpus: float, gpus: float | None, address: str | None) -> None:
    """Raise `SettingsError` for what no cluster could give, `NoOwnFolder` where nothing here could
    be locked."""
    lock_folder()
    if not (math.isfinite(cpus) and cpus > 0):
        raise SettingsError(f"cpus_per_trial is {cpus}: give a number above 0")
    if gpus is not None and not (math.isfinite(gpus) and gpus >= 0):
        raise SettingsError(f"gpus_per_trial is {gpus}: give 0 or a number above it")
    if address == "":
        raise SettingsError("address is empty: give that of a cluster, or leave it out")


def _check_energy(figures: Sequence[Figure], device: str | None) -> None:
    """Raise `EnergyUnreadable` where this machine cannot read a figure that is asked for."""
    if ENERGY in figures:
        energy_counter(pick_device(device))


def _fingerprint(data: TrialData) -> str:
    return f"{data.train.fingerprint}-{data.val.fingerprint}"
