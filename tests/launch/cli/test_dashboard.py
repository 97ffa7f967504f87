"""`sparrow dashboard`: what Optuna's server answers on the loopback interface."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from detectors.files import append, write_atomically
from detectors.locks import held
from launch.files import JOURNAL, LOCK, PROGRESS, SETTINGS
from launch.records import TrialRecord
from launch.report import dashboard as mirrored
from searchspace import Space
from tests.launch.made_up import learn, settings_for
from tests.launch.report.studies import ended, record

pytest.importorskip("optuna_dashboard", reason="needs the extra `dashboard`")

Run = Callable[..., tuple[int, str]]
Ask = Callable[..., Any]


def add(folder: Path, *records: TrialRecord) -> None:
    for one in records:
        append(folder / JOURNAL, one.model_dump_json().encode() + b"\n")


@pytest.fixture
def study(tmp_path: Path, space: Space) -> Path:
    """A study that was interrupted: its last trial has not ended."""
    folder, drawn = tmp_path / "study", {"params": space.to_params(space.baseline())}
    folder.mkdir()
    bound = [{"figure": "fps", "sense": "min", "bound": 40}]
    settings = settings_for(space, constraints=bound).written_in(folder)
    write_atomically(folder / SETTINGS, settings.model_dump_json())
    first = record(0, 0.12, 55.0, origin="baseline", seconds=25, **drawn)
    learn(folder, first.number, "ap_small", 0.05, 0.12)
    cost = record(2, 0.1, 20.0).finished.final.cost
    add(
        folder,
        first,
        ended(1, "failed", reason="TrainingFailed: not finite", **drawn),
        ended(2, "infeasible", broken=("fps >= 40",), predicted=cost, **drawn),
        record(4, 0.2, 30.0, broken=("fps >= 40",), **drawn),
        ended(5, "running", **drawn),
    )
    return folder


@contextmanager
def served(folder: Path) -> Iterator[Ask]:
    from launch.cli.dashboard import serving

    with serving(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def ask(path: str, method: str = "GET", host: str | None = None) -> Any:
            url = f"http://127.0.0.1:{server.server_port}/{path}"
            headers = {"Host": host} if host else {}
            request = urllib.request.Request(url, method=method, headers=headers)
            with urllib.request.urlopen(request) as answer:
                content = answer.read()
                return json.loads(content) if path.startswith("api") else content

        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


def attributes(trial: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in trial["user_attrs"]}


def test_objectives_have_names_and_their_own_units_and_ends_have_reasons(study: Path) -> None:
    with served(study) as ask:
        shown = ask("api/studies/0")
    assert shown["objective_names"] == ["AP_small", "FPS"]
    assert shown["directions"] == ["maximize", "maximize"]
    trials = {trial["number"]: trial for trial in shown["trials"]}
    states = {number: trial["state"] for number, trial in trials.items()}
    # The journal lost trial 3: the others keep their numbers.
    assert states == {
        0: "Complete", 1: "Fail", 2: "Pruned", 3: "Fail", 4: "Complete", 5: "Waiting",
    }  # fmt: skip
    assert trials[0]["values"] == [0.12, 55.0]
    assert attributes(trials[1])["reason"] == "TrainingFailed: not finite"
    assert attributes(trials[2])["reason"] == "not fps >= 40"
    assert (attributes(trials[2])["state"], attributes(trials[2])["fps"]) == ("infeasible", "20.0")
    assert [trials[n]["constraints"][0] for n in (0, 2, 4)] == pytest.approx([-0.375, 0.5, 0.25])
    curve = [(each["step"], each["value"]) for each in trials[0]["intermediate_values"]]
    assert curve == [(1, 0.05), (2, 0.12)]
    about = attributes(trials[0])
    assert (about["ap"], about["origin"], about["params"]) == ("0.3", "baseline", "1234567")
    assert {each["name"] for each in trials[0]["params"]} == set(record_params(study))
    assert trials[0]["datetime_start"] < trials[0]["datetime_complete"]


def test_pictures_of_the_report_are_artefacts(study: Path) -> None:
    place = study / "members" / "0000"
    place.mkdir(parents=True)
    (place / "worst_1.jpg").write_bytes(b"picture")
    with served(study) as ask:
        trials = ask("api/studies/0")["trials"]
        [artefact] = trials[0]["artifacts"]
        assert (artefact["filename"], artefact["mimetype"]) == ("worst_1.jpg", "image/jpeg")
        path = f"artifacts/0/{trials[0]['trial_id']}/{artefact['artifact_id']}"
        assert ask(path) == b"picture"
    assert [len(trial["artifacts"]) for trial in trials[1:]] == [0] * 5


def record_params(study: Path) -> dict[str, Any]:
    return json.loads((study / JOURNAL).read_text().splitlines()[0])["params"]


def test_a_running_study_is_followed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrored, "EVERY", 0.01)
    running = ended(5, "running", params=record_params(study))

    def states(ask: Ask) -> list[str]:
        return [trial["state"] for trial in ask("api/studies/0")["trials"]][5:]

    with served(study) as ask:
        with held(study / LOCK, "working on it", wait=False):
            assert states(ask) == ["Waiting"]
            place = study / running.folder
            place.mkdir(parents=True)
            (place / PROGRESS).write_text('{"time": 9e9, "stage": "train", "key": "train-5"}\n')
            assert states(ask) == ["Running"]
        add(study, record(5, 0.3, 60.0, params=running.params))
        assert states(ask) == ["Complete"]


def test_it_is_for_this_machine_and_for_reading(study: Path, run: Run) -> None:
    with served(study) as ask:
        for refused in ({"method": "DELETE"}, {"host": "elsewhere.example:80"}):
            with pytest.raises(urllib.error.HTTPError, match=r"40[35]"):
                ask("api/studies/0", **refused)
        assert len(ask("api/studies/0")["trials"]) == 6
    code, text = run("dashboard", study.parent)
    assert code == 1
    assert "there is no study" in text
