"""What tests of drivers that share a study do with them."""

from __future__ import annotations

from typing import Any

import optuna

from launch.records import TrialRecord
from launch.study.heart import LOOKS
from launch.study.settings import StudySettings
from launch.study.study import Study
from searchspace import load_space
from tests.launch.made_up import result, settings_for


def settings_of(address: str, name: str, **changes: Any) -> StudySettings:
    options = {"trials": 6, "sampler": "random", "papers": False, **changes}
    return settings_for(load_space("quick"), storage=address, study_name=name, **options)


def look(study: Study, times: int = LOOKS + 1) -> None:
    """Let the driver of a study look for the others' beats."""
    for _ in range(times):
        study._journal._heart.beat()
    study._journal._looked = -1e9


def told(address: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """The trials of the Optuna study in the database."""
    url = address.replace("postgresql:", "postgresql+psycopg:")
    return optuna.load_study(study_name=name, storage=url).trials


def anywhere(record: TrialRecord) -> TrialRecord:
    """The record without the folder, which drivers see from where they are."""
    return record.model_copy(update={"folder": ""})


def run(study: Study) -> list[int]:
    """Run trials until there is none for this driver; returns their numbers."""
    numbers = []
    while record := study.propose():
        study.end(record.number, result(record))
        numbers.append(record.number)
    return numbers
