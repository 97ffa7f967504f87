"""The settings of a study: what was asked for, and what else it needs to be resumed."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator

from detectors.data.health import Health
from detectors.data.readers import DataSource, Split
from launch.files import FORMAT, SETTINGS
from launch.study.known import KnownResults
from launch.study.search_settings import HOMES, SearchSettings, changed
from launch.trial.copies import shown_place
from launch.trial.errors import SettingsError
from launch.trial.result import TrialResult
from searchspace.errors import InputError
from searchspace.given import GIVEN
from searchspace.plugins import load_remembered
from searchspace.reading import (
    Unreadable,
    in_words,
    parse_json,
    parse_model,
    read_json,
    read_text,
    shown,
)
from searchspace.words import command

_FIX = "restore a copy of the file"


class StudyError(InputError):
    """A study folder that cannot be used as asked; the message names it and the fix."""


def resume_command(study: Path) -> str:
    """The command that resumes a study, which is another one for given trials, and a line of
    Python for those of a trainer of one's own."""
    try:
        tree = read_json(study / SETTINGS)
    except Unreadable:
        tree = None  # Resuming will say what is wrong with it.
    if isinstance(tree, dict) and tree.get("train", "") is None:
        return f"launch.Study.open({str(study)!r})"
    space = tree.get("space") if isinstance(tree, dict) else None
    given = isinstance(space, dict) and GIVEN in space
    return command("reproduce" if given else "search", "--resume", shown_place(study))


class StudySettings(SearchSettings):
    """Everything that `--resume` needs; lies in `study.json`: what was asked for, and what was
    found when the study was begun.

    Attributes:
        format: of the study's folder, see `launch.files`.
        plugins: what is loaded before the rest is read: paths of Python files, names of modules.
        space: the space as `Space.dump` gives it.
        train, val: where the data lie, and the name of the reader of their format; None if the
            trials are run by a trainer of one's own, which has its own data.
        place: where the study lay when its paths were written, so that what lies below a common
            folder is found again when all of it was moved; None in studies of earlier versions.
        fingerprint: of the data; a resumed study refuses other data. Empty without data.
        dropped: in words, what `skip_bad` left out of the data.
        health: figures of the data for the report; None in studies of earlier versions.
        teachers: folders of the teachers that the space names, by these names.
        known: results of elsewhere that the sampler is told of before its first proposal. They are
            not run again, and never come onto the front.
        driver: the id of this folder's driver among those that share the study; empty if none do.
    """

    format: int = FORMAT
    plugins: tuple[str, ...] = ()
    space: dict[str, Any]
    train: Split | None = None
    val: Split | None = None
    place: Path | None = None
    fingerprint: str = ""
    dropped: tuple[str, ...] = ()
    health: Health | None = None
    teachers: dict[str, Path] = Field(default_factory=dict)
    known: tuple[KnownResults, ...] = ()
    driver: str = ""

    @field_validator("space")
    @classmethod
    def _is_a_space(cls, dumped: dict[str, Any]) -> dict[str, Any]:
        if "name" not in dumped or not {"domains", GIVEN} & dumped.keys():
            raise ValueError("it is neither a space nor a list of given trials")
        return dumped

    @property
    def is_given(self) -> bool:
        """Whether its trials are given, and not drawn from a space."""
        return GIVEN in self.space

    @property
    def title(self) -> str:
        """What the study is, for its report."""
        name = self.space["name"]
        return name if self.is_given else f"Search of the space {name}"

    @property
    def is_asked(self) -> bool:
        """Whether its trials are run by a trainer of one's own; see `launch.Study`."""
        return self.known_source is None

    @property
    def known_source(self) -> DataSource | None:
        """The data; None where they are a trainer's of one's own."""
        if self.train is None or self.val is None:
            return None
        return DataSource(self.train, self.val)

    @property
    def source(self) -> DataSource:
        """The data; raises `StudyError` where they are a trainer's of one's own."""
        if (known := self.known_source) is None:
            raise StudyError(
                "the trials of this study are run by a trainer of one's own: go on with it by "
                f"{resume_command(self.place or Path('FOLDER'))} in Python"
            )
        return known

    def written_in(self, folder: Path, **changes: Any) -> Self:
        """The settings as they are written into a study's folder, with some fields changed."""
        return self.model_copy(update={**changes, "place": folder.resolve()})

    def moved_to(self, folder: Path) -> Self:
        """The settings with the paths of what was moved together with the study's folder."""
        moved = functools.partial(moved_with, self.place, folder.resolve())
        splits = {
            name: replace(split, images=moved(split.images), annotations=moved(split.annotations))
            for name, split in (("train", self.train), ("val", self.val))
            if split is not None
        }
        teachers = {name: moved(path) for name, path in self.teachers.items()}
        start = self.start
        if start.weights:
            start = start.model_copy(update={"weights": moved(start.weights)})
        return self.model_copy(update={**splits, "teachers": teachers, "start": start})

    def broken_by(self, result: TrialResult) -> tuple[str, ...]:
        """The constraints that a trial's final detector does not keep to."""
        bounds = self.goal.constraints
        return tuple(str(c) for c in bounds if c.broken_by(result.figure(c.figure)))


def settings_of(asked: SearchSettings | None = None, **fields: Any) -> StudySettings:
    """The settings of a new study.

    Args:
        asked: what was asked for; all as usual by default.
        fields: what was found, and options by name, which replace those of `asked`.

    Raises:
        SettingsError: a field or an option does not take its value; the message names it.
    """
    asked = asked or SearchSettings()
    found = {name: fields.pop(name) for name in list(fields) if name not in HOMES}
    asked = changed(asked, **fields)
    # What was not asked for is stored, too: another version may have other defaults.
    asked = changed(asked, sampler=asked.sampler)
    groups = {name: getattr(asked, name) for name in SearchSettings.model_fields}
    try:
        return StudySettings(**groups, **found)
    except ValidationError as error:
        raise SettingsError(in_words(error)) from None


def moved_with(before: Path | None, now: Path, path: Path) -> Path:
    """A path as it lies to a folder's new place, if both were moved together; or else itself.

    Args:
        before: where the folder lay when the path was written.
        now: where it lies.
    """
    if before is None or before == now or not path.is_absolute():
        return path
    if os.path.commonpath([before, path]) == before.anchor:
        return path  # They have no folder in common.
    there = Path(os.path.normpath(now / os.path.relpath(path, before)))
    return there if there.exists() else path


def read_settings(folder: Path) -> StudySettings:
    """The settings of the study in `folder`, whose plugins are loaded.

    Raises:
        StudyError: there is no study.
        PluginError: one of its plugins is missing or broken.
    """
    tree = load_study_plugins(folder)
    try:
        return parse_model(folder / SETTINGS, tree, StudySettings, _FIX).moved_to(folder)
    except Unreadable as error:
        raise StudyError(str(error)) from None


def load_study_plugins(folder: Path) -> Any:
    """Load the plugins of the study in `folder`; returns the unchecked content of its file.

    Raises:
        StudyError: there is no study.
        PluginError: one of its plugins is missing or broken.
    """
    file = folder / SETTINGS
    if not file.exists():
        raise StudyError(f"{folder}: there is no study (no study.json); give a study's folder")
    try:
        tree = parse_json(file, read_text(file, _FIX), _FIX)
    except Unreadable as error:
        raise StudyError(str(error)) from None
    _check_format(file, tree)
    load_remembered(_plugins(tree, folder.resolve()), f"the study {folder}")
    return tree


def _check_format(file: Path, tree: Any) -> None:
    found = tree.get("format") if isinstance(tree, dict) else FORMAT
    if found != FORMAT:
        wrote = "without a format" if found is None else f"of format {shown(found)}"
        raise StudyError(
            f"{file}: a study {wrote}, written by another version of Sparrow; this one reads "
            f"format {FORMAT}: go on with the version that wrote it, or begin another study"
        )


def _plugins(tree: Any, folder: Path) -> list[str]:
    """The plugins in a study's file, where they lie now; its other content is checked later."""
    named, place = (
        (tree.get("plugins"), tree.get("place")) if isinstance(tree, dict) else (None, None)
    )
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    before = Path(place) if isinstance(place, str) else None
    return [str(moved_with(before, folder, Path(name))) for name in names]
