"""Searches on a real Ray whose study is on a real S3 server, and whose nodes share no folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from launch.records import TrialRecord
from launch.report import load_front
from launch.searches import resume, search
from launch.study.opening import read_records
from launch.trial.copies import study_place
from launch.trial.remote_study import RemoteStudy
from searchspace import Space
from tests.launch.conftest import Run
from tests.launch.drivers.faults import Faults
from tests.launch.drivers.started import PATIENCE, endings, start
from tests.s3 import Door, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

ADDRESS = "s3://bucket/runs/study"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    with s3_server(monkeypatch) as door:
        yield door


@pytest.fixture
def cluster(s3: Door) -> Iterator[Cluster]:
    """A head that runs no trials; this process, which searches, has the cache of this test."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def add_node(cluster: Cluster, cache: Path) -> Any:
    """A node with a cache of its own."""
    cache.mkdir()
    variables = {"XDG_RUNTIME_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}
    return cluster.add_node(num_cpus=1, env_vars=variables)


def copies_in(cache: Path) -> list[Path]:
    return list(cache.glob("sparrow-*/studies/*"))


def test_nodes_without_a_common_folder_share_a_study_at_an_address(
    cluster: Cluster,
    space: Space,
    shapes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    node = add_node(cluster, one)
    ray.init(cluster.address, log_to_driver=False)
    front = search(space, shapes_folder, ADDRESS, trials=2, device="cpu", papers=False)
    records = read_records(study_place("study", ADDRESS))
    assert [r.state for r in records] == ["finished"] * 2, [r.reason for r in records]
    assert front.members
    assert len(copies_in(one)) == 1
    assert not (RemoteStudy.at(ADDRESS).copy / "stages").exists()  # the search itself did not

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere))
    status, printed = run("trials", ADDRESS)
    assert status == 0, printed
    status, printed = run("report", ADDRESS)
    assert status == 0, printed
    assert "The detector" not in printed  # none is gone
    number = load_front(ADDRESS).members[0].number
    status, printed = run("eval", f"{ADDRESS}:{number}", "--data", shapes_folder)
    assert status == 0, printed
    status, printed = run("watch", ADDRESS, "--once")
    assert "No process works on it" in printed

    cluster.remove_node(node)
    add_node(cluster, two)
    resume(ADDRESS, trials=3)
    after = read_records(study_place("study", ADDRESS))
    assert [r.state for r in after] == ["finished"] * 3
    assert after[:2] == records  # none was run again
    assert len(copies_in(two)) == 1  # which has the third trial from there
    (copy,) = copies_in(elsewhere)
    assert endings(copy) == {0: 1, 1: 1, 2: 1}
    assert (copy / "report.html").exists()


def test_workers_on_three_nodes_without_a_common_folder_share_all_of_a_search(
    cluster: Cluster, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    """As `docs/cluster.md` shows it: an address, two workers a trial, one of which is killed, and
    shared weights."""
    caches = [tmp_path / name for name in ("one", "two", "three")]
    for cache in caches:
        add_node(cluster, cache)
    ray.init(cluster.address, log_to_driver=False)
    faults = Faults(tmp_path / "faults", "os.kill(os.getpid(), signal.SIGKILL)", worker=1)
    front = search(
        space.fix("train.epochs", 4), shapes_folder, ADDRESS, trials=2, device="cpu",
        papers=False, workers_per_trial=2, shared_weights=0.5, plugins=[faults.plugin()],
        on_wait=print,
    )  # fmt: skip
    study = study_place("study", ADDRESS)
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 2, [r.reason for r in records]
    assert [(r.origin, r.result.workers) for r in records] == [("baseline", 2), ("shared", 2)]
    assert front.members
    assert endings(study) == {0: 1, 1: 1}
    assert faults.occurred == 1

    there = RemoteStudy.at(ADDRESS)
    kept = {PurePosixPath(name).name for name in there.listing("stages")}
    assert {"shared.safetensors", "weights.safetensors", "stage.json"} <= kept
    assert not (there.copy / "stages").exists()  # the search itself has made none
    assert any(map(copies_in, caches))
    for record in records:
        print(f"trial {record.number}: AP_small {record.figure('ap_small')}, by two workers")
    print(f"{len(there.listing())} objects at {ADDRESS}; {faults.pause():.0f} s after the kill")


def test_an_address_that_vanishes_for_a_while_loses_nothing(
    s3: Door, space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        driver = start(
            "--data", shapes_folder, "--space", space_file, "--trials", 3, "--out", ADDRESS,
            "--device", "cpu", "--no-papers", output=file,
        )  # fmt: skip
        there = RemoteStudy.at(ADDRESS)
        end = time.monotonic() + PATIENCE
        while not any(name.endswith("result.json") for name in there.listing("trials")):
            assert driver.poll() is None, output.read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        with s3.closed():
            time.sleep(20)
        assert driver.wait(PATIENCE) == 0, output.read_text()
    records: tuple[TrialRecord, ...] = read_records(study_place("study", ADDRESS))
    assert [r.state for r in records] == ["finished"] * 3
    assert endings(there.copy) == {0: 1, 1: 1, 2: 1}
    said = output.read_text() + "".join(f.read_text() for f in there.copy.rglob("log.txt"))
    assert re.search(r"does not\s+answer", said)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said
