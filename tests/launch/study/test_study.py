"""The study with made-up results: nothing is trained here."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from detectors.quiet import measuring
from launch.study.failures import Blame, Failure
from launch.study.opening import open_study, read_records
from launch.study.settings import StudyError, StudySettings, read_settings
from launch.study.study import Study
from searchspace import Space
from searchspace.compression import Unpruned
from tests.launch.made_up import altered, result, settings_for, told


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=6)


def finish_all(study: Study) -> None:
    while (record := study.propose()) is not None:
        study.end(record.number, result(record, ap_small=record.number / 10))


def test_a_proposal_waits_for_a_measurement(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings) as study, ThreadPoolExecutor(1) as pool:
        with measuring(torch.device("cpu")):
            proposal = pool.submit(study.propose)
            with pytest.raises(TimeoutError):
                proposal.result(timeout=0.5)
        assert proposal.result(timeout=60).number == 0


def test_a_study_proposes_its_budget_baseline_first_and_nothing_twice(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        finish_all(study)
        records = study.records
    assert [r.origin for r in records] == ["baseline", "paper", "paper"] + ["sampler"] * 3
    assert isinstance(records[0].config.compress.pruning, Unpruned)
    assert records[0].config.detector.backbone.eliminated_strides == ()
    assert len({r.config.digest() for r in records}) == 6
    assert {r.state for r in records} == {"finished"}
    assert read_records(tmp_path) == records


def test_objectives_are_reported_with_the_logarithm_of_fps(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        record = study.propose()
        study.end(record.number, result(record, ap_small=0.25, fps=100.0))
    [trial] = told(tmp_path)
    assert trial.state == TrialState.COMPLETE
    assert trial.values == pytest.approx([0.25, 4.605170])
    assert trial.params == record.params


@pytest.mark.parametrize(
    ("blame", "state"), [("design", TrialState.PRUNED), ("passing", TrialState.FAIL)]
)
def test_failures_are_recorded_with_their_reason(
    settings: StudySettings, tmp_path: Path, blame: Blame, state: TrialState
) -> None:
    ended = []
    with open_study(tmp_path, settings, on_end=lambda r, _: ended.append(r)) as study:
        first = study.propose()
        study.end(first.number, Failure("out of memory", blame))
        assert study.propose().number == 1
    assert [(r.state, r.reason) for r in ended] == [("failed", "out of memory")]
    assert read_records(tmp_path)[0].reason == "out of memory"
    assert told(tmp_path)[0].state == state


def test_an_exhausted_space_ends_the_study(settings: StudySettings, tmp_path: Path) -> None:
    fixed = {"compress.pruning.kind": "none", "train.copy_paste.copies": 0}
    small = Space.restore(settings.space)
    for path, value in fixed.items():
        small = small.fix(path, value)
    assert small.size() == 8
    many = altered(settings, space=small.dump(), trials=50)
    with open_study(tmp_path, many) as study:
        finish_all(study)
        assert len(study.records) == 8


def test_unfinished_trials_come_first_and_keep_their_number(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        first, second = study.propose(), study.propose()
        study.end(first.number, result(first))
    with open_study(tmp_path) as study:
        assert study.propose() == second
        assert study.propose().number == 2
        study.end(second.number, result(second))
    states = [t.state for t in told(tmp_path)]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]


def forget_tell(folder: Path) -> None:
    """As if killed after the journal's line and before Optuna's."""
    lines = (folder / "optuna.log").read_bytes().splitlines(keepends=True)
    (folder / "optuna.log").write_bytes(b"".join(lines[:-1]))


def lose(folder: Path) -> None:
    (folder / "optuna.log").unlink()


def tear(folder: Path) -> None:
    data = (folder / "optuna.log").read_bytes()
    (folder / "optuna.log").write_bytes(data[: len(data) // 2] + b"\n" + data[len(data) // 2 :])


def leave_lock(folder: Path) -> None:
    os.symlink("nothing", folder / "optuna.log.lock")


def ask_in_vain(folder: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    optuna.load_study(study_name="sparrow", storage=storage).ask()


@pytest.mark.parametrize("damage", [forget_tell, lose, tear, leave_lock, ask_in_vain])
def test_the_optuna_study_is_mended_from_the_journal(
    settings: StudySettings, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with open_study(tmp_path, settings) as study:
        for _ in range(3):
            record = study.propose()
            study.end(record.number, result(record, ap_small=0.5))
    damage(tmp_path)
    with open_study(tmp_path) as study:
        finish_all(study)
        assert len(study.records) == 6
    trials = told(tmp_path)
    ended = {
        t.user_attrs["number"]: t
        for t in trials
        if t.state == TrialState.COMPLETE and "number" in t.user_attrs  # else a duplicate
    }
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]
    assert all(ended[r.number].params == r.params for r in read_records(tmp_path))
    assert not any(t.state == TrialState.RUNNING for t in trials)


def test_more_trials_can_be_asked_for(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings) as study:
        finish_all(study)
    with open_study(tmp_path) as study:
        assert study.propose() is None
        study.extend(8)
        finish_all(study)
    assert len(read_records(tmp_path)) == 8
    with open_study(tmp_path) as study:
        assert study.settings.budget.trials == 8


def test_a_spent_time_limit_proposes_nothing(settings: StudySettings, tmp_path: Path) -> None:
    short = altered(settings, minutes=1e-9)
    with open_study(tmp_path, short) as study:
        assert study.propose() is None


def test_two_processes_cannot_hold_one_study(settings: StudySettings, tmp_path: Path) -> None:
    with (
        open_study(tmp_path, settings),
        pytest.raises(StudyError, match="another process"),
        open_study(tmp_path),
    ):
        pass


def test_a_folder_with_a_study_is_not_begun_again(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings):
        pass
    with pytest.raises(StudyError, match="resume it"), open_study(tmp_path, settings):
        pass


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"format": 1, "space": {}}', b"\xff\xfe", b"\0" * 99]
)
def test_settings_that_cannot_be_read_are_named_in_one_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "study.json").write_bytes(text)
    with pytest.raises(StudyError, match=r"study\.json: .* restore a copy") as error:
        open_study(tmp_path).__enter__()
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"study.json"}


def test_a_folder_without_a_study_is_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no study"):
        open_study(tmp_path / "nothing").__enter__()
    assert not list(tmp_path.iterdir())


def test_a_study_that_another_process_extended_a_moment_ago_stays_extended(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_study(tmp_path, settings) as study:
        old = study.settings
        study.extend(9)
    stale = iter([old])
    monkeypatch.setattr(
        "launch.study.opening.read_settings",
        lambda folder: next(stale, None) or read_settings(folder),
    )
    with open_study(tmp_path) as study:
        assert study.settings.budget.trials == 9
    assert read_settings(tmp_path).budget.trials == 9


def test_a_study_reports_the_rest_of_its_budget(settings: StudySettings, tmp_path: Path) -> None:
    outlooks = []
    hours = altered(settings, device_hours=3.5 / 3600)
    with open_study(tmp_path, hours, on_end=lambda _, outlook: outlooks.append(outlook)) as study:
        finish_all(study)
        # Each takes a second.
        assert len(study.records) == 3
    assert [o.trials_left for o in outlooks] == [5, 4, 3]
    assert [o.more_trials for o in outlooks] == [2, 1, 0]
    assert {o.ends_by for o in outlooks} == {"device-hours"}
    with open_study(tmp_path) as study:
        assert study.propose() is None


@pytest.mark.slow
def test_the_same_seed_and_figures_give_the_same_sequence(
    settings: StudySettings, tmp_path: Path
) -> None:
    def sequence(folder: Path, seed: int) -> list[str]:
        asked = altered(settings, trials=16, seed=seed)
        with open_study(folder, asked) as study:
            while (record := study.propose()) is not None:
                score = int(record.config.digest()[:4], 16) / 16**4
                study.end(record.number, result(record, score, 100 * score + 1))
            return [record.config.digest() for record in study.records]

    first = sequence(tmp_path / "first", 3)
    # More trials than are drawn at random before a model is asked.
    assert len(first) == 16
    assert sequence(tmp_path / "second", 3) == first
    assert sequence(tmp_path / "third", 4) != first
