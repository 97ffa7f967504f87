"""Searches on a real Ray whose processes are killed: of trials, and of the search itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from launch.study.opening import read_records
from tests.launch.drivers.started import PATIENCE, endings, finished, ray_workers, start, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture
def long_space(space_file: Path, tmp_path: Path) -> Path:
    """The tiny space with trainings long enough to be interrupted."""
    file = tmp_path / "long.toml"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 12\nbatch"))
    return file


def test_a_killed_worker_is_replaced_and_its_trial_goes_on(
    long_space: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    driver = start(
        "--data", shapes_folder, "--space", long_space, "--trials", 2, "--out", out,
        "--device", "cpu",
    )  # fmt: skip
    wait_for(lambda: any(out.glob("stages/*/scratch/checkpoint")), driver)
    for process in ray_workers(driver.pid):
        os.kill(process, signal.SIGKILL)
    assert driver.wait(PATIENCE) == 0
    assert len(finished(out)) == 2
    assert endings(out) == {0: 1, 1: 1}


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_search_resumes_with_nothing_lost_or_run_twice(
    long_space: Path, shapes_folder: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    out = tmp_path / "study"
    driver = start(
        "--data", shapes_folder, "--space", long_space, "--trials", 4, "--out", out,
        "--device", "cpu",
    )  # fmt: skip
    wait_for(lambda: bool(finished(out)), driver)
    if sign == signal.SIGKILL:
        os.killpg(driver.pid, sign)
        assert driver.wait(PATIENCE) == -sign
    else:
        os.kill(driver.pid, sign)
        assert driver.wait(PATIENCE) == 130
    before = finished(out)
    assert 1 <= len(before) < 4
    assert start("--resume", out).wait(PATIENCE) == 0
    records = read_records(out)
    assert [r.state for r in records] == ["finished"] * 4
    assert [r for r in records if r.number in {b.number for b in before}] == before
    assert endings(out) == {0: 1, 1: 1, 2: 1, 3: 1}


def test_rungs_outlive_a_killed_search(
    long_space: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    def scored() -> dict[str, str]:
        """Each rung's score, and which attempt wrote it."""
        return {f.parent.name: f.read_text() for f in out.glob("stages/rung-*/stage.json")}

    out = tmp_path / "study"
    driver = start(
        "--data", shapes_folder, "--space", long_space, "--trials", 4, "--out", out,
        "--device", "cpu", "--halving", "--rungs", "3,6", "--no-papers",
    )  # fmt: skip
    wait_for(lambda: len(scored()) >= 3, driver)
    os.killpg(driver.pid, signal.SIGKILL)
    assert driver.wait(PATIENCE) == -signal.SIGKILL
    before, known = scored(), {r.number: r for r in read_records(out)}
    assert start("--resume", out).wait(PATIENCE) == 0
    records = read_records(out)
    assert {r.state for r in records} <= {"finished", "stopped"}
    assert len(records) == 4
    for record in records[: len(known)]:
        assert known[record.number].midway.items() <= record.midway.items()
    assert before.items() <= scored().items()
    assert records[0].midway.keys() == {3, 6}
