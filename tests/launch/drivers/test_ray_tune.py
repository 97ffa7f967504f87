"""Searches on a real Ray: several nodes, killed workers, killed drivers."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.exceptions import ActorDiedError

from detectors.detector import Detector
from detectors.runtimes.export import export
from detectors.timing.energy import energy_readable
from launch.constraints import constraints_from
from launch.decisions.budget import Outlook
from launch.decisions.early_stopping import Rung
from launch.decisions.halving import Halving
from launch.drivers.ray_answers import Answers
from launch.records import TrialRecord
from launch.report import load_front
from launch.searches import resume, search
from launch.study.opening import read_records
from launch.trial.data import TrialData
from launch.trial.teachers import PackedDetector, fingerprint
from searchspace import DetectorConfig, Space
from tests.classes import with_classes
from tests.detectors.deployable import needs_extra

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

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
def trainer_and_target(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Folders of a node that trains, and of one that has no CPU for it: the target."""
    folders = tmp_path / "trainer", tmp_path / "target"
    for folder in folders:
        folder.mkdir()
    trainer, target = (
        {"XDG_RUNTIME_DIR": str(folder), "XDG_CACHE_HOME": str(folder)} for folder in folders
    )
    head = {"num_cpus": 1, "env_vars": trainer}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=0, resources={"target": 1}, env_vars=target)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield folders
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def long_space(space_file: Path, tmp_path: Path) -> Path:
    """The tiny space with trainings long enough to be interrupted."""
    file = tmp_path / "long.toml"
    file.write_text(space_file.read_text().replace("epochs = 1\nbatch", "epochs = 12\nbatch"))
    return file


def start(*arguments: object, output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """`sparrow search` in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "launch.cli", "search", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=output, stderr=output
    )


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


def ray_workers(started_by: int, title: bytes = b"ray::ImplicitFunc") -> list[int]:
    """Process ids of Ray's processes with a title, such as those of trials, in the session of a
    search."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                same_session = os.getsid(int(entry.name)) == started_by
            except OSError:
                continue
            if same_session and words.startswith(title):
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
    # Both nodes together have as many, but no trial is spread over two of them.
    with pytest.raises(ValueError, match=r"needs 2 CPUs, .* the largest has 1 CPUs"):
        search(space, shapes_folder, tmp_path / "study", trials=1, cpus_per_trial=2)
    assert not (tmp_path / "study").exists()


def test_detectors_are_measured_on_the_target_wherever_they_were_trained(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    search(space, shapes_folder, study, trials=2, device="cpu", measure_on="target")
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 2
    assert all(r.result.predicted.fps > 0 for r in records)
    trainer, target = ({p.name for p in f.glob("sparrow*")} for f in trainer_and_target)
    # Whoever trains takes the locks of its node, whoever measures notes its reference there, too.
    assert trainer == {"sparrow"}
    assert target == {"sparrow", f"sparrow-{platform.node()}"}


def test_errors_on_the_target_are_raised_here(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study, missing = tmp_path / "study", space.fix("measure.runtime", "cudagraphs")
    search(missing, shapes_folder, study, trials=1, device="cpu", measure_on="target")
    (record,) = read_records(study)
    assert record.state == "failed"
    assert record.reason == "cudagraphs float32: CUDA graphs need a CUDA device"
    assert not (study / record.folder / "dense").exists()


@pytest.mark.usefixtures("two_nodes")
def test_a_target_that_no_node_has_is_refused_before_anything_is_trained(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no node has the resource 'jetson' to measure on"):
        search(space, shapes_folder, tmp_path / "study", trials=1, measure_on="jetson")
    assert not (tmp_path / "study").exists()


@pytest.mark.skipif(energy_readable(torch.device("cpu")), reason="this machine's energy is read")
def test_a_target_that_cannot_read_what_is_asked_for_is_refused(
    trainer_and_target: tuple[Path, Path], space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    aims = ("ap_small", "energy_mj")
    with pytest.raises(ValueError, match="energy_mj on nodes with 'target': "):
        search(space, shapes_folder, tmp_path / "study", measure_on="target", objectives=aims)
    assert not (tmp_path / "study").exists()


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


def reported_epochs(folder: Path) -> Counter[str]:
    """How many epochs of each detector Ray's workers reported, over all trials."""
    lines = [line for file in folder.glob("ray/*/result.json") for line in file.open()]
    return Counter(report["stage"] for report in map(json.loads, lines) if "stage" in report)


def test_workers_that_want_the_same_training_do_it_once(
    two_nodes: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    for path, value in (
        ("detector.input_size", 64),
        ("detector.backbone.mobilenet_v1.eliminated_strides", ()),
        ("detector.head.multibox.priors.scaled.cells", 2.8),
        ("train.copy_paste.copies", 0),
        ("train.epochs", 6),
    ):
        space = space.fix(path, value)
    search(space, shapes_folder, tmp_path / "study", trials=3, device="cpu", papers=False)
    kinds = [r.config.compress.pruning.kind for r in read_records(tmp_path / "study")]
    assert Counter(kinds) == {"none": 1, "slimming": 2}
    # Six of the baseline, six of the parent that both pruned trials share; one more for each.
    assert reported_epochs(tmp_path / "study") == {"dense": 12, "compact": 3}


def test_workers_have_the_teacher_from_the_object_store(
    two_nodes: str, space: Space, shapes: TrialData, shapes_folder: Path, tmp_path: Path
) -> None:
    config = space.baseline().detector
    teacher = Detector(config, shapes.classes).save(tmp_path / "teacher")
    space = space.fix("train.distillation.kind", "channel_wise")
    space = space.fix("train.distillation.channel_wise.teacher", str(teacher))

    def hide(record: TrialRecord, outlook: Outlook) -> None:
        shutil.rmtree(teacher, ignore_errors=True)

    search(space, shapes_folder, tmp_path / "study", trials=4, device="cpu", on_end=hide)
    assert not teacher.exists()
    assert [r.state for r in read_records(tmp_path / "study")] == ["finished"] * 4


def test_an_answer_reaches_who_asked_wherever_it_runs_and_whoever_is_first(two_nodes: str) -> None:
    @ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
    def ask(answers: Answers, question: str) -> str:
        return answers.take(question)

    with Answers.passed_on() as answers:
        early = [ask.remote(answers, f"early {n}") for n in range(2)]
        answers.give("late", "end")
        answers.give("early 1", "go on")
        assert ray.get(early[1]) == "go on"
        assert ray.wait(early, timeout=0.5)[1] == early[:1]  # nobody has answered it yet
        answers.give("early 0", "end")
        assert ray.get(early[0]) == "end"
        assert ray.get(ask.remote(answers, "late")) == "end"
    with pytest.raises(ActorDiedError):
        answers.take("after the search")


def test_the_workers_of_a_node_share_a_teachers_memory(two_nodes: str) -> None:
    detector = Detector(DetectorConfig(width=0.25))
    stored = ray.put(PackedDetector.of(detector))

    @ray.remote(num_cpus=1)
    def shares(packed: PackedDetector) -> tuple[bool, str]:
        state = packed.unpack().state_dict()
        same = all(t.data_ptr() == packed.tensors[n].ctypes.data for n, t in state.items())
        read_only = not any(array.flags.writeable for array in packed.tensors.values())
        return same and read_only, fingerprint(packed.unpack())

    assert ray.get([shares.remote(stored) for _ in range(2)]) == [(True, fingerprint(detector))] * 2


def test_a_worker_that_is_told_to_end_trains_nothing_and_takes_the_next_trial(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    study, bounds = tmp_path / "study", constraints_from({"max_params": 10.0})
    search(space, shapes_folder, study, trials=3, device="cpu", constraints=bounds)
    assert [r.state for r in read_records(study)] == ["infeasible"] * 3
    assert reported_epochs(study) == {}
    assert not list((study / "stages").glob("train-*"))


def only_the_first(halving: Halving, rung: Rung) -> frozenset[int]:
    return frozenset({0})


def epochs_by_trial(folder: Path) -> Counter[str]:
    """How many epochs each of Tune's trials reported, by the trial of the study."""
    found: Counter[str] = Counter()
    for file in folder.glob("ray/*/result.json"):
        reports = [json.loads(line) for line in file.open()]
        number = Path(reports[0]["config"]["folder"]).name[:4]
        found[number] += sum(report.get("stage") == "dense" for report in reports)
    return found


def test_a_stopped_trial_ends_in_its_worker_and_goes_on_when_it_is_promoted(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    space = space.fix("train.epochs", 4).fix("compress.pruning.kind", "none")
    with monkeypatch.context() as patch:
        patch.setattr(Halving, "survivors", only_the_first)
        search(
            space,
            shapes_folder,
            study,
            trials=3,
            device="cpu",
            papers=False,
            early_stopping="halving",
        )
    assert [r.state for r in read_records(study)] == ["finished", "stopped", "stopped"]
    assert epochs_by_trial(study) == {"0000": 4, "0001": 2, "0002": 2}
    monkeypatch.setattr(Halving, "survivors", lambda _, rung: frozenset(rung))
    resume(study)
    records = read_records(study)
    assert [r.state for r in records] == ["finished"] * 3
    assert [r.promoted for r in records] == [0, 2, 2]
    assert epochs_by_trial(study) == {"0000": 4, "0001": 4, "0002": 4}


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


@needs_extra
def test_a_set_of_one_class_is_searched_exported_and_reported(
    space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    data, out = with_classes(shapes_folder, tmp_path / "one", 1), tmp_path / "study"
    file = tmp_path / "deployed.toml"
    file.write_text(space_file.read_text().replace('"eager"', '"openvino"'))
    command = [
        sys.executable, "-m", "launch.cli", "search", "--data", data, "--space", file,
        "--trials", 4, "--out", out, "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
    ended = subprocess.run(
        [str(word) for word in command],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = read_records(out)
    assert [record.state for record in records] == ["finished"] * 4
    for record in records:
        assert record.config.detector.num_classes == 1
        assert list(record.result.final.metrics.classes) == ["kind 1"]
        assert record.result.final.cost.runtime == "openvino"
    front = load_front(out)
    assert front.members
    for member in front.members:
        assert Detector.load(member.detector).classes == ("kind 1",)
        assert export(Detector.load(member.detector), "onnx", tmp_path / "exported").exists()
        assert f"{member.figures.fps:.1f}" in ended.stdout
    assert f"Report: {out / 'report.html'}" in ended.stdout.replace("\n", "")
    assert "4 trials finished" in (out / "report.html").read_text(encoding="utf-8")
