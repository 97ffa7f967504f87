from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from detectors.timing import blocks, turns
from detectors.timing.blocks import take_turns, warm_up

CPU = torch.device("cpu")


class Clock:
    """Time that only calls spend."""

    def __init__(self) -> None:
        self.now = 0.0

    def call(self, seconds: Iterator[float]) -> Callable[[], None]:
        def spend() -> None:
            self.now += next(seconds)

        return spend


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(blocks.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(turns.time, "monotonic", lambda: clock.now)
    return clock


def falling(start: float, end: float, calls: int) -> Iterator[float]:
    """Latencies that fall geometrically over some calls, and then stay."""
    for k in range(calls):
        yield start * (end / start) ** (k / calls)
    while True:
        yield end


def test_a_warm_up_ends_when_the_latency_has_settled(clock: Clock) -> None:
    warm = warm_up(clock.call(falling(0.1, 0.01, 30)), CPU)
    assert warm.settled
    assert 30 < warm.calls < 60
    assert warm.seconds == pytest.approx(0.01, rel=0.05)


def test_a_steady_call_is_warm_after_two_windows(clock: Clock) -> None:
    warm = warm_up(clock.call(falling(0.1, 0.1, 0)), CPU)
    assert (warm.calls, warm.settled) == (1 + 2 * turns.WINDOW, True)


def test_the_first_call_may_take_as_long_as_it_likes(clock: Clock) -> None:
    compiled = iter([60.0, *[0.1] * 100])
    warm = warm_up(clock.call(compiled), CPU)
    assert warm.settled
    assert warm.seconds == pytest.approx(0.1)


@pytest.fixture(autouse=True)
def own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of warm-up calls that is shipped, whatever other tests of this process have set."""
    monkeypatch.setattr(turns, "MOST_CALLS", 100)


@pytest.mark.parametrize(
    ("limit", "value", "most"), [("MOST_CALLS", 50, 55), ("MOST_SECONDS", 3.0, 25)]
)
def test_a_warm_up_that_never_settles_is_bounded_and_says_so(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, most: int
) -> None:
    monkeypatch.setattr(turns, limit, value)
    warm = warm_up(clock.call(iter(0.1 * 1.05**k for k in range(10_000))), CPU)
    assert not warm.settled
    assert 11 <= warm.calls <= most


def test_a_slow_call_has_two_windows_to_settle_in(clock: Clock) -> None:
    warm = warm_up(clock.call(falling(5.0, 5.0, 0)), CPU)
    assert (warm.calls, warm.settled) == (1 + 2 * turns.WINDOW, True)


def test_calls_take_turns_block_by_block() -> None:
    order = []
    seconds = take_turns(
        [(lambda: order.append("a"), 2), (lambda: order.append("b"), 1)], passes=3, device=CPU
    )
    assert "".join(order) == "aabaabaab"
    assert [[len(block) for block in of_call] for of_call in seconds] == [[2] * 3, [1] * 3]
    assert all(second >= 0 for of_call in seconds for block in of_call for second in block)
