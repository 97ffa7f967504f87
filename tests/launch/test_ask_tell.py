"""Studies of a trainer of one's own: nothing is trained here."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from detectors import Detector, describe
from launch import Study, load_front, resume
from launch.searches import report
from launch.searches.ask_tell import AskedTrial
from launch.study.failures import SearchStopped
from launch.study.opening import read_records
from launch.study.settings import StudyError
from launch.trial.errors import SettingsError
from searchspace import Space
from searchspace.errors import InputError
from tests.launch.conftest import Run
from tests.launch.made_up import told


def begun(folder: Path, space: Space, **options: object) -> Study:
    return Study.create(folder, space, **{"trials": 4, "sampler": "random", **options})


def asked(study: Study) -> AskedTrial:
    trial = study.ask()
    assert trial is not None
    return trial


@pytest.fixture
def study(tmp_path: Path, space: Space):
    with begun(tmp_path / "study", space) as study:
        yield study


def test_asked_and_told_until_the_budget_is_spent(study: Study, run: Run) -> None:
    drawn = []
    while (trial := study.ask()) is not None:
        assert trial.folder.is_dir()
        drawn.append(trial.config)
        study.tell(trial, {"ap_small": 0.1 * trial.number, "fps": 80.0 - trial.number})
    assert len(set(drawn)) == 4
    front = study.front()
    assert [m.figures.ap_small for m in front.members] == pytest.approx([0.3, 0.2, 0.1, 0.0])
    assert front.members[0].figures.latency_ms == pytest.approx(1000 / 77)
    assert front.members[3].figures.params == describe(drawn[0].detector).params
    assert front.members[0].figures.ap is None
    assert load_front(study.folder) == front
    assert front.to_pandas()["fps"].tolist() == [77, 78, 79, 80]
    page = (study.folder / "report.html").read_text()
    assert "a trainer of one&#39;s own" in page
    assert "The trainer that reported its figures has the detector" in page
    assert "Its detector is gone" not in page
    code, output = run("trials", study.folder)
    assert code == 0, output
    assert output.count("front") == 4


def test_what_is_not_reported_is_measured_without_training(study: Study) -> None:
    study.tell(asked(study), {"ap_small": 0.2})
    cost = study.records[0].finished.final.cost
    assert cost.fps > 0
    assert cost.timing is not None


def test_a_trial_without_a_result_is_asked_for_again(tmp_path: Path, space: Space) -> None:
    with begun(tmp_path / "study", space) as study:
        first, second, third = (asked(study) for _ in range(3))
        study.tell(second, {"ap_small": 0.5, "fps": 10})
    with Study.open(tmp_path / "study", trials=5) as study:
        study.tell(third.number, {"ap_small": 0.4, "fps": 20})
        again = asked(study)
        assert (again.number, again.config, again.folder) == (0, first.config, first.folder)
        assert [asked(study).number for _ in range(2)] == [3, 4]
        assert study.ask() is None
    assert [r.state for r in read_records(tmp_path / "study")] == [
        "running", "finished", "finished", "running", "running",
    ]  # fmt: skip


def test_a_result_survives_the_loss_of_the_journal(tmp_path: Path, space: Space) -> None:
    folder = tmp_path / "study"
    with begun(folder, space) as study:
        study.tell(asked(study), {"ap_small": 0.5, "fps": 10})
    (folder / "journal.jsonl").write_text("")
    with Study.open(folder) as study:
        assert study.records[0].figure("ap_small") == 0.5
    assert told(folder)[0].values == pytest.approx([0.5, math.log(10)])


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"ap_smal": 0.1, "fps": 1}, "the nearest one is ap_small"),
        ({"ap_small": math.nan, "fps": 1}, "ap_small nan: give a number from 0 to 1"),
        ({"ap_small": 31.0, "fps": 1}, "ap_small 31.0: give a number from 0 to 1"),
        ({"ap_small": 0.1, "fps": math.inf}, "fps inf: give a number above 0"),
        ({"ap_small": "0.1", "fps": 1}, "ap_small '0.1': give a number"),
        ({"fps": 1}, "ap_small is missing, an objective"),
        ({"ap_small": 0.1, "fps": 1, "latency_p99": 3}, "latency_p99: it follows from other"),
    ],
)
def test_figures_are_refused_with_the_fix(
    study: Study, figures: dict[str, float], words: str
) -> None:
    trial = asked(study)
    with pytest.raises(InputError, match=f"trial 0: .*{words}"):
        study.tell(trial, figures)
    assert study.records[0].state == "running"
    study.tell(trial, {"ap_small": 0.1, "fps": 1})


def test_a_trial_is_told_once_and_only_if_it_was_asked_for(study: Study) -> None:
    trial = asked(study)
    with pytest.raises(InputError, match="give either its figures, or why it has none"):
        study.tell(trial)
    study.tell(trial, failed="the loss is not finite")
    assert study.records[0].reason == "the loss is not finite"
    with pytest.raises(InputError, match="trial 0 was told already, and is failed"):
        study.tell(trial, {"ap_small": 0.1, "fps": 1})
    with pytest.raises(InputError, match="trial 7: it was not asked for"):
        study.tell(7, {"ap_small": 0.1, "fps": 1})


def test_a_study_stops_where_all_its_trials_fail_alike(study: Study) -> None:
    for _ in range(3):
        study.tell(asked(study), failed="no licence")
    with pytest.raises(SearchStopped, match=r"no licence.*Study\.open"):
        study.ask()


def test_studies_of_others_are_refused(tmp_path: Path, space: Space) -> None:
    folder = tmp_path / "study"
    with pytest.raises(SettingsError, match="halving"):
        begun(folder, space, halving=True)
    with begun(folder, space), pytest.raises(StudyError, match="another process"):
        Study.open(folder)
    with pytest.raises(StudyError, match="holds a study"):
        begun(folder, space)
    with pytest.raises(StudyError, match=r"launch.Study.open\('.*study'\)"):
        resume(folder, driver="local")
    assert report(folder).members == ()


def test_a_member_is_loaded_where_the_trainer_saved_it(study: Study, run: Run) -> None:
    trial = asked(study)
    Detector(trial.config.detector).save(trial.detector)
    study.tell(trial, {"ap_small": 0.1, "fps": 1})
    [member] = study.front().members
    assert isinstance(member.load(), Detector)
    # The study has no images that an export could be compared on.
    _, text = run("export", trial.detector, "--to", "torch-export")
    assert "compared on generated images" in text


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ap_small", pytest.param("fps", marks=pytest.mark.slow)])
def test_the_front_over_one_objective_is_the_best_trial(
    tmp_path: Path, space: Space, objective: str
) -> None:
    options = {"objectives": (objective,), "sampler": "gp", "trials": 10, "papers": False}
    best = {"ap_small": 0.7, "fps": 20.0}
    with begun(tmp_path / "study", space, **options) as study:
        while (trial := study.ask()) is not None:
            worse = {"ap_small": 0.0 if trial.number == 0 else 0.3, "fps": 10.0}
            study.tell(trial, best if trial.number == 4 else worse)
        front = study.front()
    assert [member.number for member in front.members] == [4]
    assert front.hypervolume == pytest.approx(0.7 if objective == "ap_small" else math.log(20))
    page = (tmp_path / "study" / "report.html").read_text()
    assert "The best is trial 4" in page
    assert "The best trial does better than the baseline (trial 0" in page
    assert "the front is the best trial in" in page
