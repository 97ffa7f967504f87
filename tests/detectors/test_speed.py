from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from detectors.describe import describe
from detectors.detector import Detector
from detectors.speed import Cost, hardware_name, measure
from searchspace.measuring import MeasureConfig

CPU = torch.device("cpu")
QUICK = MeasureConfig(runs=5, passes=2, threads=1)


@pytest.fixture
def detector(make_detector: Callable[..., Detector]) -> Detector:
    return make_detector()


def test_a_measurement_is_whole_and_consistent(detector: Detector) -> None:
    cost = measure(detector, QUICK, CPU)
    described = describe(detector.config)
    assert (cost.params, cost.macs) == (described.params, described.macs)
    assert cost.fps > 0
    assert cost.latency_ms == pytest.approx(1000 / cost.fps)
    assert cost.spread >= 0
    assert cost.device == hardware_name(CPU) != ""
    assert cost.threads == 1
    assert Cost.model_validate_json(cost.model_dump_json()) == cost


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_no_trace(detector: Detector, training: bool) -> None:
    detector.train(training)
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    measure(detector, QUICK, CPU)
    assert torch.get_num_threads() == 2
    assert detector.training == training
    assert all(torch.equal(t, before[name]) for name, t in detector.state_dict().items())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.usefixtures("two_threads")
def test_threads_are_set_and_restored_when_a_measurement_fails(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError(f"with {torch.get_num_threads()} threads")

    monkeypatch.setattr(detector, "detect", fail)
    with pytest.raises(RuntimeError, match="with 1 threads"):
        measure(detector, QUICK, CPU)
    assert torch.get_num_threads() == 2


def test_given_images_are_what_is_timed(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    detect = Detector.detect
    monkeypatch.setattr(
        Detector, "detect", lambda self, x: seen.append(x.clone()) or detect(self, x)
    )
    images = torch.rand(3, 3, 64, 64)
    measure(detector, MeasureConfig(runs=6, passes=1), CPU, images)
    timed = seen[-6:]
    assert all(x.shape == (1, 3, 64, 64) for x in seen)
    assert all(torch.equal(x[0], images[k % 3]) for k, x in enumerate(timed))


def test_a_pruned_width_costs_less(make_detector: Callable[..., Detector]) -> None:
    narrow, wide = (measure(make_detector(width=w), QUICK, CPU) for w in (0.25, 0.5))
    assert narrow.params < wide.params
    assert narrow.macs < wide.macs
