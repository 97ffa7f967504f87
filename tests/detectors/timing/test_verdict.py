from __future__ import annotations

import pytest
import torch

from detectors.timing import verdict
from detectors.timing.latency import Latency
from detectors.timing.paired import Paired, Timing
from detectors.timing.state import Disturbance
from detectors.timing.verdict import doubt

CPU = torch.device("cpu")
QUIET = Disturbance(others=0.1, stolen=0.0)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict.os, "cpu_count", lambda: 4)


def timing(low: float | None = 1.99, high: float | None = 2.01, settled: bool = True) -> Timing:
    latency = Latency(p50=10, p90=11, p99=12, low=9.9, high=10.1, calls=300)
    paired = Paired(latency=latency, ratio=2.0, low=low, high=high, spread=0.1)
    return Timing(
        whole=paired,
        network=paired,
        reference=latency,
        best_ms=5.0,
        warm_up_calls=101,
        settled=settled,
    )


def test_a_quiet_machine_is_trusted() -> None:
    assert doubt(timing(), QUIET, CPU, threads=1) is None
    assert doubt(timing(), None, CPU, threads=1) is None


@pytest.mark.parametrize(
    ("seen", "disturbance", "reason"),
    [
        (timing(low=1.8, high=2.2), QUIET, "the 95% interval of the median is 20% wide"),
        (timing(low=None, high=None), QUIET, "fewer than 6 passes give no interval"),
        (timing(settled=False), QUIET, "the latency had not settled after 101 calls"),
        (timing(), Disturbance(others=3.4, stolen=0), "other processes took 3.4 of 4 cores"),
        (timing(), Disturbance(others=0, stolen=0.2), "machines took 20% of a core's time"),
    ],
)
def test_every_doubt_has_its_words(seen: Timing, disturbance: Disturbance, reason: str) -> None:
    assert reason in doubt(seen, disturbance, CPU, threads=1)


def test_doubts_add_up() -> None:
    found = doubt(timing(1.8, 2.2, settled=False), Disturbance(others=4, stolen=1), CPU, threads=1)
    assert found.count(";") == 3


def test_free_cores_are_free_for_others() -> None:
    busy = Disturbance(others=2.0, stolen=0)
    assert doubt(timing(), busy, CPU, threads=2) is None
    assert "2.0 of 4 cores" in doubt(timing(), busy, CPU, threads=3)
    assert doubt(timing(), busy, torch.device("cuda"), threads=4) is None
