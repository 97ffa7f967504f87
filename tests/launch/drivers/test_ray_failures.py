"""Searches on a real Ray in surroundings that break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from launch.searches import resume, search
from launch.study.failures import SearchStopped
from launch.study.opening import read_records
from searchspace import Space
from tests.launch.drivers.started import PATIENCE, start, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


def test_a_full_disk_stops_the_search_and_blames_no_trial(
    space: Space, shapes_folder: Path, full_disk: Path
) -> None:
    out = full_disk / "study"
    (full_disk / "ballast").write_bytes(bytes(3 * 2**20))
    with pytest.raises(SearchStopped, match=r"no space left.*--resume"):
        search(space, shapes_folder, out, trials=3, device="cpu")
    assert "failed" not in {r.state for r in read_records(out)}
    (full_disk / "ballast").unlink()
    shutil.move(out, full_disk.parent / "roomy")
    front = resume(full_disk.parent / "roomy")
    assert front.members
    assert [r.state for r in read_records(full_disk.parent / "roomy")] == ["finished"] * 3


def test_data_that_vanish_stop_the_search_and_a_resume_tries_again(
    space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    data, out, said = tmp_path / "data", tmp_path / "study", tmp_path / "said.txt"
    shutil.copytree(shapes_folder, data)
    options = ("--space", space_file, "--trials", 5, "--device", "cpu", "--out", out)
    with said.open("w") as output:
        driver = start("--data", data, *options, output=output)
        wait_for((out / "study.json").exists, driver)
        (data / "train").rename(tmp_path / "away")
        assert driver.wait(PATIENCE) == 1
    text = said.read_text()
    assert "is missing: restore the data" in text.replace("\n", " ")
    assert "Traceback" not in text
    assert "failed" not in {r.state for r in read_records(out)}
    (tmp_path / "away").rename(data / "train")
    assert start("--resume", out).wait(PATIENCE) == 0
    assert [r.state for r in read_records(out)] == ["finished"] * 5
