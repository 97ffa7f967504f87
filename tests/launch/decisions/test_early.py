"""Trials that end early: what the study decides, notes and tells, and who gets another chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

import launch.trial.scoring
import launch.trial.stages
from detectors.training.train import fit
from launch.decisions.early_stopping import default_budgets, rungs_within
from launch.decisions.halving import Halving
from launch.records import TrialRecord
from launch.report import write_report
from launch.searches import search
from launch.study.opening import open_study, read_records
from launch.study.study import Study, StudySettings
from searchspace import Space, TrainConfig
from tests.launch.conftest import Run
from tests.launch.made_up import altered, cost, metrics, result, settings_for, told

SCORES = {0: 0.2, 1: 0.1, 2: 0.15, 3: 0.05}
"""At the rung: the baseline is best. The third is the second best, which counts among four."""


@pytest.fixture
def settings(space: Space) -> StudySettings:
    ways = {"early_stopping": Halving(budgets=(2,), factor=3), "stopped_as": "pruned"}
    return settings_for(space.fix("train.epochs", 8), trials=4, papers=False, **ways)


def play(
    study: Study, record: TrialRecord, scores: Mapping[int, float] = SCORES, fps: float = 50
) -> bool:
    """One trial as a driver runs it, whose AP_small doubles from the rung to the end."""
    number = record.number
    if not study.note_prediction(number, cost(fps), seconds=1):
        return False
    for rung in study.rungs(record):
        if not study.note_rung(number, rung, metrics(scores[number]), seconds=20):
            return False
    study.end(number, result(record, 2 * scores[number], fps, seconds=80))
    return True


def test_stopped_trials_that_are_good_by_what_is_known_at_the_end_get_another_chance(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        ran = [play(study, study.propose()) for _ in range(4)]
        assert ran == [True, False, False, False]
        stopped = study.records[2]
        assert (stopped.state, stopped.seconds) == ("stopped", 20)
        assert stopped.reason == "after 2 of 8 epochs"
        assert stopped.midway[2].ap_small == 0.15
        # Of three trials one went on, of four two do.
        again = study.propose()
        assert (again.number, again.state, again.promoted) == (2, "running", 2)
        assert play(study, again)
        assert study.records[2].seconds == 100
        assert study.propose() is None
    states = [r.state for r in read_records(tmp_path)]
    assert states == ["finished", "stopped", "finished", "stopped"]


def test_the_fastest_is_never_stopped(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, settings) as study:
        assert play(study, study.propose())
        assert not play(study, study.propose())
        assert play(study, study.propose(), {2: 0.0}, fps=51)


def test_a_promoted_trial_is_not_stopped_at_the_same_rung_again(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        for _ in range(4):
            play(study, study.propose())
        again = study.propose()
    worse = {**SCORES, 2: 0.001}
    with open_study(tmp_path) as study:
        assert study.propose() == again
        assert play(study, again, worse)


def test_rungs_outlive_the_process(settings: StudySettings, tmp_path: Path) -> None:
    for _ in range(4):
        with open_study(
            tmp_path, settings if not (tmp_path / "study.json").exists() else None
        ) as s:
            play(s, s.propose())
    states = [r.state for r in read_records(tmp_path)]
    assert states == ["finished", "stopped", "stopped", "stopped"]


def test_a_trial_that_begins_again_gets_the_answer_that_it_had(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        play(study, study.propose())
        record = study.propose()
        study.note_prediction(record.number, cost(50), seconds=1)
        assert not study.note_rung(record.number, 2, metrics(0.1), seconds=20)
        assert not study.note_rung(record.number, 2, metrics(0.1), seconds=20)
        assert study.records[1].seconds == 20


def test_planned_trials_are_never_stopped(settings: StudySettings, tmp_path: Path) -> None:
    with open_study(tmp_path, altered(settings, papers=True)) as study:
        first, second = study.propose(), study.propose()
        assert [first.origin, second.origin] == ["baseline", "paper"]
        assert play(study, second, {1: 0.9})
        assert play(study, first, {0: 0.0})


def test_a_study_waits_for_those_that_may_promote_others(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        assert not study.waits
        for _ in range(3):
            play(study, study.propose())
        last = study.propose()
        assert study.propose() is None
        assert study.waits
        play(study, last)
        assert not study.waits
        assert study.propose().number == 2
    with open_study(tmp_path) as study:
        study.settings = altered(study.settings, early_stopping=None, stopped_as=None)
        study.propose()
        assert not study.waits


def values(folder: Path) -> dict[int, list[Any]]:
    """States and values by trial, as reported to Optuna one after the other."""
    found: dict[int, list[Any]] = {}
    for trial in told(folder):
        if "number" in trial.user_attrs and trial.state != TrialState.RUNNING:
            reported_as = trial.values[0] if trial.state == TrialState.COMPLETE else trial.state
            found.setdefault(trial.user_attrs["number"], []).append(reported_as)
    return found


def test_stopped_trials_are_reported_as_pruned_and_promoted_ones_again(
    settings: StudySettings, tmp_path: Path
) -> None:
    pruned = TrialState.PRUNED
    with open_study(tmp_path, settings) as study:
        for _ in range(5):
            play(study, study.propose())
    expected = {0: [0.4], 1: [pruned], 2: [pruned, 0.3], 3: [pruned]}
    assert values(tmp_path) == expected
    with open_study(tmp_path):
        assert values(tmp_path) == expected
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path):
        assert values(tmp_path) == {**expected, 2: [0.3]}


def test_stopped_trials_may_be_reported_with_extrapolated_scores(
    settings: StudySettings, tmp_path: Path
) -> None:
    rescaled = altered(settings, stopped_as="rescaled", trials=4)
    with open_study(tmp_path, rescaled) as study:
        baseline = study.propose()
        early = study.propose()
        study.note_prediction(baseline.number, cost(50), seconds=1)
        assert study.note_rung(baseline.number, 2, metrics(0.2), seconds=20)
        assert not play(study, early)
        study.end(baseline.number, result(baseline, 0.4, 50))
        for _ in range(2):
            assert not play(study, study.propose())
    # Nobody had ended when the first was stopped; the baseline has doubled since.
    found = values(tmp_path)
    assert found[1] == [TrialState.PRUNED]
    assert [found[0], found[2], found[3]] == [[0.4], pytest.approx([0.3]), pytest.approx([0.1])]
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path):
        assert values(tmp_path) == found


def test_the_report_shows_what_was_stopped_and_what_that_saved(
    settings: StudySettings, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        for _ in range(4):
            play(study, study.propose())
    write_report(tmp_path, study.records, title="t", facts={})
    page = (tmp_path / "report.html").read_text()
    assert "1 trial finished (3 stopped)" in page
    assert "3 trials stopped early; saved 21 epochs of training." in page
    assert ">after 2 of 8 epochs<" in page
    assert '<td class="num" data-value="0.15">0.150</td>' in page


def test_a_gate_keeps_from_training_what_cannot_reach_the_front(
    settings: StudySettings, tmp_path: Path
) -> None:
    gated = altered(settings, gate=True, early_stopping=None, stopped_as=None, trials=14)
    with open_study(tmp_path, gated) as study:
        for _ in range(10):
            record = study.propose()
            assert study.note_prediction(record.number, cost(50), seconds=2)
            study.end(record.number, result(record, 0.2, 50, seconds=100))
        slower, faster, larger = (study.propose() for _ in range(3))
        assert not study.note_prediction(slower.number, cost(49), seconds=2)
        assert study.note_prediction(faster.number, cost(51), seconds=2)
        record = study.records[slower.number]
        assert record.state == "gated"
        assert "dominated by the front" in record.reason
        assert "0.200" in record.reason
        # A bound that is broken counts first.
        assert study.note_prediction(larger.number, cost(50, params=10**9), seconds=2)
        records = study.records
    write_report(tmp_path, records, title="t", facts={})
    page = (tmp_path / "report.html").read_text()
    assert "(2 still running, 1 gated)" in page
    assert "1 design ended before training; saved about 1 min 38 s." in page
    assert values(tmp_path)[slower.number] == [TrialState.PRUNED]


@pytest.mark.parametrize(
    ("epochs", "warmup", "budgets"),
    [(4, 1.0, (2,)), (8, 1.0, (2, 4)), (100, 5.0, (25, 50)), (12, 5.0, (6,)), (40, 0.0, (10, 20))],
)
def test_trials_are_compared_at_a_quarter_and_half_after_the_warm_up(
    epochs: int, warmup: float, budgets: tuple[int, ...]
) -> None:
    assert default_budgets("halving", TrainConfig(epochs=epochs, warmup_epochs=warmup)) == budgets


def test_a_training_too_short_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 epochs of training .* train longer"):
        default_budgets("halving", TrainConfig(epochs=2, warmup_epochs=1))
    assert rungs_within((1, 2, 4, 8), TrainConfig(epochs=8, warmup_epochs=1)) == (2, 4)


def test_a_search_refuses_rungs_that_no_trial_reaches(
    space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"rungs 2, 9: must be .* train.epochs \(4\);"):
        search(
            space.fix("train.epochs", 4), shapes_folder, tmp_path / "study", driver="local",
            early_stopping=Halving(budgets=(2, 9)),
        )  # fmt: skip
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_stopped_trial_goes_on_from_its_checkpoint_when_it_is_promoted(
    space: Space, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, epochs = iter([0.5, 0.4, 0.45, 0.3]), []

    def counting(*args: Any, **kwargs: Any) -> Any:
        epochs.append([])
        return fit(*args, **kwargs | {"on_epoch": lambda epoch, _: epochs[-1].append(epoch)})

    monkeypatch.setattr(launch.trial.stages, "fit", counting)
    monkeypatch.setattr(launch.trial.scoring, "score", lambda *_, **__: metrics(next(scores)))
    monkeypatch.setattr(launch.trial.scoring, "predict_cost", lambda *_: cost(50))
    space = space.fix("train.epochs", 4).fix("compress.pruning.kind", "none")
    space = space.fix("compress.pruning.none.finetune_epochs", 0)
    search(
        space, shapes_folder, tmp_path, trials=4, driver="local", device="cpu", papers=False,
        early_stopping="halving",
    )  # fmt: skip
    records = read_records(tmp_path)
    assert [r.state for r in records] == ["finished", "stopped", "finished", "stopped"]
    # The third was stopped as the second of three, and is the second of four: one in three goes on.
    assert epochs == [[1, 2, 3, 4], [1, 2], [1, 2], [1, 2], [3, 4]]
    # No rung was scored twice: there are no more scores to be had.
    assert next(scores, None) is None
    assert records[2].midway == {2: metrics(0.45)}
    assert "2 trials stopped early; saved 4 epochs" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--halving",), "halving: 1 epochs of training (train.epochs)"),
        (("--halving", "--rungs", "4,2"), "--rungs: budgets [4, 2]: give ascending epochs from 1"),
        (("--halving", "--rungs", "two"), "must be an integer, and not 'two'"),
        (
            ("--halving", "--rungs", "1"),
            "--rungs: 1: must be above train.warmup_epochs (1) and below train.epochs (1); give "
            "others, train longer, or lower train.warmup_epochs",
        ),
        (("--rungs", "2"), "--rungs: (2,): nothing is stopped without a rule"),
        (("--stopped-as", "pruned"), "nothing is stopped without a rule"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    run: Run, space_file: Path, shapes_folder: Path, tmp_path: Path,
    arguments: tuple[str, ...], expected: str,
) -> None:  # fmt: skip
    code, text = run(
        "search", "--data", shapes_folder, "--space", space_file, "--out", tmp_path / "study",
        *arguments,
    )  # fmt: skip
    assert code == 2
    assert expected in text
    assert not (tmp_path / "study").exists()


def test_a_resumed_study_keeps_its_ways_to_end_trials(run: Run, tmp_path: Path) -> None:
    for option in (("--gate",), ("--halving",), ("--stopped-as", "pruned")):
        code, text = run("search", "--resume", tmp_path, *option)
        assert code == 2
        assert f"{option[0]} was set when the study began" in text


def test_a_study_that_waits_draws_nothing_until_something_becomes_known(
    settings: StudySettings, tmp_path: Path
) -> None:
    space = Space.restore(settings.space).fix("compress.pruning.kind", "none")
    for path, value in (
        ("detector.input_size", 64),
        ("detector.head.multibox.priors.scaled.cells", 2.0),
        ("train.copy_paste.copies", 0),
    ):
        space = space.fix(path, value)
    assert space.size() == 2
    with open_study(tmp_path, altered(settings, space=space.dump())) as study:
        running = [study.propose(), study.propose()]
        assert study.propose() is None
        drawn = len(told(tmp_path))
        assert drawn > 100
        assert study.waits
        assert study.propose() is None
        assert len(told(tmp_path)) == drawn
        assert play(study, running[0])
        assert study.propose() is None
        assert len(told(tmp_path)) > drawn
