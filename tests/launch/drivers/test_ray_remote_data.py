"""Searches on a real Ray whose data lie on a real S3 server, from which each node fetches them."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from detectors import remote
from detectors.data.fetched import Fetched
from detectors.data.readers import DataSource
from detectors.remote import Remote, RemoteError
from launch.searches import resume, search
from launch.study.opening import read_records
from launch.study.settings import read_settings
from launch.trial.copies import study_place
from launch.trial.data import TrialData
from searchspace import Space
from tests.clock import Clock
from tests.conftest import Become
from tests.launch.conftest import Run
from tests.s3 import Door, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

STUDY, DATA = "s3://bucket/runs/study", "s3://bucket/data/shapes"
FILES = 16 + 8 + 2


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, shapes_folder: Path) -> Iterator[Door]:
    """The server, with the data."""
    with s3_server(monkeypatch) as door:
        there = Remote(DATA)
        for file in (file for file in shapes_folder.rglob("*") if file.is_file()):
            there.put(file, file.relative_to(shapes_folder).as_posix())
        yield door


@pytest.fixture
def cluster(s3: Door) -> Iterator[Cluster]:
    """A head that runs no trials."""
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


def noted(cache: Path) -> list[dict[str, Any]]:
    """What a node says of the data that it has."""
    return [json.loads(file.read_text()) for file in cache.glob("sparrow-*/data/*/fetched.json")]


def test_each_of_three_nodes_fetches_the_data_once(
    cluster: Cluster,
    space: Space,
    shapes: TrialData,
    tmp_path: Path,
    become_node: Become,
    run: Run,
) -> None:
    caches = [tmp_path / "one", tmp_path / "two"]
    nodes = [add_node(cluster, cache) for cache in caches]
    ray.init(cluster.address, log_to_driver=False)
    front = search(space, DATA, STUDY, trials=4, device="cpu", papers=False)
    study = study_place("study", STUDY)
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 4, [r.reason for r in records]
    assert front.members
    settings = read_settings(study)
    assert settings.fingerprint == shapes.fingerprint
    for cache in caches:
        (note,) = noted(cache)
        assert (note["address"], note["files"]) == (DATA, FILES)
        # Two trials ran there, and no file was written twice.
        (home,) = (file.parent for file in cache.glob("sparrow-*/data/*/fetched.json"))
        assert max(f.stat().st_ctime for f in (home / "files").rglob("*")) <= (
            (home / "fetched.json").stat().st_ctime
        )

    # Another machine goes on, with another node, both of which have nothing yet.
    for node in nodes:
        cluster.remove_node(node)
    cache = become_node("elsewhere")
    add_node(cluster, tmp_path / "three")
    resume(STUDY, trials=5)
    study = study_place("study", STUDY)
    after = read_records(study)
    assert [r.state for r in after] == ["finished"] * 5
    assert after[:4] == records  # none was run again
    assert len(noted(cache)) == len(noted(tmp_path / "three")) == 1
    status, printed = run("eval", f"{STUDY}:0", "--data", DATA)
    assert status == 0, printed
    out = tmp_path / "trained"
    status, printed = run("train", f"{STUDY}:0", "--epochs", 2, "--device", "cpu", "--out", out)
    assert status == 0, printed
    assert f"on {DATA}, in {out}" in printed
    become_node("yet another")
    status, printed = run("train", "--resume", out)
    assert status == 0, printed

    # No key is stored, or shown.
    key = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(DATA.encode() in file.read_bytes() for file in kept)
    assert not any(key in file.read_bytes() for file in kept)
    assert key.decode() not in printed


def test_what_is_wrong_with_the_data_or_their_address_is_said(s3: Door, run: Run) -> None:
    status, printed = run("data", "check", "--data", "s3://nowhere/shapes")
    assert status != 0
    assert "s3://nowhere/shapes:" in printed
    assert "there are no files; give the address of a folder" in printed
    status, printed = run("data", "check", "--data", f"{DATA}/annotations/instances_val.json")
    assert status != 0
    assert "there are no files; give the address of a folder" in printed
    there = Remote(DATA)
    image = next(name for name in there.listing("val"))
    there.remove(image)
    status, printed = run("data", "check", "--data", DATA)
    assert status != 0
    assert f"{DATA}/{image}' does not exist" in printed

    # From now on, the server asks who one is.
    server = os.environ["AWS_ENDPOINT_URL"]
    asking = urllib.request.Request(
        f"{server}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(asking).close()
    remote.opened.cache_clear()
    begun = time.monotonic()
    status, printed = run("data", "check", "--data", DATA)
    assert status != 0
    assert f"{DATA}: " in printed
    assert "keys are taken from the environment" in printed
    assert "sparrow-test-secret" not in printed
    assert time.monotonic() - begun < 60


def test_a_connection_that_is_lost_half_way_leaves_what_was_fetched(
    s3: Door, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "AT_ONCE", 1)
    names, get, lock = list[str](), Remote.get, threading.Lock()

    def closing(self: Remote, info: Any, target: Path, durably: bool = True) -> None:
        with lock:
            if len(names) == 5:
                s3.close()
            get(self, info, target, durably)
            names.append(target.name)

    monkeypatch.setattr(Remote, "get", closing)
    clock.then = lambda count: setattr(clock, "now", clock.now + remote.PATIENCE)  # at each pause
    with pytest.raises(RemoteError, match=f"{DATA}: .*check the address and the network"):
        DataSource.from_folder(DATA)
    assert len(names) == 5
    assert "it does not answer" in caplog.text
    s3.open()
    names.append("it is open again")
    TrialData.read(DataSource.from_folder(DATA))
    assert len(names) == FILES + 1
    assert Fetched.of(DATA).is_here
