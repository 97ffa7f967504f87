"""The view of a running study, of files that were never written by a trial."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import pytest

from detectors.files import write_atomically
from launch.files import JOURNAL, LOCK, PROGRESS, SETTINGS
from launch.records import TrialRecord
from launch.report.progress import Now, StudyFollower, Tail, running_trials
from launch.trial.progress import Note
from searchspace import Space
from tests.launch.made_up import settings_for
from tests.launch.report.studies import STUDY, ended, record


def notes(*fields: dict[str, object]) -> Now:
    now = Now()
    for second, each in enumerate(fields):
        now = now.after(Note.model_validate({"time": second, **each}))
    return now


BEGUN = {"stage": "train", "key": "train-1"}
EPOCH = {
    "stage": "train", "part": "dense", "epoch": 3, "epochs": 12, "losses": {"box": 0.5},
    "images_per_s": 300.0, "left": 90.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([], "starting"),
        ([BEGUN], "train"),
        ([BEGUN, {"stage": "train", "doing": "Decoding images", "done": 3, "total": 12}],
         "train, decoding images 25 %"),
        ([BEGUN, EPOCH], "train, epoch 4/12"),
        ([BEGUN, EPOCH, {"stage": "train", "doing": "epoch 4/12", "done": 9, "total": 10}],
         "train, epoch 4/12 90 %"),
        ([BEGUN, {**EPOCH, "epoch": 12}], "train"),
        ([BEGUN, EPOCH, {"stage": "rung", "key": "rung-1"}], "score midway"),
        ([BEGUN, EPOCH, {"stage": "finetune", "key": "finetune-1"}], "fine-tune"),
    ],
)  # fmt: skip
def test_what_a_trial_does_in_words(fields: list[dict[str, object]], words: str) -> None:
    assert notes(*fields).in_words() == words


def test_the_latest_losses_figures_and_seconds_count() -> None:
    now = notes(BEGUN, EPOCH, {"stage": "evaluate", "figures": {"ap": 0.25}, "part": "dense"})
    assert (now.losses, now.figures, now.images_per_s) == ({"box": 0.5}, {"ap": 0.25}, 300)
    # 90 seconds were left in second 1.
    assert now.seconds_left(61) == 30
    assert now.seconds_left(600) == 0
    assert notes(BEGUN).seconds_left(0) is None


def test_a_trial_that_waits_for_the_training_of_another_says_so() -> None:
    first, second = running_trials({"4": notes(BEGUN), "3": notes(BEGUN, EPOCH)})
    assert (first.in_words(), second.in_words()) == ("train, by trial 3", "train, epoch 4/12")
    [alone] = running_trials({"4": notes(BEGUN)})
    assert alone.in_words() == "train"


def test_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    tail, file = Tail(tmp_path / "x"), tmp_path / "x"
    assert tail.lines() == []
    file.write_bytes(b"one\ntw")
    assert tail.lines() == [b"one"]
    file.write_bytes(b"one\ntwo\nthree\n")
    assert tail.lines() == [b"two", b"three"]
    assert tail.lines() == []
    # A resumed search has set a damaged line aside: the file is another one, and shorter.
    write_atomically(file, "one\nthree\n")
    assert tail.lines() == [b"one", b"three"]
    with file.open("ab") as more:
        more.write(b"four\n")
    assert tail.lines() == [b"four"]


@pytest.fixture(params=[{"minutes": 30}, {"hours": 0.5}], ids=["minutes", "hours"])
def study(tmp_path: Path, space: Space, request: pytest.FixtureRequest) -> Path:
    """The study of the report's tests, on which this process works; trial 5 runs."""
    folder = tmp_path / "study"
    settings = settings_for(space, trials=9, **request.param)
    write_atomically(folder / SETTINGS, settings.model_dump_json())
    append(folder, *STUDY)
    holder = {
        "pid": os.getpid(), "host": platform.node(), "what": "x", "since": time.time() - 1,
        "until": None,
    }  # fmt: skip
    (folder / LOCK).write_text(json.dumps(holder))
    return folder


def append(folder: Path, *records: TrialRecord) -> None:
    with (folder / JOURNAL).open("a") as file:
        file.writelines(f"{record.model_dump_json()}\n" for record in records)


def note(folder: Path, number: int, **fields: object) -> None:
    place = folder / f"trials/{number:04}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / PROGRESS).open("a") as file:
        file.write(json.dumps({"time": time.time(), **fields}) + "\n")


def test_a_study_is_followed_from_line_to_line(study: Path) -> None:
    follower = StudyFollower(study)
    view = follower.look()
    assert view.holder is not None
    assert [r.number for r in view.trials.front] == [1, 2]
    # Nothing is heard of it yet: it is left over from an earlier search.
    assert view.running == ()
    assert view.outlook.trials_left == 3
    assert 29 < (view.outlook.minutes_left or 0) < 30

    note(study, 5, **BEGUN)
    note(study, 5, **EPOCH)
    [running] = follower.look().running
    assert (running.name, running.in_words()) == ("5", "train, epoch 4/12")
    with (study / JOURNAL).open("a") as file:
        file.write('{"number": 6, "fol')
    append_rest = record(5, 0.5, 60)
    assert len(follower.look().trials.records) == 6
    with (study / JOURNAL).open("a") as file:
        file.write("\n")
    append(study, append_rest, ended(7, "running"))
    view = follower.look()
    assert view.running == ()
    assert [r.number for r in view.trials.front] == [5, 2]
    assert len(view.trials.records) == 7


@pytest.mark.parametrize("left", ["", '{"pid": 1, "host": "HOST", "what": "x", "since": 1.0, '])
def test_a_study_that_nobody_works_on_has_no_running_trial(study: Path, left: str) -> None:
    note(study, 5, **BEGUN)
    assert len(StudyFollower(study).look().running) == 1
    # Released; or of a killed process, whose number another process has now.
    holder = left and left.replace("HOST", platform.node()) + '"until": null}'
    (study / LOCK).write_text(holder)
    view = StudyFollower(study).look()
    assert (view.holder, view.running) == (None, ())
