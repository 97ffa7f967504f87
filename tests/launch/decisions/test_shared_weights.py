"""What shared weights cost, how far they are trusted, and what they propose."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.constraints import Constraint
from launch.decisions.shared_weights import (
    FEWEST,
    MOST,
    Guide,
    Trust,
    is_turn_of_scores,
    rank_correlation,
    scope,
)
from launch.files import SHARED_JSON
from launch.searches.shared_weights import designs_of, shared_in_words
from launch.study.opening import open_study
from launch.study.settings import StudySettings
from launch.study.study import Study
from launch.trial.shared_scores import SharedScore, SharedScores
from searchspace import Space
from searchspace.reading import Unreadable
from tests.launch.made_up import metrics, result, settings_for

BOTH = ("ap_small", "fps")


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=12, papers=False, sampler="random", seed=3)


@pytest.fixture
def scores(space: Space, settings: StudySettings) -> SharedScores:
    """Made-up scores of all eight detectors of the space: the later, the better and the dearer,
    but for the last, which is the worst."""
    designs = list(designs_of(space, settings))
    made = [
        SharedScore(config=config, metrics=metrics(0.1 * k), params=1000 * (8 - k), macs=100 + k)
        for k, config in enumerate(designs, start=1)
    ]
    worst = made[-1].model_copy(update={"metrics": metrics(0.0)})
    return SharedScores(
        scores=(*made[:-1], worst), steps=100, drawn=len(designs), training=90, scoring=30
    )


def test_designs_are_drawn_once_each_the_baseline_first(
    space: Space, settings: StudySettings
) -> None:
    designs = list(designs_of(space, settings))
    assert designs[0] == space.baseline()
    assert len({d.detector for d in designs}) == len(designs) == 8
    assert all(space.holds(design) for design in designs)


def test_the_share_is_one_of_trials_and_of_time() -> None:
    size = scope(0.1, trials=20, steps=1000, validation=30, seconds=3600)
    # 2,000 steps of the 20,000: three quarters of them for training, at 1.25 each.
    assert (size.steps, size.designs) == (1200, 50)
    assert (size.training, size.scoring) == (270, 90)
    endless = scope(0.1, trials=20, steps=1000, validation=30, seconds=None)
    assert (endless.training, endless.scoring) == (None, None)
    assert scope(0.1, 1, 10, 30, None).designs == FEWEST
    assert scope(0.5, 1000, 10_000, 1, None).designs == MOST


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([(0.1, 1), (0.2, 2), (0.3, 3)], 1.0),
        ([(0.1, 3), (0.2, 2), (0.3, 1)], -1.0),
        ([(0, 1), (0, 2), (1, 3), (1, 4)], 0.894427),
        ([(0.1, 1), (0.2, 2)], None),
        ([(0.1, 1), (0.1, 2), (0.1, 3)], None),
    ],
)
def test_the_rank_correlation_is_spearmans(
    pairs: list[tuple[float, float]], found: float | None
) -> None:
    assert rank_correlation(pairs) == (None if found is None else pytest.approx(found, abs=1e-6))


def test_trust_follows_the_correlation() -> None:
    rising = [(k / 10, k / 20) for k in range(8)]
    assert Trust.by([]) == Trust(0, None, 0.6)
    assert Trust.by(rising).weight == pytest.approx((0.6 * 4 + 8) / 12)
    assert Trust.by([(x, -y) for x, y in rising]).weight == 0


def test_scores_replace_the_first_random_draws_and_take_a_share_of_the_later_ones() -> None:
    def turns(weight: float) -> str:
        shared = drawn = 0
        found = ""
        for _ in range(16):
            ours = is_turn_of_scores(weight, shared, drawn, startup=4)
            shared, drawn = shared + ours, drawn + (not ours)
            found += "x" if ours else "."
        return found

    assert turns(1.0) == "xxxx.x.x.x.x.x.x"
    assert turns(0.5) == "xxxx.x...x...x.."
    assert turns(0.0) == "." * 16


def test_designs_come_front_by_front_spread_over_the_costs(scores: SharedScores) -> None:
    ordered = Guide(scores, BOTH, (), stock=100).order
    assert [s.macs for s in ordered] == [107, 103, 105, 101, 102, 104, 106, 108]
    of_ap_alone = Guide(scores, ("ap_small",), (), stock=100).order
    assert of_ap_alone[0].macs == 107


def test_bounds_on_known_costs_are_kept(scores: SharedScores) -> None:
    bound = Constraint(figure="macs", sense="max", bound=104)
    kept = Guide(scores, BOTH, (bound,), stock=100).order
    assert sorted(s.macs for s in kept) == [101, 102, 103, 104]


def finish(study: Study, trials: int, sign: int) -> None:
    """Trials whose AP_small is that of the score, or the opposite."""
    assert study.shared_scores is not None
    known = {s.config.detector: s.metrics.ap_small or 0.0 for s in study.shared_scores.scores}
    for _ in range(trials):
        record = study.propose()
        assert record is not None
        score = known[record.as_drawn.detector]
        study.end(record.number, result(record, ap_small=0.5 + sign * score / 2))


def test_a_study_runs_what_the_scores_propose_and_keeps_them(
    settings: StudySettings, scores: SharedScores, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        study.guide_by(scores)
        assert study._spent().device == 120
        finish(study, 3, sign=1)
    with open_study(tmp_path) as study:
        assert study.shared_scores == scores
        finish(study, 4, sign=1)
        records = study.records
    # All seven detectors besides the baseline's, before any is drawn twice.
    assert [r.origin for r in records] == ["baseline"] + ["shared"] * 6
    assert len({r.as_drawn.detector for r in records}) == 7
    words = shared_in_words(settings, scores, records, study.space)
    assert "100 steps of one network for 8 designs in 1 min 30 s, 8 of them scored in 30 s" in words
    assert "AP_small of 7 finished trials: 1.00" in words
    assert words.endswith("they proposed 6 of 7 trials")


def test_scores_that_are_wrong_propose_nothing_more(
    settings: StudySettings, scores: SharedScores, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        study.guide_by(scores)
        finish(study, 12, sign=-1)
        origins = [r.origin for r in study.records]
        words = shared_in_words(settings, scores, study.records, study.space)
    assert 2 <= origins.count("shared") <= 5
    assert "sampler" in origins
    assert "too low to go by them any longer" in words


def test_damaged_scores_are_named_with_the_fix(
    settings: StudySettings, scores: SharedScores, tmp_path: Path
) -> None:
    with open_study(tmp_path, settings) as study:
        study.guide_by(scores)
    (tmp_path / SHARED_JSON).write_text("{")
    with pytest.raises(Unreadable, match=f"{SHARED_JSON}.*remove it"), open_study(tmp_path):
        pass
