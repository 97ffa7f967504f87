from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from detectors.detector import Detector
from detectors.training.averaging import Average, decay_at


def test_the_decay_rises_to_its_value() -> None:
    assert decay_at(0, 0.9998) == 0
    assert decay_at(2000, 0.9998) == pytest.approx(0.9998 * (1 - 1 / math.e))
    assert decay_at(100_000, 0.9998) == pytest.approx(0.9998)


def test_weights_and_statistics_are_averaged(make_detector: Callable[..., Detector]) -> None:
    detector = make_detector()
    averaged = Average(detector, decay=0.5)
    for value in (1.0, 2.0, 4.0):
        with torch.no_grad():
            for tensor in detector.state_dict().values():
                tensor.fill_(value)
        averaged.update()
    first, second = (0.5 * (1 - math.exp(-step / 2000)) for step in (1, 2))
    expected = second * (first * 1 + (1 - first) * 2) + (1 - second) * 4
    state = averaged.module.state_dict()
    for name, tensor in state.items():
        # Counts of batches are the latest; weights, means and variances are averages.
        value = expected if tensor.is_floating_point() else 4
        assert torch.allclose(tensor, torch.full_like(tensor, value)), name
    assert {tensor.is_floating_point() for tensor in state.values()} == {True, False}


def test_the_average_is_not_part_of_the_detector(make_detector: Callable[..., Detector]) -> None:
    detector = make_detector()
    before = detector.state_dict()["head.boxes.0.weight"].clone()
    averaged = Average(detector, decay=0.9)
    with torch.no_grad():
        averaged.module.head.boxes[0].weight.zero_()
    assert torch.equal(detector.head.boxes[0].weight, before)
