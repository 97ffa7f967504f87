"""Searches in one process, on real (tiny) trials."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import pytest

from detectors.data.readers import DataSource
from detectors.data.validation import DataError
from detectors.detector import Detector
from detectors.runtimes import Form
from launch.drivers.attempt import attempt
from launch.report import load_front
from launch.searches import resume, search
from launch.study.failures import Failure
from launch.study.opening import read_records
from launch.study.settings import StudyError, read_settings
from launch.trial.data import TrialData, TrialError
from launch.trial.run import run_trial
from searchspace import Space, SpaceError, TrialConfig
from searchspace.domains import Choice, Domain, Fixed
from tests.launch.conftest import Run

pytestmark = pytest.mark.xdist_group("search")
"""One worker has the fixtures of a module; each of several would make them for itself."""


@pytest.fixture(scope="module")
def study_folder(
    space: Space, shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("search") / "study"
    search(space, shapes_folder, out, trials=3, driver="local", device="cpu")
    return out


def test_a_search_ends_with_a_front_of_loadable_detectors(study_folder: Path) -> None:
    front = load_front(study_folder)
    assert front.members
    for member in front.members:
        assert Detector.load(member.detector).config == member.config.detector
    assert (study_folder / "report.html").stat().st_size > 10_000


def test_a_finished_search_resumes_to_the_same_front(study_folder: Path) -> None:
    before = read_records(study_folder)
    front = resume(study_folder, driver="local")
    assert read_records(study_folder) == before
    assert front == load_front(study_folder)


@pytest.mark.slow
def test_a_search_goes_on_from_results_when_its_journal_is_gone(
    study_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(study_folder, tmp_path / "study")
    (tmp_path / "study" / "journal.jsonl").unlink()
    assert len(resume(tmp_path / "study", driver="local").members) > 0
    before, after = read_records(study_folder), read_records(tmp_path / "study")
    assert [r.model_copy(update={"seconds": 0}) for r in after] == [
        r.model_copy(update={"seconds": 0}) for r in before
    ]


def test_a_detector_that_is_gone_is_said_to_be_and_made_again_from_its_stages(
    study_folder: Path, shapes_folder: Path, tmp_path: Path, run: Run
) -> None:
    study = tmp_path / "study"
    shutil.copytree(study_folder, study)
    assert "detector is gone" not in run("report", study)[1]
    shutil.rmtree(study / "trials")
    status, text = run("report", study)
    assert status == 0
    assert "(its detector is gone)" in text
    assert "The detectors of trials 0, 1, 2 are gone from their folders; run_trial" in text
    assert "Its detector is gone:" in (study / "report.html").read_text()
    for member in load_front(study).members:
        assert not member.is_there
        with pytest.raises(ValueError, match=f"{member.detector}: there is no such folder"):
            member.load()
    stages = {path.name for path in (study / "stages").iterdir()}
    again = run_trial(
        member.config, shapes_folder, member.folder, device="cpu", stages=study / "stages"
    )
    assert {path.name for path in (study / "stages").iterdir()} == stages
    assert again.figure("ap") == member.figures.ap
    assert member.is_there
    assert member.load().config == member.config.detector
    assert "Its detector is gone:" not in (study_folder / "report.html").read_text()


def test_reports_of_studies_that_lost_something_say_so(
    study_folder: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    study = tmp_path / "study"
    shutil.copytree(study_folder, study)
    journal = study / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(x for x in lines if '"number":1,' not in x))
    status, text = run("report", study)
    assert status == 0
    named = "trial 1 is missing from journal.jsonl; its folder trials/0001-"
    assert named in text
    assert named in (study / "report.html").read_text()
    journal.write_text(lines[0] + "{\n" + lines[1])
    status, text = run("report", study)
    assert status == 1
    assert caplog.text.count(f"{journal}: 1 damaged line left out, as no trial record (2)") == 1
    journal.unlink()
    status, text = run("report", study)
    assert status == 1
    assert text.startswith(f"error: {journal} is gone")
    assert text.count("\n") == 1
    assert not journal.exists()


@pytest.mark.slow
def test_more_trials_can_be_added(study_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(study_folder, tmp_path / "study")
    resume(tmp_path / "study", trials=4, driver="local")
    records = read_records(tmp_path / "study")
    assert records[:3] == read_records(study_folder)
    assert records[3].state == "finished"


@pytest.mark.slow
def test_an_interrupted_search_goes_on(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def interrupted(config: TrialConfig, *args: object, **kwargs: object) -> object:
        trained.append(config.digest())
        if len(trained) == 2:
            raise KeyboardInterrupt
        return run_trial(config, *args, **kwargs)

    monkeypatch.setattr(
        "launch.drivers.local.attempt", lambda *a, **k: attempt(*a, **k, run=interrupted)
    )
    with pytest.raises(KeyboardInterrupt):
        search(space, shapes_folder, tmp_path / "study", trials=3, driver="local", device="cpu")
    assert [r.state for r in read_records(tmp_path / "study")] == ["finished", "running"]
    assert (tmp_path / "study" / "report.html").exists()
    resume(tmp_path / "study", driver="local")
    assert [r.state for r in read_records(tmp_path / "study")] == ["finished"] * 3
    assert len(trained) == 4
    assert trained[1] == trained[2]


@pytest.mark.parametrize(
    ("error", "reason", "blame"),
    [
        (MemoryError("no more"), "out of memory: no more", "design"),
        (TrialError("does not fit"), "does not fit", "design"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh", "passing"),
    ],
)
def test_whatever_fails_becomes_a_reason(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path,
    error: Exception, reason: str, blame: str,
) -> None:  # fmt: skip
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    outcome = attempt(tiny, shapes, tmp_path, "cpu", run=fail)
    assert isinstance(outcome, Failure)
    assert outcome.reason.startswith(reason)
    assert outcome.blame == blame


def test_a_failing_trial_does_not_end_the_search(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def second_fails(config: TrialConfig, *args: object, **kwargs: object) -> object:
        calls.append(config)
        if len(calls) == 2:
            raise MemoryError("pretended")
        return run_trial(config, *args, **kwargs)

    monkeypatch.setattr(
        "launch.drivers.local.attempt", lambda *a, **k: attempt(*a, **k, run=second_fails)
    )
    search(space, shapes_folder, tmp_path / "study", trials=3, driver="local", device="cpu")
    records = read_records(tmp_path / "study")
    assert [r.state for r in records] == ["finished", "failed", "finished"]
    assert records[1].reason == "out of memory: pretended"


def test_resuming_on_changed_data_is_refused(
    study_folder: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    study, data = tmp_path / "study", tmp_path / "data"
    shutil.copytree(study_folder, study)
    shutil.copytree(shapes_folder, data)
    settings = json.loads((study / "study.json").read_text())
    for split in ("train", "val"):
        settings[split] = {
            "images": str(data / split),
            "annotations": str(data / "annotations" / f"instances_{split}.json"),
        }
    file = data / "annotations" / "instances_train.json"
    annotations = json.loads(file.read_text())
    annotations["annotations"].pop()
    file.write_text(json.dumps(annotations))
    (study / "study.json").write_text(json.dumps(settings))
    with pytest.raises(StudyError, match="have changed"):
        resume(study, driver="local")


@pytest.fixture
def project(study_folder: Path, shapes_folder: Path, tmp_path: Path) -> Path:
    """A folder with a study in `runs/study` and its data in `set`."""
    root = tmp_path / "project"
    study, data = root / "runs/study", root / "set"
    shutil.copytree(study_folder, study)
    shutil.copytree(shapes_folder, data)
    settings = read_settings(study)
    source = DataSource.from_folder(data)
    stored = settings.written_in(study, train=source.train, val=source.val)
    (study / "study.json").write_text(stored.model_dump_json())
    return root


def test_a_project_that_moved_with_its_data_goes_on_by_itself(
    project: Path, tmp_path: Path
) -> None:
    project.rename(tmp_path / "new place #1")
    study = tmp_path / "new place #1/runs/study"
    front = resume(study, driver="local")
    assert front.members
    assert read_settings(study).train.images == tmp_path / "new place #1/set/train"


def test_data_that_moved_are_named_on_resuming(project: Path, tmp_path: Path) -> None:
    study, new = project / "runs/study", tmp_path / "elsewhere"
    (project / "set").rename(new)
    with pytest.raises(StudyError, match=r"are not at .*set/annotations.* any more: .* --data"):
        resume(study, driver="local")
    assert resume(study, driver="local", data=new).members
    assert read_settings(study).val.images == new / "val"
    assert resume(study, driver="local").members
    file = new / "annotations" / "instances_train.json"
    annotations = json.loads(file.read_text())
    annotations["annotations"].pop()
    other = shutil.copytree(new, tmp_path / "other")
    (other / "annotations" / "instances_train.json").write_text(json.dumps(annotations))
    with pytest.raises(StudyError, match=r"are not those of the study, .* fingerprint is \w{8} \+"):
        resume(study, driver="local", data=other)
    assert read_settings(study).val.images == new / "val"


def test_bad_input_is_refused_before_a_study_exists(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    with pytest.raises(DataError, match="no-such-folder"):
        search(space, tmp_path / "no-such-folder", out, driver="local")
    with pytest.raises(SpaceError, match="neither a named space"):
        search("no-such-space", shapes_folder, out, driver="local")
    assert not out.exists()


def test_a_split_without_small_objects_cannot_be_searched(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes_folder, data)
    file = data / "annotations" / "instances_val.json"
    annotations = json.loads(file.read_text())
    for annotation in annotations["annotations"]:
        annotation |= {"bbox": [0, 0, 50, 40], "area": 2000.0, "segmentation": []}
    file.write_text(json.dumps(annotations))
    with pytest.raises(TrialError, match="no objects below 32x32"):
        search(space, data, tmp_path / "study", driver="local")


def test_what_skip_bad_drops_is_told_reported_and_kept(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "study"
    shutil.copytree(shapes_folder, data)
    file = data / "annotations" / "instances_train.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["bbox"][2] = -4
    document["images"][1]["file_name"] = "gone.jpg"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"gone\.jpg"):
        search(space, data, out, trials=1, driver="local")
    monkeypatch.setattr("launch.drivers.local.LocalDriver.run", lambda *_: None)
    told: list[str] = []
    search(space, data, out, trials=1, driver="local", skip_bad="anyway", on_known=told.append)
    found, words = told
    assert found == "COCO layout, 15 + 8 images, 4 classes"
    assert words.startswith("training data: 2 bad entries dropped; 15 of 16 images (94%) and ")
    assert read_settings(out).dropped == (words,)
    assert words in (out / "report.html").read_text(encoding="utf-8")


def settled(out: Path) -> TrialConfig:
    """The baseline of the study that a search left."""
    return Space.restore(read_settings(out).space).baseline()


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ("openvino", "bfloat16")),
        ({"measure.runtime": Fixed("eager")}, ("eager", "auto")),
        ({"measure.runtime": Choice("compile", "eager")}, ("compile", "auto")),
    ],
    ids=["left open", "fixed", "searched"],
)
def test_a_search_takes_the_fastest_form_unless_its_space_names_one(
    space: Space,
    shapes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, Domain],
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr("launch.searches.inputs.best", lambda *_: Form("openvino", "bfloat16"))
    monkeypatch.setattr("launch.drivers.local.LocalDriver.run", lambda *_: None)
    others = {path: d for path, d in space.domains.items() if path != "measure.runtime"}
    search(Space("own", others | own), shapes_folder, tmp_path / "study", driver="local")
    measure = settled(tmp_path / "study").measure
    assert (measure.runtime, measure.precision) == expected


def test_only_ray_measures_on_other_nodes(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="measure_on target: only the driver ray"):
        search(space, shapes_folder, tmp_path / "study", driver="local", measure_on="target")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_ladder_trains_nothing_again(space: Space, shapes_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    front = search(
        space, shapes_folder, out, trials=3, driver="local", device="cpu", papers=False,
        objectives=("params", "fps"), ladder=(0.3, 0.5),
    )  # fmt: skip
    assert [r.origin for r in read_records(out)] == ["baseline", "ladder", "ladder"]
    assert sum(front.trials.values()) == front.trials["finished"] == 3
    trainings = list((out / "stages").glob("train-*/stage.json"))
    assert len(trainings) == 1
    saved = "30 %, 50 %; 2 of 3 trials shared a training"
    assert saved in (out / "report.html").read_text()


def test_a_warm_start_is_reported_and_shown(
    space: Space, shapes_folder: Path, study_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("launch.drivers.local.LocalDriver.run", lambda *_: None)
    said: list[str] = []
    out = tmp_path / "study"
    search(
        space, shapes_folder, out, driver="local", device="cpu", warm_start=[study_folder],
        on_known=said.append,
    )  # fmt: skip
    [words] = [text for text in said if "known results" in text]
    assert words.startswith(
        f"{study_folder}: 3 known results reported to the sampler; on the same data"
    )
    assert words in html.unescape((out / "report.html").read_text())
    assert len(read_settings(out).known[0].results) == 3


@pytest.mark.slow
def test_a_search_inherits_weights(space: Space, shapes_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    front = search(
        space, shapes_folder, out, trials=3, driver="local", device="cpu", papers=False,
        inherit=True,
    )  # fmt: skip
    assert front.trials["finished"] == 3
    heirs = [r for r in read_records(out) if r.parent is not None]
    # Trials that differ only after the training share it, and nothing else.
    assert [r.result.ancestor.folder.parent.name for r in heirs] == [
        read_records(out)[r.parent].result.trained for r in heirs
    ]
    words = f"{len(heirs)} of 3 trials start from the most similar trained design"
    assert words in (out / "report.html").read_text()
