from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress import planned_detector, predict_cost, prune, targets
from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from detectors.timing.store import SpeedStore
from searchspace import TrialConfig
from searchspace.backbones import MobileNetV1
from searchspace.compression import CompressConfig, ImportancePruning, Slimming
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.measuring import MeasureConfig
from searchspace.priors import ScaledPriors

CPU = torch.device("cpu")
DETECTOR = DetectorConfig(
    input_size=64,
    num_classes=4,
    width=0.25,
    backbone=MobileNetV1(),
    head=Multibox(priors=ScaledPriors()),
)
QUICK = MeasureConfig(runtime="eager", runs=1, passes=1)


def trial(pruning: Slimming | ImportancePruning | None = None) -> TrialConfig:
    compress = CompressConfig() if pruning is None else CompressConfig(pruning=pruning)
    return TrialConfig(detector=DETECTOR, compress=compress, measure=QUICK)


def unmeasured(*_: object) -> Cost:
    raise AssertionError("nothing is to be measured")


def widths(detector: Detector) -> dict[str, int]:
    convolutions = (
        (name, m) for name, m in detector.named_modules() if isinstance(m, torch.nn.Conv2d)
    )
    return {name: layer.out_channels for name, layer in convolutions}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.timing.turns.MOST_CALLS", 11)


@pytest.mark.parametrize(
    "pruning",
    [
        Slimming(ratio=0.5),
        ImportancePruning(ratio=0.5, criterion="taylor", steps=4),
        Slimming(ratio=0.5, round_to=8),
    ],
    ids=["slimming", "importance", "rounded"],
)
def test_every_layer_loses_the_planned_share(pruning: Slimming | ImportancePruning) -> None:
    whole, planned = (
        widths(Detector(DETECTOR)),
        widths(planned_detector(trial(pruning), unmeasured)),
    )
    body = [name for name in whole if not name.startswith("head")]
    shares = {name: planned[name] / whole[name] for name in body if whole[name] >= 64}
    assert len(shares) > 10
    assert all(share == pytest.approx(0.5, abs=0.07) for share in shares.values())
    assert all(planned[name] >= min(8, whole[name]) for name in body)
    assert {n: planned[n] for n in whole if n not in body} == {
        n: whole[n] for n in whole if n not in body
    }


@pytest.mark.slow
def test_a_share_of_the_computation_is_met() -> None:
    config = trial(ImportancePruning(ratio=0.4, target="macs"))
    planned = planned_detector(config, unmeasured)
    assert count_macs(planned) / count_macs(Detector(DETECTOR)) == pytest.approx(0.6, abs=0.01)


def test_an_unpruned_trial_is_planned_whole() -> None:
    assert widths(planned_detector(trial(), unmeasured)) == widths(Detector(DETECTOR))


def measured(detector: Detector, how: MeasureConfig) -> Cost:
    return measure(detector, how, CPU)


def test_planning_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    planned_detector(trial(Slimming(ratio=0.3)), unmeasured)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_prediction_is_the_cost_of_the_planned_detector() -> None:
    config = trial(Slimming(ratio=0.5))
    cost, planned = predict_cost(config, measured), planned_detector(config, unmeasured)
    assert (cost.params, cost.macs) == (count_params(planned), count_macs(planned))
    assert cost.fps > 0
    assert cost.candidates == QUICK.candidates


def test_a_share_of_the_latency_is_sought_by_measuring() -> None:
    passes = []

    def by_macs(detector: Detector, how: MeasureConfig) -> Cost:
        passes.append(how.passes)
        seconds = count_macs(detector) / 1e9
        figures = {"spread": 0, "params": 1, "macs": 1, "device": "x", "threads": 1}
        return Cost(fps=1 / seconds, latency_ms=1000 * seconds, **figures)

    config = trial(ImportancePruning(ratio=0.4, target="latency"))
    config = config.model_copy(update={"measure": MeasureConfig(passes=15)})
    cost = predict_cost(config, by_macs)
    whole = count_macs(Detector(DETECTOR)) / 1e9
    assert cost.latency_ms == pytest.approx(600 * whole, rel=0.02)
    assert passes[-1] == 15
    assert set(passes[:-1]) == {targets.BRIEF_PASSES}


def test_the_speed_of_an_unpruned_trial_is_known_when_it_has_been_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detectors.timing.measure.doubt", lambda *_: None)
    store = SpeedStore(tmp_path / "speeds")
    predicted = predict_cost(trial(), lambda d, how: measure(d, how, CPU, store=store))
    torch.manual_seed(7)
    trained = Detector(DETECTOR, classes=("a", "b", "c", "d"))
    assert measure(trained, QUICK, CPU, torch.rand(3, 3, 64, 64), store) == predicted


def test_a_detector_that_cannot_be_pruned_is_not_predicted() -> None:
    with pytest.raises(ValueError, match="nothing can be pruned in this detector"):
        predict_cost(trial(Slimming(ratio=0.5, floor=1.0)), measured)


@pytest.mark.slow
def test_evenly_pruned_detectors_have_the_size_of_those_pruned_at_random() -> None:
    """Where no layer's channels are worth more than another's, the prediction is near."""
    config = trial(Slimming(ratio=0.5))
    torch.manual_seed(0)
    random = Detector(DETECTOR)
    for norm in random.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight, 0.1, 1.0)
    prune(random, config.compress.pruning)
    planned = planned_detector(config, unmeasured)
    assert count_macs(planned) == pytest.approx(count_macs(random), rel=0.2)
