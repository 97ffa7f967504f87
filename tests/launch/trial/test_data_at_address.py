"""The data of a trial at an address, as the nodes of a cluster have them; here in a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from detectors.data.readers import DataSource
from detectors.remote import RemoteError
from launch.drivers.ray_worker import Given
from launch.trial.data import TrialData
from searchspace import TrialConfig
from tests.conftest import Become
from tests.launch.conftest import Run


@pytest.fixture
def at(shapes_folder: Path, tmp_path: Path) -> Path:
    """What lies at the address."""
    return shutil.copytree(shapes_folder, tmp_path / "there")


@pytest.fixture
def data(at: Path, become_node: Become) -> TrialData:
    """As the node `driver` reads them."""
    become_node("driver")
    return TrialData.read(DataSource.from_folder(f"file://{at}"))


def test_another_node_has_the_same(data: TrialData, become_node: Become) -> None:
    assert data.here().train.images == data.train.images
    cache = become_node("worker")
    there = data.here()
    for split in (there.train, there.val):
        assert all(image.path.is_relative_to(cache) for image in split.images)
        assert all(image.path.exists() for image in split.images)
    assert there.fingerprint == data.fingerprint


def test_what_arrives_damaged_is_refused(data: TrialData, at: Path, become_node: Become) -> None:
    become_node("worker")
    image = data.val.images[-1].path
    damaged = at / "val" / image.name
    before = damaged.stat()
    damaged.write_bytes(bytes(before.st_size))
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RemoteError, match=f"there/val/{image.name}: .*another SHA-256"):
        data.here()
    assert not data.val.fetched.is_here


def test_data_that_changed_stop_the_search_and_blame_no_trial(
    data: TrialData, at: Path, become_node: Become, tiny: TrialConfig, tmp_path: Path
) -> None:
    become_node("worker")
    (at / "val" / data.val.images[0].path.name).unlink()
    config = {"config": tiny.model_dump_json(), "ancestor": None, "folder": str(tmp_path)}
    given = Given(config, None, data, {}, "cpu", None, None, ())
    ending = given.run(tell=lambda report: None)
    assert ending["blame"] == "surroundings"
    assert f"file://{at}: data: the files there are others" in ending["failed"]


def test_commands_take_an_address(
    at: Path, become_node: Become, run: Run, tiny: TrialConfig, tmp_path: Path
) -> None:
    become_node("here")
    address = f"file://{at}"
    status, printed = run("data", "check", "--data", address)
    assert status == 0, printed
    assert f"{address}/annotations/instances_val.json" in printed
    (tmp_path / "trial.json").write_text(tiny.model_dump_json())
    status, printed = run(
        "trial", tmp_path / "trial.json", "--data", address, "--device", "cpu", "--out", tmp_path
    )
    assert status == 0, printed
    assert f"on {address}" in printed
    for given in ("s3://KEY:hidden@bucket/set", "abfs://c@a/set?sas_token=hidden"):
        status, printed = run("data", "check", "--data", given)
        assert status == 2
        assert "no key" in printed
        assert "hidden" not in printed
    status, printed = run("data", "check", "--images", address, "--annotations", address)
    assert status == 2
    assert "give a path" in printed
