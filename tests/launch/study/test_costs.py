"""What a trial costs its study does not grow with the number of trials before it: counted in calls,
as times depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import launch
import searchspace
from launch.decisions import tally
from launch.study.opening import open_study
from launch.study.study import Study
from searchspace import load_space
from tests.launch.made_up import cost, metrics, result, settings_for

OURS = tuple(str(Path(package.__file__).parent) for package in (launch, searchspace))


def calls_in(run: Callable[[], object]) -> int:
    """The calls of functions of Sparrow, and steps of its generators, while something runs."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(OURS)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def trial(study: Study) -> None:
    """One trial from its proposal to its end; the later, the better."""
    record = study.propose()
    assert record is not None
    number, speed = record.number, 50 + record.number / 10
    assert study.note_prediction(number, cost(speed), 1.0)
    for epochs in study.rungs(record):
        assert study.note_rung(number, epochs, metrics(number / 1000), 1.0)
    study.end(number, result(record, ap_small=number / 1000, fps=speed, seconds=60))


@pytest.mark.parametrize(
    "options",
    [{}, {"ladder": (0.3,), "device_hours": 1000.0}],
    ids=["as usual", "with a ladder and limits"],
)
def test_a_trial_costs_as_much_after_many_as_after_few(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "LATEST", 10)  # Up to which it may grow.
    space = load_space("mobile")
    settings = settings_for(space, trials=1000, sampler="random", papers=False, **options)
    counts = []
    with open_study(tmp_path, settings) as study:
        for _ in range(2):
            for _ in range(35):
                trial(study)
            counts.append(min(calls_in(lambda: trial(study)) for _ in range(5)))
    # Designs have different numbers of fields.
    assert counts[1] <= 1.15 * counts[0], counts
