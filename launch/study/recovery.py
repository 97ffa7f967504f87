"""Recovery of trials whose lines are missing in the journal, from the study's folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FixedTrial
from pydantic import ValidationError

from launch.decisions.inheritance import heir
from launch.files import JOURNAL, RESULT, SETTINGS, TRIALS
from launch.records import SHARED, Finished, Origin, Parent, TrialRecord
from launch.study.journal import Journal, read_journal
from launch.study.settings import StudyError, StudySettings, resume_command
from launch.trial.result import TrialResult, read_result
from searchspace import OutsideSpace, Space, TrialConfig
from searchspace.places import check_place
from searchspace.words import numbered

NAMED = 5
"""The most missing trials that are listed one by one."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Missing:
    """A trial that is not in the journal.

    Attributes:
        folder: the folder of its artefacts, relative to the study's; None without a folder.
    """

    number: int
    folder: str | None = None

    def __str__(self) -> str:
        kept = f"its folder {self.folder} is kept" if self.folder else "it has no folder"
        return f"trial {self.number} is missing from {JOURNAL}; {kept}"


def trial_folders(study: Path) -> dict[int, str]:
    """The folders of a study's trials by their numbers, relative to the study's.

    A trial is in the journal before it has a folder, so call this before reading the journal.
    """
    names = sorted(p.name for p in (study / TRIALS).glob("*-*") if p.is_dir())
    numbered = ((re.match(r"(\d{4,})-[0-9a-f]{16}$", name), name) for name in names)
    return {int(match[1]): f"{TRIALS}/{name}" for match, name in numbered if match}


def missing_trials(
    records: Iterable[TrialRecord], folders: Mapping[int, str], numbers: Iterable[int] = ()
) -> tuple[Missing, ...]:
    """The trials of a study that are not in its journal.

    Args:
        numbers: further numbers that were assigned.
    """
    known = {record.number for record in records}
    top = max((*known, *folders, *numbers), default=-1)
    return tuple(Missing(n, folders.get(n)) for n in range(top + 1) if n not in known)


def read_missing(study: Path) -> tuple[Missing, ...]:
    """The trials of a study that are not in its journal, whether or not a search runs."""
    folders = trial_folders(study)
    return missing_trials(read_journal(study / JOURNAL), folders)


def missing_in_words(missing: Sequence[Missing]) -> str:
    """The missing trials in words, the first few one by one; empty if there are none."""
    more = len(missing) - NAMED
    rest = [f"{more} more are missing"] if more > 0 else []
    return "; ".join([*map(str, missing[:NAMED]), *rest])


def restore(
    journal: Journal,
    study: Path,
    folders: Mapping[int, str],
    settings: StudySettings,
    space: Space,
    planned: Mapping[str, Origin],
    shared: str | None = None,
) -> None:
    """Restore finished trials that a journal has lost, from the results in their folders.

    A trial stays missing if it has no result, or if it is not in the space. Information that only
    the journal had is lost: scores at rungs, and whether the sampler or a ladder proposed a trial;
    the sampler is assumed.

    Args:
        folders: see `trial_folders`.
        planned: origins of the trials that run before anything is drawn, by digest.
        shared: the stage of the shared weights, if there are any.
    """
    found = []
    for missing in missing_trials(journal.records, folders):
        if missing.folder is None or (result := _result(study / missing.folder)) is None:
            continue
        came_from = _drawn(result, space, journal.records, shared)
        if came_from is None:
            continue
        drawn, parent = came_from
        journal.append(
            TrialRecord(
                number=missing.number,
                folder=missing.folder,
                origin=planned.get(drawn.digest(), "sampler") if parent is None else "sampler",
                params=space.to_params(drawn),
                config=result.config,
                drawn=drawn if drawn != result.config else None,
                parent=parent,
                ending=Finished(result=result, broken=settings.broken_by(result)),
                predicted=result.predicted,
                seconds=result.seconds,
            )
        )
        found.append(missing.number)
    if found:
        trials = numbered("trial", found)
        logger.warning(f"{study}: {JOURNAL} had lost {trials}; restored from {TRIALS}")


def check_new(study: Path) -> None:
    """Make sure that a study can begin in a folder.

    Raises:
        StudyError: it holds a study, or the rest of one.
        InputError: it cannot be written.
    """
    if (study / SETTINGS).exists():
        raise StudyError(f"{study} holds a study: resume it, or choose another folder")
    journal = study / JOURNAL
    if trial_folders(study) or (journal.exists() and journal.stat().st_size):
        raise StudyError(
            f"{study} holds the trials of a study without {SETTINGS}: restore that file, or "
            "choose another folder"
        )
    check_place(study)


def journal_gone(study: Path) -> str:
    """A sentence on what to do about a study without its journal."""
    count = sum(_result(study / folder) is not None for folder in trial_folders(study).values())
    text = f"{study / JOURNAL} is gone, and with it what is known of the study's trials: "
    if not count:
        return f"{text}put it back; no results are left in {study / TRIALS}"
    results = "the result" if count == 1 else f"the {count} results"
    return (
        f"{text}put it back, or restore {results} in {study / TRIALS} with "
        f"`{resume_command(study)}`"
    )


def _result(folder: Path) -> TrialResult | None:
    """The result of the trial in a folder, if it has a valid one."""
    try:
        result = read_result(folder / RESULT)
    except (OSError, ValueError):
        return None
    return result if folder.name.endswith(f"-{result.config.digest()}") else None


def _drawn(
    result: TrialResult, space: Space, records: Sequence[TrialRecord], shared: str | None
) -> tuple[TrialConfig, Parent | None] | None:
    """The configuration that a space drew for a trial, and its parent; None if it cannot.

    Args:
        shared: the stage of the shared weights, if there are any.
    """
    try:
        drawn = space.nearest(result.config)
        if space.suggest(FixedTrial(space.to_params(drawn))) != drawn:
            return None
        if result.ancestor is None:
            return (drawn, None) if drawn == result.config else None
        if result.ancestor.folder.name == shared:
            return (drawn, SHARED) if heir(drawn) == result.config else None
        key = result.ancestor.folder.parent.name
        for parent in records:
            if parent.result and parent.result.trained == key and heir(drawn) == result.config:
                return drawn, parent.number
    except (OutsideSpace, ValidationError):
        pass
    return None
