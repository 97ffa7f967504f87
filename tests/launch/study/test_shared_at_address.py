"""Several drivers share one study in a PostgreSQL database, from machines that share no folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launch import Study as OwnStudy
from launch.files import DENSE, JOURNAL, final_folder
from launch.records import TrialRecord
from launch.report import load_front
from launch.report.front_file import gone
from launch.searches import report
from launch.study.opening import open_study, read_records
from launch.study.settings import StudyError, StudySettings, read_settings
from launch.study.study import Study
from launch.trial.copies import bring, here, kept, portable, study_place
from launch.trial.remote_study import RemoteStudy
from launch.trial.store import Store
from searchspace import Space, TrialConfig, load_space
from searchspace.distillation import ChannelWise
from searchspace.given import GivenTrials
from tests.conftest import Become
from tests.launch.made_up import altered, result, settings_for
from tests.postgres import server

Machine = Callable[[str], Path]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server() as found:
        yield found


@pytest.fixture
def settings(database: str, request: pytest.FixtureRequest) -> StudySettings:
    options = {"trials": 4, "sampler": "random", "papers": False, "storage": database}
    return settings_for(load_space("quick"), study_name=request.node.name, **options)


@pytest.fixture
def machine(tmp_path: Path, become_node: Become) -> Machine:
    """This process is a machine of that name from then on; gives its copy of its driver's study."""

    def become(name: str) -> Path:
        become_node(name)
        return RemoteStudy.at(f"file://{tmp_path}/bucket/{name}").copy

    return become


def finish(study: Study, ap_small: float) -> TrialRecord:
    """One trial, as if a node had run it and left its detector."""
    record = study.propose()
    folder = study.trial_folder(record)
    with kept(folder):
        detector = folder / final_folder(record.config)
        detector.mkdir(parents=True)
        (detector / "detector.json").write_text(str(record.number))
        (folder / "result.json").write_text(result(record, ap_small).model_dump_json())
    study.end(record.number, result(record, ap_small))
    return study.record(record.number)


def look(study: Study) -> None:
    """Let a driver read what others wrote."""
    study._journal._looked = -1e9
    study._journal.refresh()


def test_each_driver_finds_the_detectors_of_all_others_at_their_addresses(
    settings: StudySettings, machine: Machine, tmp_path: Path
) -> None:
    a = machine("a")
    with open_study(a, settings) as here_a:
        finish(here_a, 0.1)
        b = machine("b")
        with open_study(b, settings) as here_b:
            finish(here_b, 0.2)
            finish(here_b, 0.3)
            assert [r.state for r in here_b.records] == ["finished"] * 3
            first = here_b.record(0)
            theirs = here_b.trial_folder(first) / final_folder(first.config)
            assert not theirs.exists()
            assert (bring(theirs) / "detector.json").read_text() == "0"
            assert theirs.resolve().is_relative_to(tmp_path / "b")
            assert gone(b, here_b.records) == frozenset()
            away = portable(theirs)
            own = here_a.record(0).folder
            assert away == f"file://{tmp_path}/bucket/a/{own}/{theirs.name}"
        a = machine("a")
        look(here_a)
        assert here(away) == here_a.trial_folder(here_a.record(0)) / theirs.name
    report(a, seconds=0)
    # Whoever only reads has never met the other driver.
    machine("c")
    study = study_place("study", f"file://{tmp_path}/bucket/a")
    records = read_records(study)
    assert [r.finished.figure("ap_small") for r in records] == [0.1, 0.2, 0.3]
    (member,) = load_front(f"file://{tmp_path}/bucket/a").members
    assert member.number == 2
    assert (member.detector / "detector.json").read_text() == "2"
    assert settings.shared.storage not in (study / JOURNAL).read_text()
    shutil.rmtree(tmp_path / "bucket" / "b" / "trials")
    machine("d")
    study = study_place("study", f"file://{tmp_path}/bucket/a")
    assert gone(study, read_records(study)) == {1, 2}


def test_a_driver_goes_on_with_its_own_trial_on_another_machine(
    settings: StudySettings, machine: Machine, become_node: Become, tmp_path: Path
) -> None:
    with open_study(machine("a"), settings) as study:
        first = study.propose()
        driver = study.settings.driver
    become_node("elsewhere")
    copy = study_place("study", f"file://{tmp_path}/bucket/a")
    with open_study(copy, storage=settings.shared.storage) as study:
        assert study.settings.driver == driver
        assert study.propose() == first
    # A copy of it is another driver.
    shutil.copytree(tmp_path / "bucket/a", tmp_path / "bucket/copied")
    copy = study_place("study", f"file://{tmp_path}/bucket/copied")
    with open_study(copy, storage=settings.shared.storage) as study:
        assert study.settings.driver != driver


def test_stages_at_an_address_are_made_once_and_go_on_wherever_they_stopped(
    settings: StudySettings, machine: Machine, tmp_path: Path
) -> None:
    stages = f"file://{tmp_path}/bucket/shared"
    settings = altered(settings, stages=stages)
    made = list[str]()

    def stopped(folder: Path) -> None:
        (folder / "scratch").mkdir(exist_ok=True)
        (folder / "scratch/checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt

    def make(folder: Path) -> None:
        made.append((folder / "scratch/checkpoint").read_text())
        (folder / "weights").write_text("trained")

    with open_study(machine("a"), settings) as study:
        assert portable(study.stages) == f"{stages}/stages"
        with pytest.raises(KeyboardInterrupt):
            Store(study.stages.resolve()).once("train", {}, stopped)
    with open_study(machine("b"), settings) as study:
        folder = Store(study.stages.resolve()).once("train", {}, make).folder
        assert folder.is_relative_to(tmp_path / "b")
        assert read_settings(study.folder).shared.stages == stages
    in_a_folder = tmp_path / "c"
    machine("c")
    with open_study(in_a_folder, settings) as study:
        folder = Store(study.stages.resolve()).once("train", {}, make).folder
        assert (folder / "weights").read_text() == "trained"
    assert made == ["epoch 3"]
    with pytest.raises(ValueError, match="may hold no key"):
        altered(settings, stages="s3://KEY:hidden@bucket/stages")


def test_given_trials_are_shared_and_a_student_waits_for_a_teacher_elsewhere(
    database: str, machine: Machine
) -> None:
    a, teacher = TrialConfig(seed=1), TrialConfig(seed=2)
    distilled = teacher.train.changed(distillation=ChannelWise(teacher="teacher"))
    given = {"student": teacher.changed(train=distilled), "a": a, "teacher": teacher}

    def settings_of(trials: dict[str, TrialConfig]) -> StudySettings:
        space = GivenTrials.of("three", trials)
        options = {"trials": 3, "sampler": "random", "storage": database, "study_name": "given"}
        return settings_for(space, **options)

    with open_study(machine("a"), settings_of(given)) as here_a:
        first = here_a.propose()
        assert first.name == "teacher"
        with open_study(machine("b"), settings_of(given)) as here_b:
            finish(here_b, 0.1)
            assert (here_b.propose(), here_b.waits) == (None, True)
            machine("a")
            (here_a.trial_folder(first) / DENSE).mkdir(parents=True)
            here_a.end(first.number, result(first))
            machine("b")
            look(here_b)
            student = here_b.propose()
            assert student.name == "student"
            there = here_b.detectors(student)["teacher"]
            assert portable(there).endswith(f"/bucket/a/{first.folder}/{DENSE}")
            here_b.end(student.number, result(student))
    for changed in ({"a": a, "teacher": teacher, "b": TrialConfig(seed=3)}, given | {"a": teacher}):
        with (
            pytest.raises(StudyError, match=r"trial (b|a) is another one, .* same trials"),
            open_study(machine("c"), settings_of(changed)),
        ):
            pass


@pytest.mark.slow
def test_trainers_of_ones_own_share_a_study(database: str, space: Space, tmp_path: Path) -> None:
    options = {"trials": 4, "sampler": "random", "storage": database, "study_name": "own"}
    with (
        OwnStudy.create(tmp_path / "a", space, **options) as a,
        OwnStudy.create(tmp_path / "b", space, **options) as b,
    ):
        asked = [a.ask(), b.ask(), b.ask()]
        assert [trial.number for trial in asked] == [0, 1, 2]
        assert len({trial.config for trial in asked}) == 3
        a.tell(asked[0], {"ap_small": 0.1, "fps": 50.0})
        last = a.ask()
        assert (a.ask(), a.waits) == (None, True)  # the other may fall silent
        a.tell(last, {"ap_small": 0.2, "fps": 50.0})
        for trial in asked[1:]:
            b.tell(trial, {"ap_small": 0.2 + 0.1 * trial.number, "fps": 60.0 - 10 * trial.number})
        look(b._study)
        assert (b.ask(), b.waits) == (None, False)
        assert len(b.records) == 4
        assert {member.number for member in b.front().members} == {1, 2}
    with OwnStudy.open(tmp_path / "a", trials=5, storage=database) as a:
        assert len(a.records) == 4
        assert a.ask().number == 4
