"""Opening the study in a folder to work on it, and looking at one that somebody works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from detectors.lock_holders import Holder
from detectors.locks import Busy, held, living_holder
from launch.files import CLAIMS, JOURNAL, LOCK
from launch.records import TrialRecord
from launch.study.joining import joined, with_driver
from launch.study.journal import read_journal
from launch.study.recovery import check_new, journal_gone
from launch.study.search_settings import changed
from launch.study.settings import StudyError, StudySettings, read_settings
from launch.study.study import OnEnd, Study
from launch.study.study_folder import store_settings
from launch.trial.claims import claimants, claimed
from launch.trial.copies import fetch_study, shown_place
from launch.trial.remote_study import remote_of

WORKING = "working on it"
"""What the process of a search has been doing."""


@contextlib.contextmanager
def open_study(
    folder: Path,
    settings: StudySettings | None = None,
    on_end: OnEnd | None = None,
    storage: str | None = None,
) -> Iterator[Study]:
    """A study to work on, locked by this process.

    Args:
        settings: settings of a new study; None opens an existing one.
        storage: the database of an existing study that several drivers share.

    Raises:
        StudyError: the folder holds a study already, or none, or another process works on it; or
            see `launch.study.joining.joined`.
    """
    if settings is None:
        read_settings(folder)  # create nothing if there is no study
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked(folder))
        # Under the lock: another process may have created or changed the study a moment ago.
        begun = settings is None
        if settings is None:
            settings = changed(read_settings(folder), **({"storage": storage} if storage else {}))
        else:
            check_new(folder)
        shared = None
        if settings.shared.is_shared:
            settings = with_driver(settings, folder)
            shared = stack.enter_context(joined(folder, settings, begun))
        if not begun or shared:
            settings = store_settings(settings, folder)
        yield Study(folder, settings, on_end, shared)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While this process works on a study, no other one does, and the folder has what is new on
    the study's address; raises `StudyError`."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder / LOCK, WORKING, wait=False))
            if (remote := remote_of(folder)) is not None:
                stack.enter_context(claimed(remote, CLAIMS, WORKING, wait=False))
        except Busy as error:
            raise StudyError(
                f"{shown_place(folder)}: another process works on this study: {error}"
            ) from None
        fetch_study(folder, ours=True)
        yield


def worked_on(folder: Path) -> Holder | None:
    """The process that works on the study in `folder`; None if there is none.

    Nothing is locked, so that a search may begin at any moment.
    """
    here, remote = living_holder(folder / LOCK), remote_of(folder)
    return here if here or remote is None else next(claimants(remote, CLAIMS), None)


def read_records(folder: Path) -> tuple[TrialRecord, ...]:
    """The records of the study in `folder`, whether or not a search runs on it.

    Raises:
        StudyError: there is no study, or its journal is missing.
    """
    read_settings(folder)
    try:
        return read_journal(folder / JOURNAL)
    except FileNotFoundError:
        raise StudyError(journal_gone(folder)) from None
