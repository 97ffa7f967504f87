"""Trials logged to trackers: each once, whatever becomes of the tracker and of the search."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from detectors.files import append, write_atomically
from launch import Study as AskTell
from launch.decisions.budget import Outlook
from launch.drivers.driver import Say
from launch.drivers.local import LocalDriver
from launch.files import JOURNAL, SETTINGS
from launch.records import TrialRecord
from launch.searches import resume, search, trackers
from launch.searches.trackers import Kind, Tracked
from launch.searches.tracking import Tracking, _in_words
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.errors import SettingsError
from searchspace import Space
from tests.launch import made_up
from tests.launch.made_up import learn
from tests.launch.report.studies import ended, record

OUTLOOK = Outlook(0, None, None, None, 0, "trials", None)


@dataclass
class StandIn:
    """Keeps what is logged; fails where told to."""

    runs: dict[str, list[Tracked]] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)

    def begin(self, trial: Tracked) -> str:
        self._check("begin")
        self.runs[f"run-{len(self.runs)}"] = []
        return f"run-{len(self.runs) - 1}"

    def log(self, run: str, trial: Tracked) -> None:
        self._check(trial.name)
        self.runs[run].append(trial)

    def _check(self, what: str) -> None:
        if what in self.fails:
            raise RuntimeError("no answer from https://me:secret@there.example/?token=abc")


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setitem(trackers.KINDS, "mlflow", Kind("json", lambda folder: made))
    return made


@pytest.fixture
def folder(tmp_path: Path, space: Space) -> Path:
    """A study without trials."""
    (tmp_path / "study").mkdir()
    settings = made_up.settings_for(space).written_in(tmp_path / "study")
    write_atomically(tmp_path / "study" / SETTINGS, settings.model_dump_json())
    (tmp_path / "study" / JOURNAL).touch()
    return tmp_path / "study"


def track(folder: Path, *records: TrialRecord, name: trackers.TrackerName = "mlflow") -> None:
    with Tracking(name, folder, None) as tracking:
        for one in records:
            append(folder / JOURNAL, one.model_dump_json().encode() + b"\n")
            assert tracking.on_end is not None
            tracking.on_end(one, OUTLOOK)


FAILED = ended(1, "failed", reason="TrainingFailed: not finite")


def test_every_ending_is_logged_once_with_its_reason(folder: Path, tracker: StandIn) -> None:
    learn(folder, 0, "ap", 0.1, 0.2)
    track(folder, record(0, 0.2, 50.0), FAILED)
    [first], [second] = tracker.runs.values()
    assert (first.name, first.study, first.state) == ("trial 0", "study", "finished")
    assert first.params == {"detector.width": 0.5}
    assert (first.figures["ap_small"], first.figures["fps"]) == (0.2, 50.0)
    curve = [(one.name, one.step, round(one.value, 2)) for one in first.curve]
    assert curve == [
        ("loss/box", 1, 1.0), ("metrics/ap", 1, 0.1), ("loss/box", 2, 0.5), ("metrics/ap", 2, 0.2),
    ]  # fmt: skip
    assert (second.about["state"], second.about["reason"]) == ("failed", FAILED.why)
    # On resuming, those that were logged are not logged again, whatever a kill left in the file.
    (folder / "tracked-mlflow.jsonl").open("a").write('{"number": 0, "ru')
    track(folder, record(2, 0.3))
    assert [len(run) for run in tracker.runs.values()] == [1, 1, 1]
    track(folder)
    assert [len(run) for run in tracker.runs.values()] == [1, 1, 1]


def test_a_stopped_trial_that_goes_on_stays_one_run(folder: Path, tracker: StandIn) -> None:
    learn(folder, 3, "ap", 0.1)
    track(folder, ended(3, "stopped", midway={1: made_up.metrics(0.1)}))
    learn(folder, 3, "ap", 0.1, 0.2, 0.3)
    track(folder, record(3, 0.4, promoted=1))
    [run] = tracker.runs.values()
    assert [trial.state for trial in run] == ["stopped", "finished"]
    assert [{one.step for one in trial.curve} for trial in run] == [{1}, {2, 3}]


def test_a_tracker_that_fails_warns_once_and_is_tried_again(
    folder: Path, tracker: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.fails = {"begin"}
    with caplog.at_level(logging.WARNING):
        track(folder, record(0, 0.2), FAILED)
    [warning] = [line.getMessage() for line in caplog.records]
    assert "RuntimeError: no answer from https://***@there.example/?token=***" in warning
    assert f"--resume {folder} --track mlflow" in warning
    tracker.fails = {"trial 1"}
    track(folder)
    assert [len(run) for run in tracker.runs.values()] == [1, 0]
    tracker.fails = set()
    track(folder)
    assert [len(run) for run in tracker.runs.values()] == [1, 1]


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    assert _in_words(ValueError("bad key 0123456789abcdef")) == "ValueError: bad key ***"


class Instant(LocalDriver):
    """Trials end with made-up results."""

    def run(self, study: Study, data: TrialData, say: Say = print) -> None:
        while (trial := study.propose()) is not None:
            study.end(trial.number, made_up.result(trial))


def test_a_search_logs_its_trials_and_stores_no_tracker(
    space: Space, shapes_folder: Path, tmp_path: Path, tracker: StandIn
) -> None:
    heard: list[int] = []
    options = {"driver": Instant(), "track": "mlflow"}
    search(
        space, shapes_folder, tmp_path / "run", trials=2, papers=False, device="cpu",
        on_end=lambda record, outlook: heard.append(record.number), **options,
    )  # fmt: skip
    assert heard == [0, 1]
    assert json.loads((tmp_path / "run" / SETTINGS).read_text())["tracking"] == {}
    resume(tmp_path / "run", trials=3, **options)
    assert [[trial.name for trial in run] for run in tracker.runs.values()] == [
        ["trial 0"], ["trial 1"], ["trial 2"],
    ]  # fmt: skip


def test_trials_of_a_trainer_of_ones_own_are_logged(
    space: Space, tmp_path: Path, tracker: StandIn
) -> None:
    def go_on(study: AskTell) -> None:
        with study:
            trial = study.ask()
            assert trial is not None
            study.tell(trial, {"ap_small": 0.2, "fps": 50.0})

    go_on(AskTell.create(tmp_path / "run", space, trials=3, papers=False, track="mlflow"))
    go_on(AskTell.open(tmp_path / "run"))
    assert [len(run) for run in tracker.runs.values()] == [1]
    go_on(AskTell.open(tmp_path / "run", track="mlflow"))
    assert [[trial.name for trial in run] for run in tracker.runs.values()] == [
        ["trial 0"], ["trial 1"], ["trial 2"],
    ]  # fmt: skip
    with pytest.raises(SettingsError, match="track"):
        AskTell.open(tmp_path / "run", track="nobody")


def test_what_is_not_installed_is_said_before_the_search(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trackers.KINDS, "wandb", Kind("no_such_module", lambda folder: StandIn()))
    with pytest.raises(SettingsError, match=r"track wandb: .* pip install 'sparrow-search\[wandb"):
        search(space, shapes_folder, tmp_path / "run", track="wandb", driver="local")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # the library loads for seconds, and makes a database
def test_mlflow_has_the_trials(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    learn(folder, 0, "ap", 0.1, 0.2)
    track(folder, record(0, 0.2, 50.0), FAILED)
    track(folder)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("study")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"trial 0", "trial 1"}
    first, second = runs["trial 0"], runs["trial 1"]
    assert (first.info.status, second.info.status) == ("FINISHED", "FAILED")
    assert first.data.params == {"detector.width": "0.5"}
    assert (first.data.metrics["ap_small"], first.data.metrics["fps"]) == (0.2, 50.0)
    assert second.data.tags["reason"] == FAILED.why
    curve = client.get_metric_history(first.info.run_id, "loss/box")
    assert [(one.step, one.value) for one in curve] == [(1, 1.0), (2, 0.5)]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wandb = pytest.importorskip("wandb", reason="needs the extra `wandb`")
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


@pytest.mark.slow  # it starts a process of its own
@pytest.mark.usefixtures("offline")
def test_wandb_has_the_trials_offline(folder: Path) -> None:
    learn(folder, 0, "ap", 0.1, 0.2)
    track(folder, record(0, 0.2, 50.0), FAILED, name="wandb")
    track(folder, name="wandb")
    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    contents = [file.read_bytes() for file in files]
    for words in (b"trial 0", b"detector.width", b"loss/box", b"ap_small"):
        assert words in contents[0]
    assert b"TrainingFailed: not finite" in contents[1]


def test_wandb_needs_a_login(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra `wandb`")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "login", lambda prompt: False)
    with pytest.raises(SettingsError, match="WANDB_MODE=offline"):
        Tracking("wandb", folder, None)
