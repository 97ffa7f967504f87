"""Two searches on a real Ray share one study in a real PostgreSQL database, and one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from detectors.remote import Remote
from launch.records import TrialRecord
from launch.searches import report
from launch.study.opening import read_records
from launch.trial.copies import study_place
from tests.launch.drivers.started import start
from tests.postgres import PASSWORD, server
from tests.s3 import s3_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

PATIENCE = 900
"""Seconds after which a search counts as hung."""

TRIALS = 5


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with server() as address:
        monkeypatch.setenv("SPARROW_STORAGE", address)
        yield


@pytest.fixture
def long_space(space_file: Path, tmp_path: Path) -> Path:
    """The tiny space with trainings long enough to be interrupted."""
    file = tmp_path / "long.toml"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 12\nbatch"))
    return file


def driver(log: Path, *arguments: object) -> subprocess.Popen[bytes]:
    with log.open("w") as output:
        return start(
            "--study-name", "two", "--trials", TRIALS, "--max-concurrent", 1, "--device", "cpu",
            "--no-papers", *arguments, output=output,
        )  # fmt: skip


def until(reached: Callable[[], bool], *drivers: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert all(one.poll() is None for one in drivers), "a search has ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def check(records: tuple[TrialRecord, ...], taken: set[int], log: Path) -> None:
    """All trials have finished, the killed driver's with the other one."""
    assert [r.state for r in records] == ["finished"] * TRIALS, [r.reason for r in records]
    assert len({r.as_drawn.digest() for r in records}) == TRIALS
    assert taken
    assert all(records[number].folder.startswith("trials/") for number in taken)
    words = " ".join(log.read_text().split())
    assert "is silent: its trials are taken over" in words
    assert PASSWORD not in words


def test_each_on_its_own_ray(
    database: None, long_space: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    logs = {name: tmp_path / f"{name}.txt" for name in "ab"}
    drivers = {
        name: driver(
            logs[name], "--data", shapes_folder, "--space", long_space, "--out", tmp_path / name,
            "--stages", tmp_path / "stages",
        )
        for name in "ab"
    }  # fmt: skip
    a, b = drivers.values()

    until(lambda: (tmp_path / "a/journal.jsonl").exists(), a, b)
    until(lambda: any((tmp_path / "a/trials").glob("*/progress.jsonl")), a, b)
    own = [r for r in read_records(tmp_path / "a") if r.folder.startswith("trials/")]
    taken = {r.number for r in own if r.state == "running"}
    os.killpg(a.pid, signal.SIGKILL)
    assert b.wait(PATIENCE) == 0, logs["b"].read_text()
    check(read_records(tmp_path / "b"), taken, logs["b"])
    # The killed one is resumed: nothing is left to do, and its report has all trials.
    assert start("--resume", tmp_path / "a").wait(PATIENCE) == 0
    assert [r.state for r in read_records(tmp_path / "a")] == ["finished"] * TRIALS


def test_both_on_one_cluster_whose_machines_share_no_folder(
    database: None,
    long_space: Path,
    shapes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs = {name: tmp_path / f"{name}.txt" for name in "ab"}
    with s3_server(monkeypatch):
        data = Remote("s3://bucket/data/shapes")
        for file in (file for file in shapes_folder.rglob("*") if file.is_file()):
            data.put(file, file.relative_to(shapes_folder).as_posix())
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for name in ("one", "two"):
            cache = tmp_path / name
            cache.mkdir()
            variables = {"XDG_RUNTIME_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}
            cluster.add_node(num_cpus=1, env_vars=variables)
        try:
            drivers = {
                name: driver(
                    logs[name], "--data", data.address, "--space", long_space,
                    "--out", f"s3://bucket/runs/{name}", "--stages", "s3://bucket/shared",
                    "--address", cluster.address,
                )
                for name in "ab"
            }  # fmt: skip
            a, b = drivers.values()
            there = Remote("s3://bucket/runs/a")
            until(lambda: any(n.endswith("progress.jsonl") for n in there.listing("trials")), a, b)
            records = read_records(study_place("study", there.address))
            own = [r for r in records if r.folder.startswith("trials/")]
            taken = {r.number for r in own if r.state == "running"}
            os.killpg(a.pid, signal.SIGKILL)
            assert b.wait(PATIENCE) == 0, logs["b"].read_text()
            study = study_place("study", "s3://bucket/runs/b")
            check(read_records(study), taken, logs["b"])
            assert report(study, seconds=0).members
        finally:
            cluster.shutdown()
