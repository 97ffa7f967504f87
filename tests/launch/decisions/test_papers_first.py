"""Papers' systems first: at most a third of a search, spread over the published front."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from launch.decisions.budget import Budget, Means, Spent
from launch.decisions.papers_first import Candidate, has_room, in_order, published
from launch.study import first_trials
from launch.study.first_trials import FirstTrials
from launch.study.opening import open_study
from searchspace import Published, TrialConfig, load_space, papers
from searchspace.papers import PaperSystem
from tests.launch.made_up import result, settings_for

COCO, VOC = ("ap_small", 80), ("voc_map", 20)


@pytest.mark.parametrize(
    ("trials", "spent", "run", "expected"),
    [
        (8, 0.0, 0, True), (8, 0.25, 1, True), (8, 0.2, 2, False),
        (20, 0.3, 5, True), (20, 0.3, 6, False),
        (99, 0.33, 32, True), (99, 0.33, 33, False), (2, 0.0, 0, False),
        (100, 0.34, 0, False), (9, 3 / 9, 2, True), (1_000_000, 0.5, 3, False),
    ],
)  # fmt: skip
def test_they_take_a_third_of_the_trials_or_of_the_budget(
    trials: int, spent: float, run: int, expected: bool
) -> None:
    assert has_room(trials, spent, run) == expected


def test_the_front_of_each_scale_comes_first_and_is_spread_by_cost() -> None:
    candidates = [
        Candidate(2, {COCO: 0.02}),
        Candidate(9, {COCO: 0.06}),
        Candidate(10, {COCO: 0.07}),
        Candidate(11, {COCO: 0.05}),  # dominated
        Candidate(100, {COCO: 0.08}),
        Candidate(12, {}),
        Candidate(30, {VOC: 0.7}),  # of another scale, where it is the cheapest
        Candidate(40, {VOC: 0.6}),  # dominated by the one before
        Candidate(41, {COCO: 0.01, VOC: 0.8}),  # on VOC's front, but compared on COCO
    ]
    order = in_order(candidates, stock=1)
    assert order[:3] == [4, 2, 6]
    assert sorted(order[:5]) == [0, 1, 2, 4, 6]
    assert order[-1] == 5
    assert sorted(order) == list(range(9))
    # More room means more of the same order; nothing depends on the order of the list.
    costs = [candidates[i].macs for i in order]
    backwards = candidates[::-1]
    assert [backwards[i].macs for i in in_order(backwards, stock=1)] == costs
    assert in_order([], stock=1) == []


def test_figures_count_among_systems_of_as_many_classes() -> None:
    def of(classes: int, **figures: float) -> PaperSystem:
        trial = TrialConfig().changed(detector={"num_classes": classes})
        return PaperSystem(trial, Published("a paper", **figures))

    assert published([of(20, voc_map=0.7)]) == {VOC: 0.7}
    both = published([of(80, ap=0.2), of(2, ap_small=0.17), of(80, ap=0.3)])
    assert list(both.items()) == [(("ap_small", 2), 0.17), (("ap", 80), 0.2)]
    assert published([of(80, fps=10.0)]) == {}
    assert published([papers["fssd300"]])["ap_small", 20] == 0.087


def planned(space: str, trials: int) -> list[tuple[TrialConfig | None, str]]:
    """The configurations and origins of a search of so many trials, None for a draw."""
    first, tried, found = FirstTrials(load_space(space), with_papers=True), {}, []
    for number in range(trials):
        config, origin = first.next(tried, Means(trials, number / trials)) or (None, "sampler")
        tried[config.digest() if config else number] = SimpleNamespace(origin=origin)
        found.append((config, origin))
    return found


def cheap(config: TrialConfig) -> float:
    """A cost that takes no time to compute."""
    return sum(level.cells * level.channels for level in config.detector.levels())


@pytest.mark.parametrize(
    ("space", "counts"),
    [("quick", (2, 5, 5)), ("mobile", (2, 6, 13)), ("papers", (2, 6, 33)), ("full", (2, 6, 33))],
)
def test_the_sampler_draws_after_a_third(
    space: str, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_trials, "_macs", cheap)
    longest: list[TrialConfig | None] = []
    for trials, count in zip((100, 20, 8), counts[::-1], strict=True):
        found = planned(space, trials)
        origins = [origin for _, origin in found]
        rest = trials - 1 - count
        assert origins == ["baseline", *["paper"] * count, *["sampler"] * rest]
        configs = [config for config, _ in found[: 1 + count]]
        assert len(set(configs)) == len(configs)
        longest = longest or configs
        assert configs == longest[: len(configs)]


def test_of_the_readings_of_a_system_one_stands_for_it() -> None:
    systems = load_space("papers").systems()
    names = [name for names in systems.values() for name in names]
    assert {"mdssd300", "mdssd512"} < set(names)
    assert not [name for name in names if "_reading" in name]
    # Where a space lacks the main one, another stands for it.
    only = load_space("papers").fix("detector.neck.ssd.deconvolution.pairs.transposed", "rising")
    assert [name for name in only.papers() if name.startswith("mdssd300")] == ["mdssd300_readingC"]


@pytest.mark.parametrize(
    ("hours", "systems"),
    [
        (2.0, [(0,), (6,), (4,)]),  # 2,400 s for papers' systems
        (0.3, [(6,)]),  # 360 s: the first in order does not fit, the second does
        (0.02, []),
    ],
)
def test_a_third_of_the_time_and_the_same_after_resuming(
    tmp_path: Path, hours: float, systems: list[tuple[int, ...]]
) -> None:
    settings = settings_for(load_space("quick"), trials=20, device_hours=hours, sampler="random")
    proposed, cost, ended = [], first_trials._macs, []
    for until in (2, 3, 5):  # stopped and resumed
        with open_study(tmp_path, None if proposed else settings) as study:
            while len(proposed) < until and (record := study.propose()):
                proposed.append(record)
                seconds = 100 * cost(record.config) / cost(proposed[0].config)
                study.end(record.number, result(record, seconds=seconds))
                ended.append(seconds)
    assert [record.origin == "baseline" for record in proposed] == [
        True,
        *[False] * (len(ended) - 1),
    ]
    papers = [place for place, record in enumerate(proposed) if record.origin == "paper"]
    assert papers == list(range(1, 1 + len(papers)))
    assert sum(ended[place] for place in papers) <= 1200 * hours
    found = [proposed[place].config.detector.backbone.eliminated_strides for place in papers]
    assert found[: len(systems)] == systems


def test_systems_that_still_run_count_with_what_they_are_expected_to_take(tmp_path: Path) -> None:
    settings = settings_for(load_space("quick"), trials=20, device_hours=0.62, sampler="random")
    with open_study(tmp_path, settings) as study:
        study.workers = 2
        baseline, first = study.propose(), study.propose()
        study.end(baseline.number, result(baseline, seconds=100))
        origins = [study.propose().origin for _ in range(3)]
    # 744 s are a third: the first, which runs, is expected to take 100, and S1L0 400. That leaves
    # too little for S1L4 and S1L6, but enough for one with an early tap, 130.
    assert [first.origin, *origins] == ["paper", "paper", "paper", "sampler"]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(None, "in order"), (10.0, "the cheapest first")],
)
def test_while_the_pace_is_not_known_the_cheapest_of_a_limited_time_come_first(
    hours: float | None, expected: str, tmp_path: Path
) -> None:
    """All begin before any has ended, as on many workers: the same systems, in another order."""
    space = load_space("quick")
    settings = settings_for(space, trials=9, device_hours=hours, sampler="random")
    with open_study(tmp_path, settings) as study:
        study.workers = 9
        records = [study.propose() for _ in range(5)]
    assert [r.origin for r in records] == ["baseline", *["paper"] * 3, "sampler"]
    found = [record.config for record in records[1:4]]
    in_order = [config for config, origin in planned("quick", 9) if origin == "paper"]
    costs = sorted(in_order, key=first_trials._macs)
    assert in_order != costs
    assert found == (in_order if expected == "in order" else costs)


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        (Budget(20), None),
        (Budget(20, minutes=2), 480.0),
        (Budget(20, device_hours=1), 3600.0),
        (Budget(20, minutes=2, device_hours=0.1), 360.0),
    ],
)
def test_device_time_in_all_is_that_of_all_workers(budget: Budget, seconds: float | None) -> None:
    spent = Spent(proposed=4, running=0, elapsed=0.0, device=0.0, finished=(), workers=4)
    means = Means.of(budget, spent)
    assert (means.trials, means.seconds) == (20, seconds)
    assert means.spent == pytest.approx(0.2)
