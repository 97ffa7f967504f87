"""Searches on a real Ray: several nodes, and what their processes share and are told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import ray
from ray.exceptions import ActorDiedError

from detectors.detector import Detector
from detectors.runtimes.export import export
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
from tests.launch.drivers.started import reported_epochs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


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
