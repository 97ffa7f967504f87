from __future__ import annotations

import itertools
import math
import random

import pytest
import torch

from detectors.timing import paired
from detectors.timing.paired import Paired, Subject, time_together
from detectors.timing.turns import LEAST_PASSES, Effort

CPU = torch.device("cpu")


def blocks_of(latency: float, machine: list[float], runs: int = 4) -> list[list[float]]:
    """Blocks of a call on a machine that is slowed by these factors, pass by pass."""
    draw = random.Random(latency)
    return [[latency * slow * draw.uniform(0.99, 1.01) for _ in range(runs)] for slow in machine]


def test_a_machine_that_drifts_cancels_out() -> None:
    drift = [1 + 0.1 * k for k in range(16)]
    behind = [1 + 0.1 * (k + 0.99) for k in range(15)]
    middle = [(a + b) / 2 for a, b in zip(drift, behind, strict=False)]
    found = Paired.of(
        blocks_of(0.030, middle), blocks_of(0.010, drift[:15]), blocks_of(0.010, behind)
    )
    assert found.ratio == pytest.approx(3.0, rel=0.01)
    assert found.low <= found.ratio <= found.high
    assert (found.high - found.low) / found.ratio < 0.02
    assert found.spread > 1.0
    assert found.latency.p50 == pytest.approx(30 * 1.75, rel=0.05)


def test_a_share_of_a_core_cancels_out_whatever_the_length_of_a_call() -> None:
    """Who gets half a core in slices of 4 ms is held up by 4 ms after every 4 ms of work."""

    def shared(latency: float, runs: int) -> list[float]:
        work, calls = 0.0, []
        for _ in range(runs):
            held = int((work + latency) / 0.004) - int(work / 0.004)
            calls.append(latency + 0.004 * held)
            work += latency
        return calls

    reference = [shared(0.002, 60)] * 8
    found = Paired.of([shared(0.006, 20)] * 8, reference, reference)
    assert found.ratio == pytest.approx(3.0, rel=0.05)
    assert found.latency.p50 > 8


def test_few_passes_have_a_ratio_but_no_interval() -> None:
    block = [[0.1]] * (LEAST_PASSES - 1)
    found = Paired.of(block, block, block)
    assert (found.ratio, found.low, found.high) == (1.0, None, None)


@pytest.mark.parametrize(
    ("latency", "runs", "passes"),
    [
        (0.005, 20, 15),  # fast enough for all of it
        (0.05, 5, 15),  # fewer runs
        (0.5, 1, 8),  # fewer passes, of single runs
        (30.0, 1, 6),  # never fewer than an interval needs
    ],
)
def test_slow_subjects_get_fewer_runs_then_fewer_passes(
    latency: float, runs: int, passes: int
) -> None:
    assert Effort(20, 15, seconds=10.0, interval=0.03).affords(latency) == (runs, passes)


def test_asking_for_few_passes_is_heard() -> None:
    assert Effort(5, 1, seconds=10.0, interval=0.03).affords(0.001) == (5, 1)


def test_subjects_take_turns_between_blocks_of_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def call(name: str):
        return lambda *_: order.append(name)

    monkeypatch.setattr(paired, "reference_call", lambda device: (call("r"), None))
    subjects = [Subject(call("A"), call("a")), Subject(call("B"), call("b"))]
    monkeypatch.setattr(
        paired, "warm_up", lambda call, device: paired.WarmUp(11, seconds=0.01, settled=True)
    )
    timings = time_together(subjects, Effort(6, 7, seconds=100.0, interval=math.inf), CPU)
    assert "".join(order) == 7 * (
        "rrrrrr" + "AAAAAA" + "aa" + "rrrrrr" + "BBBBBB" + "bb" + "rrrrrr"
    )
    assert [t.whole.latency.calls for t in timings] == [42, 42]
    assert [t.network.latency.calls for t in timings] == [14, 14]
    assert [t.reference.calls for t in timings] == [84, 84]
    assert all(t.settled and t.warm_up_calls == 11 for t in timings)


@pytest.mark.parametrize(
    ("latencies", "interval", "passes"),
    [
        ([0.010], 0.03, 8),  # a steady machine is left at once
        ([0.010, 0.013], 0.03, 8 + 2 * LEAST_PASSES),  # a noisy one until the time is spent
        ([0.010, 0.013], 0.5, 8),
    ],
)
def test_a_wide_interval_gets_further_passes_while_the_time_lasts(
    latencies: list[float], interval: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, turns = iter(range(100)), itertools.cycle(latencies)
    monkeypatch.setattr(paired.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        paired, "warm_up", lambda call, device: paired.WarmUp(11, seconds=0.01, settled=True)
    )

    def take_turns(calls: list, passes: int, device: torch.device) -> list[list[list[float]]]:
        return [[[0.01] if i != 1 else [next(turns)] for _ in range(passes)] for i in range(4)]

    monkeypatch.setattr(paired, "take_turns", take_turns)
    subject = Subject(lambda: None, lambda: None)
    # The clock starts at 0 and advances by 1 on each call.
    (timing,) = time_together([subject], Effort(1, 8, seconds=3.0, interval=interval), CPU)
    assert timing.whole.latency.calls == passes
