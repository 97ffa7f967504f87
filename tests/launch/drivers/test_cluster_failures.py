"""What happens to a search on three nodes of a real Ray when parts of it are lost or broken."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from ray.cluster_utils import Cluster

from launch.drivers.deadlines import Limits
from launch.drivers.ray_searcher import StudySearcher
from launch.records import TrialRecord
from launch.searches import resume, search
from launch.study.opening import read_records
from searchspace import Space
from tests.launch.drivers.faults import MORE, Faults, one_trial
from tests.launch.drivers.started import PATIENCE, endings, soon

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

TIGHT = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
"""Variables of a node whose memory counts as used up."""


class Epoch(NamedTuple):
    """A report of a trial: one of its epochs has ended.

    Attributes:
        at: seconds since the epoch.
    """

    trial: int
    pid: int
    number: int
    at: float


def epochs_of(study: Path) -> list[Epoch]:
    """The reports of all trials, in their order."""
    lines = [line for file in study.glob("ray/*/result.json") for line in file.open()]
    found: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
    return sorted(
        (
            Epoch(int(Path(r["config"]["folder"]).name[:4]), r["pid"], r["epochs"], r["timestamp"])
            for r in found
            if r.get("stage") == "dense"
        ),
        key=lambda epoch: epoch.at,
    )


def node_of(cluster: Cluster, pid: int) -> Any:
    """The node on which a process runs."""
    raylet = psutil.Process(pid).ppid()
    (node,) = (n for n in cluster.worker_nodes if raylet_of(n) == raylet)
    return node


def raylet_of(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def finished(study: Path) -> tuple[TrialRecord, ...]:
    """The trials of a study, all of which have a result, and only one."""
    records = read_records(study)
    assert {r.state for r in records} == {"finished"}, [r.reason for r in records]
    assert set(endings(study).values()) == {1}
    return records


def test_a_trial_of_a_lost_node_goes_on_elsewhere_from_its_last_checkpoint(
    three_nodes: Cluster, plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    cluster, study, lost = three_nodes, tmp_path / "study", []

    def away_from_the_head() -> list[Epoch]:
        heads = psutil.Process(raylet_of(cluster.head_node)).children()
        head = {child.pid for child in heads}
        return [e for e in epochs_of(study) if 2 <= e.number < 12 and e.pid not in head]

    def lose_a_node() -> None:
        epoch = soon(away_from_the_head)[-1]
        cluster.remove_node(node_of(cluster, epoch.pid), allow_graceful=False)
        lost.append((epoch, time.time()))

    losing = threading.Thread(target=lose_a_node, daemon=True)
    losing.start()
    search(
        plain.fix("train.epochs", 24), shapes_folder, study, trials=3, device="cpu", papers=False
    )
    losing.join(PATIENCE)
    cluster.add_node(num_cpus=1)
    ((epoch, at),) = lost
    assert len(finished(study)) == 3
    found = epochs_of(study)
    for number in range(3):
        mine = [e for e in found if e.trial == number]
        processes = {e.pid for e in mine}
        assert [e.number for e in mine] == sorted({e.number for e in mine}), "an epoch was repeated"
        if number == epoch.trial:
            assert len(processes) == 2
            again = next(e for e in mine if e.pid != epoch.pid)
            print(f"went on after {again.at - at:.1f} s, from epoch {again.number}")
        else:
            assert len(processes) == 1, "another trial was disturbed"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("three_nodes")
def test_a_trial_that_is_given_notice_repeats_no_step_however_often(
    workers: int, plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults", "give_notice()", times=3, worker=workers - 1)
    long, study = plain.fix("train.epochs", 8), tmp_path / "study"
    record = one_trial(long, shapes_folder, study, faults, workers_per_trial=workers)
    assert record.state == "finished", record.reason
    assert faults.occurred == 3  # more often than a lost process is replaced
    steps = faults.steps()
    assert len({step.pid for step in steps}) == 4
    assert [step.number for step in steps] == [*range(1, 17), *MORE]
    print(f"longest pause {faults.pause():.1f} s")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("three_nodes", "patient")
def test_an_interrupted_search_repeats_no_step_when_it_is_resumed(
    workers: int, plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    faults, study, noted = Faults(tmp_path / "faults", "pass"), tmp_path / "study", []

    def terminate() -> None:
        file = faults.folder / "steps"
        soon(lambda: file.exists() and file.read_text().count("\n") >= 5)
        os.kill(os.getpid(), signal.SIGINT)  # Ray has its own handler of SIGTERM
        noted.append(time.monotonic())

    terminating = threading.Thread(target=terminate, daemon=True)
    terminating.start()
    long = plain.fix("train.epochs", 40)
    with pytest.raises(KeyboardInterrupt):
        one_trial(long, shapes_folder, study, faults, workers_per_trial=workers)
    print(f"ended after {time.monotonic() - noted[0]:.1f} s")
    terminating.join(PATIENCE)
    taken = len(faults.steps())
    assert 5 <= taken < 80
    resume(study)
    finished(study)
    assert [step.number for step in faults.steps()] == [*range(1, 81), *MORE]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("three_nodes")
def test_a_trial_whose_process_is_killed_repeats_no_step_before_its_last_checkpoint(
    workers: int, plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    faults = Faults(tmp_path / "faults", kill, step=4, times=2, worker=workers - 1, kept=True)
    study = tmp_path / "study"
    record = one_trial(plain, shapes_folder, study, faults, workers_per_trial=workers)
    assert record.state == "finished", record.reason
    assert faults.occurred == 2
    steps = faults.steps()
    assert len({step.pid for step in steps}) == 3
    # A single worker is killed before the checkpoint of its fourth and eighth step.
    again = () if workers > 1 else (4, 8)
    assert [step.number for step in steps] == [*sorted([*range(1, 13), *again]), *MORE]
    print(f"longest pause {faults.pause():.1f} s")


@pytest.mark.usefixtures("three_nodes")
def test_a_frozen_process_is_ended_and_its_trial_goes_on(
    plain: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(tmp_path / "faults", "os.kill(os.getpid(), signal.SIGSTOP)", step=5)
    monkeypatch.setattr(StudySearcher, "limits", lambda *_: Limits(45.0, "of this test"))
    said: list[str] = []
    record = one_trial(plain, shapes_folder, tmp_path / "study", faults, on_wait=said.append)
    assert record.state == "finished", record.reason
    frozen, second = dict.fromkeys(step.pid for step in faults.steps())
    assert not psutil.pid_exists(frozen)
    # Two steps an epoch: of the third epoch, the first step is repeated.
    assert [step.number for step in faults.steps() if step.pid == second] == [*range(5, 13), *MORE]
    (words,) = (words for words in said if "no sign of life" in words)
    assert re.fullmatch(
        r"trial 0: no sign of life for \d+ seconds \(of this test\); it is started again", words
    )
    print(f"went on after {faults.pause():.1f} s")


@pytest.mark.usefixtures("three_nodes")
def test_a_trial_without_memory_goes_on_in_smaller_parts(
    plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    lacking = "if run.parts == 1: raise torch.OutOfMemoryError('CUDA out of memory.')"
    faults = Faults(tmp_path / "faults", lacking, step=1)
    record = one_trial(plain, shapes_folder, tmp_path / "study", faults)
    assert record.finished.fitted is not None
    assert str(record.finished.fitted).startswith("a batch in 2 parts, as memory ran out")
    assert [step.parts for step in faults.steps()] == [1, *[2] * (12 + len(MORE))]


@pytest.mark.usefixtures("three_nodes")
def test_a_trial_that_the_kernel_kills_goes_on_in_smaller_parts(
    plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    kill = "VMSTAT.write_text('oom_kill 1'); os.kill(os.getpid(), signal.SIGKILL)"
    faults = Faults(tmp_path / "faults", kill)
    record = one_trial(plain, shapes_folder, tmp_path / "study", faults)
    assert record.finished.fitted is not None
    assert str(record.finished.fitted).startswith("a batch in 2 parts, as memory ran out")
    assert [step.parts for step in faults.steps()] == [1] * 3 + [2] * (12 + len(MORE))


def test_a_trial_that_rays_memory_monitor_kills_twice_has_failed_for_its_design(
    three_nodes: Cluster, plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    node = three_nodes.add_node(num_cpus=1, resources={"tight": 1}, env_vars=TIGHT)
    faults = Faults(tmp_path / "faults", "pass")
    try:
        record = one_trial(
            plain, shapes_folder, tmp_path / "study", faults, resources_per_trial=("tight=1",)
        )
    finally:
        three_nodes.remove_node(node)
    assert record.state == "failed"
    assert record.reason == (
        "out of memory: Ray's memory monitor killed its process, also with a batch in 2 parts, as "
        "memory ran out with half as many"
    )
    assert record.lasting


@pytest.mark.usefixtures("three_nodes")
def test_a_trial_waits_for_a_server_that_does_not_answer(
    plain: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    stale = "raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), 'checkpoint')"
    faults = Faults(tmp_path / "faults", stale, step=5, times=2)
    record = one_trial(plain, shapes_folder, tmp_path / "study", faults)
    assert record.state == "finished", record.reason
    steps = faults.steps()
    assert len({step.pid for step in steps}) == 1
    # Two steps an epoch: of those whose end no checkpoint has seen, the first step is repeated.
    assert [step.number for step in steps] == [*range(1, 6), *range(5, 11), *range(9, 13), *MORE]
    print(f"longest pause {faults.pause():.1f} s")
