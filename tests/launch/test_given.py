"""Given trials: their order, their teachers, and what a study of them leaves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from detectors.detector import Detector
from launch import load_front, resume, run_trials
from launch.files import DENSE
from launch.study.failures import Failure
from launch.study.opening import open_study, read_records
from launch.study.settings import StudyError, StudySettings, read_settings
from launch.study.study import Study
from launch.trial.data import TrialData, TrialError
from launch.trial.errors import SettingsError
from launch.trial.result import TrialResult
from searchspace import TrialConfig, papers
from searchspace.distillation import ChannelWise
from searchspace.errors import InputError
from searchspace.given import GivenTrials, restored
from tests.launch.made_up import result, settings_for, told


def taught(config: TrialConfig, teacher: str) -> TrialConfig:
    return config.changed(train=config.train.changed(distillation=ChannelWise(teacher=teacher)))


def numbered(count: int) -> list[TrialConfig]:
    return [TrialConfig(seed=seed) for seed in range(count)]


@pytest.fixture
def settings() -> StudySettings:
    """A student before its teacher, two others, of which one has two names."""
    a, b, c = numbered(3)
    given = {"student": taught(c, "teacher"), "a": a, "b": b, "teacher": c, "again": a}
    return settings_for(GivenTrials.of("four", given), trials=4, sampler="random")


def names(study: Study) -> list[str | None]:
    return [record.name for record in study.records]


def test_a_student_waits_for_its_teacher_while_others_run(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        study.workers = 4
        first = [study.propose() for _ in range(3)]
        assert [record.name for record in first] == ["teacher", "a", "b"]
        assert (study.propose(), study.waits) == (None, True)
        study.end(1, result(first[1]))
        assert (study.propose(), study.waits) == (None, True)
        study.end(0, result(first[0]))
        student = study.propose()
        assert (student.name, student.origin) == ("student", "given")
        assert study.detectors(student) == {"teacher": tmp_path / first[0].folder / DENSE}
        assert (study.propose(), study.waits) == (None, False)
        study.end(2, result(first[2]))
        study.end(3, result(student))
    assert {record.state for record in read_records(tmp_path)} == {"finished"}
    assert [trial.params for trial in told(tmp_path)] == [
        {"trial": name} for name in ("teacher", "a", "b", "student")
    ]


def test_a_student_fails_with_its_teacher_and_both_are_tried_again(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        study.end(study.propose().number, Failure("lost", "passing"))
        while (record := study.propose()) is not None:
            study.end(record.number, result(record))
        assert names(study) == ["teacher", "student", "a", "b"]
        assert study.record(1).reason == "it needs the detector teacher, but trial 0 failed"
    with open_study(tmp_path) as study:
        assert study.try_again(lasting=False) == 2
        teacher = study.propose()
        assert teacher.name == "teacher"
        assert (study.propose(), study.waits) == (None, True)
        study.end(0, result(teacher))
        student = study.propose()
        assert student.name == "student"
        study.end(1, result(student))
        assert study.propose() is None
        assert {record.state for record in study.records} == {"finished"}


def test_a_study_of_given_trials_is_opened_again_and_its_journal_restored(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        record = study.propose()
        found: TrialResult = result(record)
        study.end(0, found)
    folder = tmp_path / record.folder
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(found.model_dump_json())
    (tmp_path / "journal.jsonl").unlink()
    with open_study(tmp_path) as study:
        assert [(r.name, r.state) for r in study.records] == [("teacher", "finished")]
        assert study.propose().name == "student"


def test_the_dump_of_given_trials_is_read_back(settings: StudySettings) -> None:
    space = restored(settings.space)
    assert isinstance(space, GivenTrials)
    assert space.dump() == settings.space
    assert list(space.configs) == ["teacher", "student", "a", "b", "again"]
    assert space.names(space.configs["a"]) == ("a", "again")
    assert space.outside == ()


def test_trials_that_need_each_other_are_refused() -> None:
    a, b, _ = numbered(3)
    with pytest.raises(InputError, match="a -> b -> a"):
        GivenTrials.of("circle", {"a": taught(a, "b"), "b": taught(b, "a")})
    with pytest.raises(InputError, match="at least one"):
        GivenTrials.of("none", {})


def test_bad_input_is_refused_before_anything_is_written(
    tiny: TrialConfig, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = {"data": shapes_folder, "out": out, "driver": "local", "device": "cpu"}
    with pytest.raises(SettingsError, match="halving: given trials have no such option"):
        run_trials([tiny], halving=True, **given)
    with pytest.raises(TrialError, match=r"teacher 'nowhere' of the space"):
        run_trials({"x": taught(tiny, "nowhere")}, **given)
    single = tiny.changed(train=tiny.train.changed(batch_size=1))
    with pytest.raises(TrialError, match=r"trial single: train\.batch_size is 1"):
        run_trials({"tiny": tiny, "single": single}, **given)
    with pytest.raises(TrialError, match="none of the trials reads published weights"):
        run_trials([tiny], weights=tmp_path, **given)
    assert not out.exists()


def test_given_trials_run_and_resume_as_a_study(
    tiny: TrialConfig, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(config: TrialConfig, *rest: object, **more: object) -> TrialResult:
        return result(SimpleNamespace(config=config, number=0))

    monkeypatch.setattr("launch.drivers.local.attempt", attempt)
    teacher = tiny.changed(seed=1).with_classes(7)
    ended = []
    records = run_trials(
        {"student": taught(tiny, "teacher"), "teacher": teacher, "same": teacher},
        shapes_folder,
        tmp_path / "out",
        title="A teacher and its student",
        on_end=lambda record, outlook: ended.append(record.name),
        driver="local",
        device="cpu",
    )
    assert ended == ["teacher", "student"]
    assert {name: record.state for name, record in records.items()} == dict.fromkeys(
        ("teacher", "student", "same"), "finished"
    )
    assert records["same"] == records["teacher"]
    assert records["teacher"].config.detector.num_classes == 4
    assert read_settings(tmp_path / "out").title == "A teacher and its student"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "A teacher and its student" in page
    assert "no baseline" not in page
    assert "<dt>Given trials</dt>" in page
    assert "<dt>Sampler</dt>" not in page
    front = resume(tmp_path / "out", driver="local")
    assert front == load_front(tmp_path / "out")
    with pytest.raises(SettingsError, match="given trials, and no others"):
        resume(tmp_path / "out", trials=9, driver="local")
    with pytest.raises(StudyError, match="holds a study"):
        run_trials([tiny], shapes_folder, tmp_path / "out", driver="local")


def test_a_system_that_needs_no_other_needs_nothing() -> None:
    needing = {name for name, system in papers.items() if system.trial.detectors}
    assert {name for name in needing if papers[name].teacher} >= {
        "yolox_tiny_distilled", "gfl_r50_distil_1", "gfl_r50_distil_2", "gfl_r50_distil_3"
    }  # fmt: skip


def test_ray_waits_for_a_teacher_and_learns_where_its_detector_lies(
    settings: StudySettings, tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    from launch.drivers.ray_answers import Answers
    from launch.drivers.ray_searcher import StudySearcher
    from launch.drivers.ray_worker import Given

    nobody = Answers(None)
    with open_study(tmp_path, settings) as study:
        searcher = StudySearcher(study, nobody)
        first = [searcher.suggest(name) for name in "abc"]
        assert [asked["detectors"] for asked in first] == [{}] * 3
        assert searcher.suggest("d") is None
        teacher = study.record(0)
        study.end(0, result(teacher))
        student = searcher.suggest("d")
        folder = tmp_path.resolve() / teacher.folder / DENSE
        assert student["detectors"] == {"teacher": str(folder)}
        study.end(1, result(study.record(1)))
        assert searcher.suggest("e") == StudySearcher.FINISHED
    Detector(tiny.detector).save(folder)
    given = Given(student, nobody, shapes, {}, None, meter=None, weights=None, plugins=())
    assert given.load_teacher()("teacher").config == tiny.detector
