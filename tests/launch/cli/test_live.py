"""What is shown while a command works: on a terminal, without one, and when nothing shall be."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from detectors.activity import active
from launch.cli import terminal
from launch.cli.live import PER_SECOND, Screen
from launch.cli.terminal import PlainConsole
from launch.cli.view import Announcer, rendered
from launch.files import JOURNAL
from launch.report import progress
from launch.report.progress import StudyFollower
from tests.launch.report.studies import record
from tests.launch.report.test_progress import BEGUN, EPOCH, append, note, study

__all__ = ["study"]

Run = Callable[..., tuple[int, str]]


def printed(width: int = 80, height: int = 40, **options: bool) -> PlainConsole:
    return PlainConsole(file=io.StringIO(), width=width, height=height, **options)


def text_of(console: PlainConsole) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_eighty_columns_have_room_for_a_study(study: Path) -> None:
    note(study, 5, **BEGUN)
    note(study, 5, **EPOCH)
    console = printed()
    console.print(rendered(StudyFollower(study).look(), console.size))
    text = text_of(console)
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "6 trials: 4 finished, 1 failed, 1 running", "left: 3 trials, 30.0 minutes",
        "train, epoch 4/12", "box 0.5", "300", "1 min 30 s", "Front of 2 trials",
        "trial 1: AP_small 0.200, 55.0 FPS",
    ):  # fmt: skip
        assert words in text, text


def test_a_narrow_terminal_shows_what_is_done_in_place_of_losses(study: Path) -> None:
    note(study, 5, **BEGUN)
    note(study, 5, **EPOCH)
    console = printed(60)
    console.print(rendered(StudyFollower(study).look(), console.size))
    text = text_of(console)
    assert max(map(len, text.splitlines())) <= 60
    for words in ("train, epoch 4/12", "AP_small", "300", "1 min 30 s"):
        assert words in text, text
    assert "box 0.5" not in text


def test_the_expected_end_comes_nearer_while_nothing_ends(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(
        progress, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock.now)
    )
    follower = StudyFollower(study)
    note(study, 5, **BEGUN)
    clock.now += 10
    append(study, record(6, 0.1))
    expected = []
    for _ in range(3):
        expected.append(follower.look().outlook.seconds)
        clock.now += 5
    assert expected[0] is not None
    assert expected == pytest.approx([max(0.0, expected[0] - passed) for passed in (0, 5, 10)])
    assert expected[1] < expected[0]


def test_a_low_terminal_shows_fewer_running_trials(study: Path) -> None:
    for number in range(6, 16):
        append(study, record(number, ending=None))
        note(study, number, **BEGUN)
    console = printed(height=18)
    console.print(rendered(StudyFollower(study).look(), console.size))
    assert "and 6 more are running" in text_of(console)


def test_lines_say_what_begins_and_what_ends(study: Path) -> None:
    lines, ends = [], []
    announcer = Announcer(lines.append, lambda record, outlook: ends.append(record.number))
    follower = StudyFollower(study)
    announcer.hear(follower.look())
    note(study, 5, **BEGUN)
    announcer.hear(follower.look())
    announcer.hear(follower.look())
    append(study, record(5, 0.1))
    announcer.hear(follower.look())
    assert (lines, ends) == (["trial 5 begins"], [5])


@pytest.mark.parametrize("quiet", [False, True])
def test_without_a_terminal_there_are_plain_lines_or_none(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = printed()
    monkeypatch.setattr("launch.cli.live.PAUSE", 0.0)
    with Screen(console, quiet).shown() as screen:
        screen.say("a line")
        with active("Starting Ray"), active("Checking images", 3000) as advance:
            advance(1000)
        with active("epoch 1/3", 10, bar=False) as advance:
            advance(5)
        logging.getLogger("x").warning("odd")
        logging.getLogger("x").error("broken")
    lines = text_of(console).splitlines()
    assert lines == ([] if quiet else ["a line", "Starting Ray", "Checking images 1,000/3,000"])
    del capsys


def test_a_terminal_shows_counts_and_keeps_lines_above() -> None:
    console = printed(force_terminal=True)
    with Screen(console).shown() as screen:
        screen.follow(lambda: "the view")
        with active("Checking images", 3000) as advance:
            advance(1234)
            time.sleep(3 / PER_SECOND)
            screen.say("a line")
    text = text_of(console)
    assert "Checking images 1,234/3,000" in text
    assert "the view" in text
    assert "a line\n" in text


def test_a_study_is_watched_until_nobody_works_on_it(run: Run, study: Path) -> None:
    code, text = run("watch", study, "--once")
    assert code == 0
    assert "At work: process" in text
    note(study, 5, **BEGUN)
    note(study, 5, **EPOCH)
    tree = json.loads(run("watch", study, "--json")[1])
    assert tree["at_work"].startswith("process")
    assert (tree["trials"]["finished"], tree["left"]["trials"]) == (4, 3)
    (running,) = tree["running"]
    assert (running["trial"], running["epoch"], running["losses"]["box"]) == ("5", 3, 0.5)
    assert tree["front"][0].keys() == {"trial", "ap_small", "fps"}
    (study / "study.lock").write_text("")
    code, text = run("watch", study)
    assert code == 0
    assert "No process works on it; 1 unfinished: sparrow search --resume" in text
    (study / JOURNAL).unlink()
    code, text = run("watch", study / "gone")
    assert (code, "there is no study" in text) == (1, True)


def test_history_of_a_study_as_a_table_and_as_json(
    run: Run, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(study, 1, **BEGUN)
    note(study, 1, **EPOCH)
    code, text = run("history", study, "--trial", 1)
    assert code == 0
    assert re.search(r"1 +dense +3 +box 0\.5", text)
    monkeypatch.setattr(terminal.console, "width", 80)
    narrow = run("history", study)[1]
    assert re.search(r"1 +dense +3 +box 0\.5", narrow), narrow
    assert "FPS" in narrow
    code, text = run("history", study, "--json")
    assert code == 0
    assert '"loss_box":0.5' in text.replace(" ", "")
    code, text = run("history", study, "--out", tmp_path / "c.csv", "--tensorboard", tmp_path / "t")
    assert code == 0
    assert list((tmp_path / "t/0001").glob("events*"))
    assert "1,dense,3" in (tmp_path / "c.csv").read_text()


def read_all(terminal: int, seconds: float) -> str:
    """All that a terminal shows until its process ends."""
    shown, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # its process has ended
            break
        if not part:
            break
        shown += part
    return shown.decode(errors="replace")


@pytest.mark.slow
def test_a_search_on_a_real_terminal(space_file: Path, shapes_folder: Path, tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
        options = (
            "--space", space_file, "--data", shapes_folder, "--trials", 2, "--no-papers",
            "--driver", "local", "--device", "cpu", "--out", tmp_path / "study",
        )  # fmt: skip
        command = [sys.executable, "-m", "launch.cli", "search", *map(str, options)]
        os.execv(sys.executable, command)
    try:
        shown = read_all(terminal, 900)
    finally:
        os.close(terminal)  # which ends it, if it has not ended
        _, status = os.waitpid(child, 0)
    assert status == 0, shown[-3000:]
    assert "Traceback" not in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for words in (
        "Importing", "Search of the space", "Doing", "train", "CPU", "trial 0:", "Report:",
    ):  # fmt: skip
        assert words in plain, plain[-3000:]
    # The cursor was hidden, and is there again.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
