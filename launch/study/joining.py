"""How a driver takes part in a study that others share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from launch.files import JOURNAL, STAGES
from launch.study.search_settings import changed
from launch.study.settings import StudyError, StudySettings
from launch.trial.remote_study import RemoteStudy, remote_of

if TYPE_CHECKING:
    from launch.study.shared_journal import SharedJournal

ADDRESS = "SPARROW_STORAGE"
"""The environment variable with the address of the database."""


def with_driver(settings: StudySettings, folder: Path) -> StudySettings:
    """The settings of a shared study with its name, and the id of this folder's driver. A folder
    that was moved or copied has another one, as two drivers must not have the same; at an address,
    one driver works at a time, on whichever machine."""
    place, now = settings.place, folder.resolve()
    same = place == now or (place and remote_of(folder) and place.name == now.name)
    stays = settings.driver and same
    named = changed(settings, study_name=settings.shared.name)
    return named.model_copy(update={"driver": settings.driver if stays else uuid.uuid4().hex})


@contextmanager
def joined(folder: Path, settings: StudySettings, begun: bool) -> Iterator[SharedJournal]:
    """The journal of a shared study, in which the driver of a folder takes part.

    Args:
        settings: with its id.
        begun: whether it took part before.

    Raises:
        StudyError: the address of the database is missing or does not do, psycopg is not
            installed, or the study there has other settings.
    """
    address = settings.shared.storage or os.environ.get(ADDRESS)
    if not address:
        raise StudyError(
            f"{folder}: the study {settings.shared.name!r} is shared by several drivers, in a "
            f"database whose address is not stored: give it with --storage, or set {ADDRESS}"
        )
    if settings.start.inherit and settings.shared.stages is None:
        raise StudyError(
            f"{folder}: with --inherit, trials begin from the detectors of other drivers' trials: "
            "give --stages with a folder that all drivers reach"
        )
    from launch.study.database import Database
    from launch.study.shared_journal import SharedJournal

    with closing(Database(address)) as database:
        name = settings.shared.name
        journal = SharedJournal(folder / JOURNAL, database, name, settings.driver)
        with journal.joined(settings, begun):
            if settings.shared.stages is not None:
                _link(folder / STAGES, settings.shared.stages)
            yield journal


def _link(place: Path, stages: Path | str) -> None:
    """Let the stages of a study's folder lie in another one, or at an address."""
    at = RemoteStudy.at(stages).copy / STAGES if isinstance(stages, str) else stages
    stages = at.expanduser().resolve()
    stages.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(stages, target_is_directory=True)
