"""Which rungs of pruning ladders a search runs next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from detectors.data.readers import Split
from launch.decisions.pruning_ladder import Ladder, is_time, rungs_of, trainings_saved
from launch.decisions.tally import Tally
from launch.figures import DEFAULT
from launch.records import DRAWN, Finished, TrialRecord
from launch.study.opening import open_study
from launch.study.samplers import STARTUP_TRIALS
from launch.study.settings import settings_of
from launch.trial.result import TrialResult
from searchspace import Space, TrialConfig
from searchspace.compression import CompressConfig, ImportancePruning, Slimming
from searchspace.domains import Choice, Fixed
from tests.launch.report.studies import outcome

KIND = "compress.pruning.kind"


def pruned(config: TrialConfig, ratio: float, sparsity: float = 1e-4) -> TrialConfig:
    pruning = Slimming(ratio=ratio, sparsity=sparsity, finetune_epochs=1)
    return config.changed(compress=CompressConfig(pruning=pruning))


def finished(
    number: int, config: TrialConfig, ap_small: float | None, fps: float = 50.0
) -> TrialRecord:
    """A trial whose detector scored so before it was pruned, and hardly after it."""
    compact = None if config.compress.pruning.kind == "none" else outcome(0.01, 1.0)
    result = TrialResult(
        config=config, dense=outcome(ap_small, fps), compact=compact, removed_share=0, seconds=1,
        predicted=outcome(0.1, fps).cost, trained="",
    )  # fmt: skip
    return TrialRecord(
        number=number, folder="", origin="sampler", params={}, config=config,
        ending=Finished(result=result),
    )  # fmt: skip


def running(number: int, config: TrialConfig) -> TrialRecord:
    return TrialRecord(number=number, folder="", origin="sampler", params={}, config=config)


def next_rung(
    records: Sequence[TrialRecord],
    space: Space,
    ratios: Sequence[float],
    objectives: Sequence[str] = DEFAULT,
) -> TrialConfig | None:
    tried = {record.as_drawn.digest() for record in records}
    return Ladder.of(records, space, ratios, objectives).next(tried)


def ratios(configs: tuple[TrialConfig, ...]) -> list[float]:
    return [config.compress.pruning.ratio for config in configs]


def test_rungs_differ_from_a_pruned_trial_in_their_ratio_alone(
    space: Space, tiny: TrialConfig
) -> None:
    [rung] = rungs_of(pruned(tiny, 0.5), space, (0.3,))
    assert rung == pruned(tiny, 0.3)


def test_an_unpruned_trial_is_pruned_as_the_space_prunes(space: Space, tiny: TrialConfig) -> None:
    importance, slimming = (
        rungs_of(tiny, Space("own", {**space.domains, KIND: kinds}), (0.3, 0.5))
        for kinds in (Choice("none", "slimming", "importance"), Choice("none", "slimming"))
    )
    assert [rung.compress.pruning.kind for rung in importance] == ["importance"] * 2
    assert ratios(importance) == [0.3, 0.5]
    assert slimming == (pruned(tiny, 0.3), pruned(tiny, 0.5))
    assert all(rung.detector == tiny.detector for rung in importance)


def test_the_space_must_hold_a_rung(space: Space, tiny: TrialConfig) -> None:
    slim = Space("slim", {**space.domains, KIND: Choice("none", "slimming")})
    assert ratios(rungs_of(tiny, slim, (0.3, 0.4, 0.5))) == [0.3, 0.5]
    assert ratios(rungs_of(pruned(tiny, 0.5), slim, (0.4, 0.3))) == [0.3]
    unpruned = Space("none", {**space.domains, KIND: Fixed("none")})
    assert rungs_of(tiny, unpruned, (0.3,)) == ()


@pytest.mark.parametrize(
    ("dense", "next_width"),
    [
        ([(0.2, 50)], 64),
        ([(0.2, 50), (0.3, 60)], 96),
        ([(0.2, 50), (0.2, 50)], 64),
        ([(0.2, 50), (0.1, 60)], 64),
        ([(None, 90), (0.1, 60)], 96),
        ([(None, 90)], None),
        ([(0.0, 90), (0.1, 60)], 96),
    ],
    ids=["alone", "beaten", "equal", "slower", "no score beside one", "no score", "finds nothing"],
)
def test_the_best_trained_detectors_have_ladders(
    space: Space, tiny: TrialConfig, dense: list[tuple[float | None, float]], next_width: int | None
) -> None:
    large = tiny.detector.model_copy(update={"input_size": 96})
    configs = (tiny, tiny.changed(detector=large))
    records = [
        finished(n, pruned(config, 0.5), *point)
        for n, (config, point) in enumerate(zip(configs, dense, strict=False))
    ]
    rung = next_rung(records, space, (0.3,))
    assert (rung and rung.detector.input_size) == next_width


def test_no_rung_is_run_twice_nor_while_its_detector_is_trained(
    space: Space, tiny: TrialConfig
) -> None:
    slim = Space("slim", {**space.domains, KIND: Choice("none", "slimming")})
    parent = finished(0, tiny, 0.2)
    assert next_rung([running(0, tiny)], slim, (0.3, 0.5)) is None
    first = next_rung([parent], slim, (0.3, 0.5))
    assert first == pruned(tiny, 0.3)
    # The second rung has a training in common with the first, not with the unpruned parent.
    assert next_rung([parent, running(1, first)], slim, (0.3, 0.5)) is None
    second = next_rung([parent, finished(1, first, 0.1)], slim, (0.3, 0.5))
    assert second == pruned(tiny, 0.5)
    done = [parent, finished(1, first, 0.1), running(2, second)]
    assert next_rung(done, slim, (0.3, 0.5)) is None


def test_trainings_are_saved_by_trials_that_differ_later_on(tiny: TrialConfig) -> None:
    by_norm = CompressConfig(pruning=ImportancePruning(criterion="l2"))
    configs = [
        tiny,
        pruned(tiny, 0.3),
        pruned(tiny, 0.5),
        pruned(tiny, 0.5, sparsity=1e-3),
        tiny.changed(compress=by_norm),
        tiny.changed(seed=1),
    ]
    records = [finished(n, config, 0.1) for n, config in enumerate(configs)]
    assert trainings_saved(records) == 2
    assert trainings_saved([*records[:2], running(2, configs[2])]) == 0


@pytest.mark.parametrize(
    ("draws", "spent", "expected"), [(8, 0.1, True), (7, 0.1, False), (0, 0.34, True)]
)
def test_a_ladder_waits_for_draws_or_a_third_of_the_budget(
    tiny: TrialConfig, draws: int, spent: float, expected: bool
) -> None:
    planned = [finished(n, tiny, 0.1).model_copy(update={"origin": "paper"}) for n in range(9)]
    drawn = [finished(n, tiny, 0.1) for n in range(draws)]
    ended = Tally.of([*planned, *drawn, running(99, tiny)]).count(*DRAWN, ended=True)
    assert is_time(ended, spent, STARTUP_TRIALS) == expected


def test_a_study_runs_ladder_trials_after_its_first_draws(space: Space, tmp_path: Path) -> None:
    nowhere = Split(images=Path("/nowhere"), annotations=Path("/nowhere/x.json"))
    settings = settings_of(
        space=space.dump(), train=nowhere, val=nowhere, fingerprint="f", trials=7, ladder=(0.3, 0.5)
    )
    with open_study(tmp_path, settings) as study:
        while (record := study.propose()) is not None:
            study.end(record.number, finished(0, record.config, 0.2 - record.number / 100).result)
        records = study.records
    # The baseline alone is not beaten; its importance rungs have no training of their own.
    # Three of seven trials are more than a third of the budget.
    origins = ["baseline", "paper", "paper", "ladder", "ladder", "sampler", "sampler"]
    assert [r.origin for r in records] == origins
    assert ratios(tuple(r.config for r in records[3:5])) == [0.3, 0.5]
    assert len({r.config.digest() for r in records}) == 7
