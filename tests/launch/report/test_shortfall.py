"""Why a search began fewer trials than were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from launch.report.shortfall import shortfall
from launch.study.settings import StudySettings
from searchspace import load_space
from tests.launch.made_up import settings_for
from tests.launch.report.studies import ended, record


def asked(**options: Any) -> StudySettings:
    return settings_for(load_space("quick"), trials=3, **options)


DONE = [record(0, 0.1, seconds=600), record(1, 0.2, seconds=600)]


@pytest.mark.parametrize(
    ("settings", "records", "sentence"),
    [
        (asked(), [*DONE, record(2, 0.1)], ""),
        (asked(device_hours=0.4), DONE, "10 min 00 s, more than was left of 0.4 device-hours."),
        (asked(device_hours=9, minutes=25), DONE, "left of the 25 min 00 s that the search might"),
        (asked(), DONE, "no further design that had not been tried"),
        (asked(), [ended(0, "failed"), ended(1, "failed")], "ended after failures"),
        (asked(), [*DONE[:1], ended(1, "running")], "so far: the search is running, or was"),
    ],
)
def test_why_there_are_fewer_trials(settings, records, sentence):
    text = shortfall(settings, records)
    assert sentence in text
    assert bool(text) == bool(sentence)
    assert not text or text.startswith("2 of the 3 trials asked for were begun")
