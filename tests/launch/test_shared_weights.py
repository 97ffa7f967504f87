"""`sparrow search --shared-weights` from its option to the report."""

from __future__ import annotations

import html
import itertools
from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.training.shared_tensors import SharedWeights
from launch.drivers.attempt import given_to
from launch.records import SHARED
from launch.searches import resume, search
from launch.searches.shared_weights import designs_of
from launch.study.opening import open_study, read_records
from launch.study.search_settings import SearchSettings
from launch.trial.ancestor import ancestor_beside
from launch.trial.data import TrialData, TrialError
from launch.trial.errors import SettingsError
from launch.trial.run import run_trial
from launch.trial.shared_scores import SharedScores, SharedTask
from launch.trial.shared_weights import run_shared
from searchspace import Space, TrialConfig
from tests.launch.conftest import Node
from tests.launch.made_up import settings_for


def task_of(*designs: TrialConfig) -> str:
    task = SharedTask(baseline=designs[0], designs=designs, steps=3, device="cpu")
    return task.model_dump_json()


def scores_of(task: str, data: TrialData, stages: Path) -> SharedScores:
    return SharedScores.model_validate_json(run_shared(task, data, stages))


def test_what_one_node_has_trained_and_scored_others_fetch(
    tiny: TrialConfig, shapes: TrialData, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(tiny)
    first = scores_of(task, shapes, node("one").copy / "stages")
    monkeypatch.setattr("launch.trial.shared_weights.train_shared", None)
    monkeypatch.setattr("launch.trial.shared_weights.score", None)
    copy = node("two").copy
    assert not (copy / "stages").exists()
    assert scores_of(task, shapes, copy / "stages").scores == first.scores
    (weights,) = copy.glob("stages/shared-*/shared.safetensors")
    weights.write_bytes(b"damaged")
    assert scores_of(task, shapes, copy / "stages").scores == first.scores  # it is fetched again


def test_a_task_is_done_once(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> None:
    wider = tiny.changed(detector=tiny.detector.changed(input_size=96))
    text = task_of(tiny, wider)
    first, again = (scores_of(text, shapes, tmp_path / "stages") for _ in range(2))
    assert [s.config for s in first.scores] == [tiny, wider]
    assert first.scores == again.scores
    assert (first.steps, first.training) == (3, again.training)
    assert first.scores[0].macs < first.scores[1].macs
    assert all(s.metrics.ap_small is not None for s in first.scores)


def test_a_trial_starts_from_its_slices(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Detector] = []
    monkeypatch.setattr("launch.trial.stages.fit", lambda model, *_, **__: started.append(model))
    wider = tiny.changed(detector=tiny.detector.changed(width=2 * tiny.detector.width))
    stages = tmp_path / "stages"
    scores = scores_of(task_of(tiny, wider), shapes, stages)
    assert scores.tensors is not None
    folder, out = stages / scores.tensors.stage, tmp_path / "trial"
    result = run_trial(tiny, shapes, out, "cpu", stages=stages, ancestor=folder)
    assert result.ancestor is not None
    assert result.ancestor.folder == folder
    assert ancestor_beside(out / "trial.json") == folder
    own = SharedWeights.load(folder / "shared.safetensors").detector(tiny.detector)
    begun = dict(started[0].named_parameters())
    assert all(torch.equal(begun[name], value) for name, value in own.named_parameters())
    means = [value for name, value in started[0].state_dict().items() if "running_mean" in name]
    assert all(mean.abs().sum() > 0 for mean in means)
    widest = tiny.changed(detector=tiny.detector.changed(width=4 * tiny.detector.width))
    with pytest.raises(TrialError, match="its shared weights are those of other detectors"):
        run_trial(widest, shapes, tmp_path / "widest", "cpu", stages=stages, ancestor=folder)


def test_a_study_gives_its_heirs_the_shared_weights(
    space: Space, shapes: TrialData, tmp_path: Path
) -> None:
    settings = settings_for(space, trials=2, papers=False, inherit=True, shared_weights=0.5)
    with open_study(tmp_path, settings) as study:
        designs = tuple(itertools.islice(designs_of(space, settings), 3))
        scores = scores_of(task_of(*designs), shapes, study.stages)
        study.guide_by(scores)
        baseline, heir = study.propose(), study.propose()
        assert baseline is not None
        assert heir is not None
        assert (baseline.parent, heir.parent) == (None, SHARED)
        given = given_to(study, heir)["ancestor"]
        assert given == (study.stages / scores.tensors.stage).resolve()
        assert (given / "shared.safetensors").is_file()


def test_costs_alone_need_no_shared_weights(tmp_path: Path, space: Space) -> None:
    with pytest.raises(SettingsError, match=r"shared_weights 0\.1: params and fps are known"):
        search(
            space, tmp_path / "data", tmp_path / "study", shared_weights=0.1,
            objectives=("params", "fps"),
        )  # fmt: skip


@pytest.mark.parametrize("share", [0, 0.6, True])
def test_the_share_is_at_most_half(share: float) -> None:
    with pytest.raises(SettingsError, match="shared_weights"):
        SearchSettings.of(shared_weights=share)


@pytest.mark.slow
@pytest.mark.parametrize(
    "driver", ["local", pytest.param("ray", marks=pytest.mark.xdist_group("ray"))]
)
def test_a_search_is_guided_by_shared_weights(
    driver: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out, said = tmp_path / "study", []
    search(
        space, shapes_folder, out, trials=2, driver=driver, device="cpu", papers=False,
        shared_weights=0.5, inherit=True, on_wait=said.append,
    )  # fmt: skip
    assert [r.origin for r in read_records(out)] == ["baseline", "shared"]
    assert said[0].startswith("Shared weights: training one network for 8 designs")
    assert [r.parent for r in read_records(out)] == [None, SHARED]
    report = html.unescape((out / "report.html").read_text())
    assert "they proposed 1 of 2 trials" in report
    assert "1 of 2 trials start from their slices of the shared weights" in report
    kept = (out / "shared.json").stat().st_mtime_ns
    resume(out, trials=3, driver=driver)
    assert [r.origin for r in read_records(out)][2] == "shared"
    assert (out / "shared.json").stat().st_mtime_ns == kept
