"""Studies whose journal has lost lines, or is gone."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from detectors.files import write_atomically
from launch.constraints import Constraint
from launch.records import SHARED, TrialRecord
from launch.study.opening import open_study, read_records
from launch.study.recovery import missing_trials, trial_folders
from launch.study.settings import StudyError, StudySettings
from launch.study.study import Study
from launch.trial.ancestor import Ancestor
from launch.trial.result import TrialResult
from launch.trial.shared_scores import SharedScores, SharedTensors
from searchspace import Space
from tests.launch.made_up import altered, result, settings_for, told


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=5)


def finish(study: Study, record: TrialRecord, key: str | None = None) -> None:
    """End a trial, which leaves its result in its folder as a trial that is run does."""
    folder = study.ancestor(record)
    ancestor = folder and Ancestor(folder=folder, fingerprint="0" * 16)
    ended = result(record, ap_small=record.number / 10)
    ended = ended.model_copy(update={"trained": key or ended.trained, "ancestor": ancestor})
    assert study.note_prediction(record.number, ended.predicted, seconds=0)
    write_atomically(study.trial_folder(record) / "trial.json", record.config.model_dump_json())
    write_atomically(study.trial_folder(record) / "result.json", ended.model_dump_json())
    study.end(record.number, ended)


def finish_all(study: Study) -> None:
    while (record := study.propose()) is not None:
        assert len(study.records) < 20, "without end"
        finish(study, record, f"train-{record.number}")


def begun(folder: Path, settings: StudySettings) -> tuple[TrialRecord, ...]:
    with open_study(folder, settings) as study:
        finish_all(study)
        return study.records


def forget(folder: Path, *numbers: int) -> None:
    """Take the lines of trials from the journal."""
    file = folder / "journal.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(x for x in lines if json.loads(x)["number"] not in numbers))


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but the lock, which names who holds it."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "study.lock")
    return {file: file.read_bytes() for file in files}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    caplog.clear()
    return found


@pytest.mark.parametrize("lost", [(0,), (4,), (1, 3), (0, 1, 2, 3, 4)])
def test_a_lost_trial_without_a_result_is_named_and_its_number_never_used_again(
    settings: StudySettings, tmp_path: Path, lost: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    before = begun(tmp_path, settings)
    forget(tmp_path, *lost)
    for number in lost:
        (tmp_path / before[number].folder / "result.json").unlink()
    with open_study(tmp_path) as study:
        finish_all(study)
        after = study.records
    kept = [r for r in before if r.number not in lost]
    assert list(after[: len(kept)]) == kept
    assert [r.number for r in after[len(kept) :]] == [5 + n for n in range(len(lost))]
    [message] = messages(caplog)
    for number in lost:
        folder = before[number].folder
        named = f"trial {number} is missing from journal.jsonl; its folder {folder} is kept"
        assert named in message
        assert (tmp_path / folder / "trial.json").exists()
    assert read_records(tmp_path) == after


def test_numbers_that_only_optuna_knows_are_not_used_again(
    settings: StudySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(tmp_path, settings)
    forget(tmp_path, 3, 4)
    shutil.rmtree(tmp_path / "trials")
    with open_study(tmp_path) as study:
        assert study.propose().number == 5
    [message] = messages(caplog)
    assert "trial 3 is missing from journal.jsonl; it has no folder" in message
    assert {3, 4, 5} < {t.user_attrs.get("number") for t in told(tmp_path)}


def test_a_budget_counts_the_trials_that_are_known(settings: StudySettings, tmp_path: Path) -> None:
    begun(tmp_path, settings)
    forget(tmp_path, 3)
    shutil.rmtree(tmp_path / "trials")
    outlooks = []
    with open_study(tmp_path, on_end=lambda _, outlook: outlooks.append(outlook)) as study:
        finish_all(study)
    assert [o.trials_left for o in outlooks] == [0]


def test_a_search_that_goes_on_does_not_draw_as_before(
    settings: StudySettings, tmp_path: Path
) -> None:
    before = begun(tmp_path, settings)
    forget(tmp_path, 2, 3, 4)
    for number in (2, 3, 4):
        (tmp_path / before[number].folder / "result.json").unlink()
    with open_study(tmp_path) as study:
        finish_all(study)
        drawn = [r.config.digest() for r in study.records if r.number > 4]
    assert drawn != [r.config.digest() for r in before[2:]]


@pytest.mark.parametrize("lost", [(3,), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("inherit", [False, True])
def test_results_in_folders_are_restored(
    settings: StudySettings,
    tmp_path: Path,
    lost: tuple[int, ...],
    inherit: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bound = Constraint(figure="ap_small", sense="min", bound=0.25)
    asked = altered(settings, inherit=inherit, constraints=(bound,))
    before = begun(tmp_path, asked)
    assert any(r.parent is not None for r in before) == inherit
    assert {bool(r.broken) for r in before} == {True, False}
    trials = told(tmp_path)
    forget(tmp_path, *lost)
    with open_study(tmp_path) as study:
        assert study.propose() is None
        assert study.records == before
    assert read_records(tmp_path) == before
    numbers = ", ".join(map(str, lost))
    [message] = messages(caplog)
    assert f"journal.jsonl had lost trial{'s' if len(lost) > 1 else ''} {numbers};" in message
    assert told(tmp_path) == trials
    with open_study(tmp_path):
        assert messages(caplog) == []


def test_a_trial_from_shared_weights_is_restored_as_one(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedTensors, "have_all", lambda tensors, config: True)
    tensors = SharedTensors(stage="shared-1", shapes={})
    scores = SharedScores(scores=(), steps=1, drawn=1, training=0, scoring=0, tensors=tensors)
    with open_study(tmp_path, altered(settings, inherit=True, shared_weights=0.1)) as study:
        study.guide_by(scores)
        finish_all(study)
        before = study.records
        assert before[4].parent == SHARED
        assert study.ancestor(before[4]) == tmp_path / "stages" / "shared-1"
    forget(tmp_path, 4)
    with open_study(tmp_path) as study:
        assert study.records == before


def test_a_journal_that_is_gone_is_restored_too(settings: StudySettings, tmp_path: Path) -> None:
    before = begun(tmp_path, settings)
    (tmp_path / "journal.jsonl").unlink()
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path) as study:
        assert study.records == before
    assert len(told(tmp_path)) == 5


@pytest.mark.parametrize("damage", ["torn", "moved", "another"])
def test_what_is_no_result_of_the_trial_is_not_taken_for_one(
    settings: StudySettings, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = begun(tmp_path, settings)
    forget(tmp_path, 2)
    folder = tmp_path / before[2].folder
    if damage == "torn":
        (folder / "result.json").write_bytes((folder / "result.json").read_bytes()[:-9])
    elif damage == "moved":
        shutil.copy(tmp_path / before[1].folder / "result.json", folder / "result.json")
    else:
        config = before[2].config.changed(seed=99)
        found = TrialResult.model_validate_json((folder / "result.json").read_bytes())
        text = found.model_copy(update={"config": config}).model_dump_json()
        (folder / "result.json").write_text(text)
        folder.rename(folder.with_name(f"0002-{config.digest()}"))
    with open_study(tmp_path) as study:
        finish_all(study)
        assert [r.number for r in study.records] == [0, 1, 3, 4, 5]
    assert "trial 2 is missing from journal.jsonl; its folder trials/0002-" in messages(caplog)[0]


def test_a_study_without_its_journal_is_not_taken_for_an_empty_one(
    settings: StudySettings, tmp_path: Path
) -> None:
    begun(tmp_path, settings)
    (tmp_path / "journal.jsonl").unlink()
    with pytest.raises(StudyError, match=r"journal\.jsonl is gone") as error:
        read_records(tmp_path)
    assert f"restore the 5 results in {tmp_path}/trials with `sparrow search --resume" in str(
        error.value
    )
    assert not (tmp_path / "journal.jsonl").exists()
    shutil.rmtree(tmp_path / "trials")
    with pytest.raises(StudyError, match=r"put it back; no results are left in .*trials$"):
        read_records(tmp_path)


@pytest.mark.parametrize("kept", ["journal.jsonl", "trials"])
def test_what_is_left_of_a_study_is_not_made_another(
    settings: StudySettings, tmp_path: Path, kept: str
) -> None:
    begun(tmp_path, settings)
    (tmp_path / "study.json").unlink()
    for name in {"journal.jsonl", "trials"} - {kept}:
        path = tmp_path / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    with (
        pytest.raises(StudyError, match=r"without study\.json: restore that file"),
        open_study(tmp_path, settings),
    ):
        pass
    assert not (tmp_path / "study.json").exists()


def test_only_folders_of_trials_are_taken_for_them(tmp_path: Path) -> None:
    digest = "0123456789abcdef"
    for name in (f"0003-{digest}", "20240101-backup", "0004-cafe", "x-1", f"{digest}-0005"):
        (tmp_path / "trials" / name).mkdir(parents=True)
    (tmp_path / "trials" / f"0009-{digest}").write_text("a file")
    assert trial_folders(tmp_path) == {3: f"trials/0003-{digest}"}
    assert [m.number for m in missing_trials([], trial_folders(tmp_path))] == [0, 1, 2, 3]


def test_opening_a_study_again_changes_nothing_but_what_it_mends(
    settings: StudySettings, tmp_path: Path
) -> None:
    begun(tmp_path, settings)
    before = contents(tmp_path)
    with open_study(tmp_path):
        pass
    assert contents(tmp_path) == before
