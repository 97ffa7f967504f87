"""What killed searches leave is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from detectors.locks import held
from detectors.timing.turns import UNPACKED
from launch.drivers import leftovers, ray_start, travel
from launch.drivers.leftovers import DRIVER, MARK, OWN_GROUP, OWN_LOGS, OWN_RAY, claimed
from launch.files import LOCK, SHARED_JSON, STAGES
from launch.study.opening import open_study
from searchspace import Space
from tests.launch import made_up
from tests.launch.conftest import Run


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(leftovers, "temporary_folders", lambda: [str(folder)])
    # No socket of Ray would fit below pytest's folders.
    monkeypatch.setattr(ray_start, "SOCKET_LENGTH", 1000)
    return folder


def killed(folder: Path) -> Path:
    """The folder of a Ray whose search was killed."""
    folder.mkdir()
    with claimed(folder):
        record = (folder / DRIVER).read_bytes()
    (folder / DRIVER).write_bytes(record.replace(str(os.getpid()).encode(), b"999999999"))
    (folder / "token").write_text("secret")
    return folder


@pytest.fixture
def raylet(temporary: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that a killed search left behind."""
    mark = {**os.environ, MARK: str(temporary / f"{OWN_RAY}aaaaaaaa")}
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=mark)
    yield process
    process.kill()
    process.wait()


def test_what_a_killed_search_left_is_removed(
    run: Run, temporary: Path, raylet: subprocess.Popen[bytes]
) -> None:
    ray = killed(temporary / f"{OWN_RAY}aaaaaaaa")
    logs = temporary / f"{OWN_LOGS}bbbbbbbb"
    logs.mkdir()
    code, text = run("clean", "--dry-run")
    assert (code, ray.exists(), logs.exists(), raylet.poll()) == (0, True, True, None)
    assert f"{ray}: Ray of a search that was killed, 1 process, 0.0 MB" in text
    assert f"{logs}: logs of a Ray that did not start" in text
    assert "2 leftovers, 0.0 MB, would be removed" in text
    code, text = run("clean")
    assert (code, "2 leftovers, 0.0 MB, removed" in text) == (0, True)
    assert list(temporary.iterdir()) == []
    assert not psutil.pid_exists(raylet.pid)
    assert "0 leftovers" in run("clean")[1]


def test_code_and_bundles_of_killed_processes_are_removed(run: Run, temporary: Path) -> None:
    prefixes = (travel.FOLDER, UNPACKED, OWN_GROUP)
    living = [temporary / f"{prefix}{os.getpid()}-abc" for prefix in prefixes]
    gone = [temporary / f"{prefix}999999999-abc" for prefix in prefixes]
    for folder in (*living, *gone):
        folder.mkdir()
    code, text = run("clean")
    assert (code, "3 leftovers" in text) == (0, True), text
    assert all(f"{folder}: " in text for folder in gone)
    assert sorted(temporary.iterdir()) == sorted(living)


def test_the_next_search_removes_it_too(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, logs = killed(temporary / f"{OWN_RAY}aaaaaaaa"), temporary / f"{OWN_LOGS}bbbbbbbb"
    logs.mkdir()
    monkeypatch.setattr(ray_start, "temporary_folders", lambda: [str(temporary)])
    monkeypatch.setattr(ray_start, "_init", lambda *_, **__: None)
    seen = []
    monkeypatch.setattr(ray_start, "_shut_down", lambda: seen.append(leftovers.killed_rays()))
    with ray_start.connected(None):
        assert not ray.exists()
        [own] = set(temporary.iterdir()) - {logs}
        assert (own / DRIVER).exists()
        assert leftovers.killed_rays() == []
    assert seen == [[]]
    # Those of a Ray that did not start are named by a message that may still be read.
    assert list(temporary.iterdir()) == [logs]


def test_what_another_search_removes_meanwhile_is_no_error(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = temporary / f"{OWN_RAY}aaaaaaaa"
    monkeypatch.setattr(leftovers, "_own_folders", lambda: iter([gone]))
    assert leftovers.of_machine() == []


def test_living_searches_and_other_files_are_left_alone(
    run: Run, temporary: Path, raylet: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    living, new = temporary / f"{OWN_RAY}cccccccc", temporary / f"{OWN_RAY}dddddddd"
    older = temporary / f"{OWN_RAY}aaaaaaaa"  # of a version that locks nothing: a process is marked
    for folder in (living, new, older):
        folder.mkdir()
    os.utime(older, (time.time() - 3600,) * 2)
    target = tmp_path / "target"
    killed(target)
    (temporary / f"{OWN_RAY}eeeeeeee").symlink_to(target)
    (temporary / "sparrow-1000").mkdir()
    before = set(temporary.iterdir())
    with claimed(living):
        code, text = run("clean")
    assert (code, "0 leftovers" in text) == (0, True)
    assert set(temporary.iterdir()) == before
    assert target.exists()
    assert raylet.poll() is None


def test_a_studys_half_made_stages_stay_while_a_trial_may_go_on_from_them(
    run: Run, space: Space, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    with open_study(folder, made_up.settings_for(space, trials=1)) as study:
        record = study.propose()
        assert record is not None
    stage = folder / STAGES / "train-0123456789abcdef.partial"
    stage.mkdir(parents=True)
    shared = stage.with_name("shared-0123456789abcdef.partial")
    shared.mkdir()
    inner = stage / "weights.0123abcd.partial"
    torn, kept = folder / "report.html.0123abcd.partial", folder / "notes.partial"
    for file in (inner, torn, kept):
        file.write_text("x")
    _, text = run("clean", folder)
    assert f"{torn}: half-written file" in text
    assert (torn.exists(), kept.exists(), inner.exists()) == (False, True, True)
    with open_study(folder) as study:
        torn.write_text("x")
        assert f"{folder}: left alone: process {os.getpid()}" in run("clean", folder)[1]
        assert torn.exists()
        study.end(record.number, made_up.result(record))
    _, text = run("clean", folder)
    assert f"{stage}: half-made stage" in text
    assert (stage.exists(), shared.exists(), kept.exists()) == (False, True, True)
    (folder / SHARED_JSON).touch()
    run("clean", folder)
    assert not shared.exists()
    with held(folder / LOCK, "testing"):
        assert "left alone" in run("clean", folder)[1]
