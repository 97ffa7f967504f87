"""Calls that are repeated while what they need is away, by a clock that the tests set."""

from __future__ import annotations

import pytest

from detectors.patience import patiently
from tests.clock import Clock


class Away(Exception):
    pass


def away(error: Exception) -> str | None:
    return f"it is away ({error})" if isinstance(error, Away) else None


@pytest.mark.parametrize(
    ("seconds", "given", "pauses"),
    [
        (0, {}, []),
        (3, {}, [1, 2]),
        (100, {}, [1, 2, 4, 8, 16, 32, 57]),  # two minutes in all
        (20, {"longest": 5}, [1, 2, 4, 5, 5, 5]),
    ],
)
def test_a_call_is_made_again_after_growing_pauses(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    given: dict[str, float],
    pauses: list[float],
) -> None:
    def call() -> str:
        if clock.now < seconds:
            raise Away("no route")
        return "there"

    assert patiently(call, away, "s3://bucket/study", **given) == "there"
    assert clock.slept == pauses
    told = [f"s3://bucket/study: it is away (no route); trying again in {p} s" for p in pauses]
    assert caplog.messages == told


@pytest.mark.parametrize(("patience", "pauses"), [(0, []), (2.5, [1, 1.5]), (3, [1, 2])])
def test_patience_ends(clock: Clock, patience: float, pauses: list[float]) -> None:
    def call() -> None:
        raise Away

    with pytest.raises(Away):
        patiently(call, away, "it", patience)
    assert clock.slept == pauses


def test_other_errors_are_raised_at_once(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 // 0, away, "it")
    assert clock.slept == []
