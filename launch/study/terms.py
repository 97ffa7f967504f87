"""The settings that all drivers of a shared study have in common."""

from __future__ import annotations

import json
from typing import Any

from launch.study.settings import StudyError, StudySettings
from searchspace.given import GIVEN
from searchspace.reading import shown

GROUPS = ("budget", "goal", "sampling", "early")
"""The groups of options that decide which trials are proposed, and how they end."""

SINGLE = {"start": ("papers", "inherit", "ladder"), "resources": ("device", "measure_on")}
"""Options of other groups. Paths may differ from machine to machine."""


def terms_of(settings: StudySettings) -> str:
    """The common settings as JSON."""
    return json.dumps(_terms(settings))


def check_agreed(settings: StudySettings, terms: str, trials: int, study: str) -> None:
    """Raise `StudyError` where settings are not those of a shared study.

    Args:
        terms: its common settings.
        trials: how many trials it has in all by now.
        study: the study in words.
    """
    mine, theirs = _terms(settings), json.loads(terms) | {"trials": trials}
    for name in (*mine, *(name for name in theirs if name not in mine)):
        if mine.get(name) == theirs.get(name):
            continue
        if name == "fingerprint":
            raise StudyError(f"{study}: its other drivers have other data: give a copy of the same")
        if name.startswith("trial "):
            raise StudyError(
                f"{study}: its {name} is another one, or only one of both has it: give the same "
                "trials, or begin another study with --study-name NAME"
            )
        if name.startswith("space"):
            field = name.removeprefix("space ")
            raise StudyError(
                f"{study}: the study's space has {field} {shown(theirs.get(name))}, and this one "
                f"{shown(mine.get(name))}: give the file of the study's space with --space, or "
                "begin another study with --study-name NAME"
            )
        raise StudyError(
            f"{study}: the study's {name} is {shown(theirs.get(name))}, and here it is "
            f"{shown(mine.get(name))}: give the same, or begin another study with --study-name NAME"
        )


def _terms(settings: StudySettings) -> dict[str, Any]:
    dumped = settings.model_dump(mode="json")
    options = {name: value for group in GROUPS for name, value in dumped[group].items()}
    single = {name: dumped[group][name] for group, names in SINGLE.items() for name in names}
    drawn, given = (dumped["space"].get(name, {}) for name in ("domains", GIVEN))
    space = {f"space {path}": value for path, value in drawn.items()}
    space |= {f"trial {name}": config for name, config in given.items()}
    return {"fingerprint": settings.fingerprint, **options, **single, **space}
