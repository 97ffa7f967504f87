"""Searches on a real Ray: several nodes, killed workers, killed drivers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from launch.journal import Journal
from launch.records import TrialRecord
from launch.searches import search
from launch.study import read_records
from searchspace import Space

pytestmark = pytest.mark.slow

PATIENCE = 240
"""Seconds after which a search counts as hung."""


@pytest.fixture
def two_nodes() -> Iterator[str]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def long_space(space_file: Path, tmp_path: Path) -> Path:
    """The tiny space with trainings long enough to be interrupted."""
    file = tmp_path / "long.toml"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 12\nbatch"))
    return file


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """`sparrow search` in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "launch.cli", "search", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def wait_for(condition: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert driver.poll() is None, "the search has ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def finished(folder: Path) -> list[TrialRecord]:
    if not (folder / "journal.jsonl").exists():
        return []
    return [r for r in read_records(folder) if r.state == "finished"]


def endings(folder: Path) -> Counter[int]:
    """How many lines of the journal end each trial."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    records = [TrialRecord.model_validate_json(line) for line in lines]
    return Counter(r.number for r in records if r.state != "running")


def ray_workers(started_by: int) -> list[int]:
    """Process ids of Ray's trial processes in the session of a search."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
                same_session = os.getsid(int(entry.name)) == started_by
            except OSError:
                continue
            if same_session and title.startswith(b"ray::ImplicitFunc"):
                found.append(int(entry.name))
    return found


def test_two_nodes_share_a_search(
    two_nodes: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    front = search(space, shapes_folder, tmp_path / "study", trials=4, device="cpu")
    records = read_records(tmp_path / "study")
    assert [r.state for r in records] == ["finished"] * 4
    assert {m.number for m in front.members} <= {0, 1, 2, 3}
    assert (tmp_path / "study" / records[0].folder / "dense" / "weights.safetensors").exists()


def test_a_trial_that_no_node_can_hold_is_refused(
    two_nodes: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="asks for 9 CPUs, the cluster has 2"):
        search(space, shapes_folder, tmp_path / "study", trials=1, cpus_per_trial=9)
    assert read_records(tmp_path / "study") == ()


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
    records = Journal(out / "journal.jsonl").records
    assert [r.state for r in records] == ["finished"] * 4
    assert [r for r in records if r.number in {b.number for b in before}] == before
    assert endings(out) == {0: 1, 1: 1, 2: 1, 3: 1}
