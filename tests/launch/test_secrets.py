"""No password reaches a log, a report, a stored setting or the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from launch.drivers.ray_start import logged_to
from launch.files import RAY_LOG
from launch.searches import report
from launch.study.failures import failure_of
from launch.study.opening import open_study
from launch.trial.log import keep_traceback, trial_log
from searchspace import Space
from tests.launch import made_up
from tests.launch.conftest import Run

SECRET = "correct-horse"
ADDRESS = f"http://me:{SECRET}@127.0.0.1:1/?password={SECRET}"


def test_a_failed_trial_tells_no_password(space: Space, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    error = ConnectionError(f"no answer from {ADDRESS}")
    settings = made_up.settings_for(space, trials=2, address=ADDRESS)
    with open_study(folder, settings) as study, logged_to(folder / RAY_LOG):
        record = study.propose()
        assert record is not None
        place = study.trial_folder(record)
        place.mkdir(parents=True)
        with trial_log(place):
            logging.getLogger("a library").warning("retrying %s", ADDRESS)
        logging.getLogger("ray").warning("joining %s", ADDRESS)
        keep_traceback(error, place)
        study.end(record.number, failure_of(error, place, 1.0))
        other = study.propose()
        assert other is not None
        study.end(other.number, made_up.result(other))
    report(folder)
    texts = {file: file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file()}
    assert {file.name for file, text in texts.items() if "127.0.0.1" in text} >= {
        "journal.jsonl", "log.txt", "ray.log", "report.html", "traceback.txt",
    }  # fmt: skip
    assert [file.name for file, text in texts.items() if SECRET in text] == []


@pytest.mark.parametrize(
    "command",
    [
        ("search", "--data", "DATA", "--out", "/nowhere/study", "--address", ADDRESS),
        ("submit", "--address", ADDRESS, "search", "--out", "/nowhere/study"),
    ],
)
def test_an_address_that_does_not_do_is_named_without_its_password(
    run: Run, shapes_folder: Path, command: tuple[str, ...]
) -> None:
    code, text = run(*(shapes_folder if word == "DATA" else word for word in command))
    assert code == 1
    assert "error: " in text
    assert SECRET not in text
