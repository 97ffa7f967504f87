"""The memory of a training, known before it starts, against what it takes."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from detectors.detector import Detector
from detectors.training.memory import Terms, no_terms, take_steps, training_memory
from searchspace import DetectorConfig, TrainConfig, papers
from searchspace.augmentation import MultiScale
from tests.contracts.systems import EVEN, narrow

RECIPE = TrainConfig(batch_size=8, precision="float32", optimizer="adamw")


def config(name: str, width: float = 0.25) -> DetectorConfig:
    return narrow(papers[name].trial.detector, EVEN, width)


def taken(
    detector: DetectorConfig, recipe: TrainConfig, device: torch.device, terms: Terms = no_terms
) -> int:
    """The peak of PyTorch's allocations in two steps, as its allocator or profiler counts them."""

    def train() -> None:
        take_steps(lambda config: Detector(config).to(device), detector, recipe, terms)

    if device.type == "cuda":
        train()  # libraries keep what they allocate once
        torch.cuda.reset_peak_memory_stats(device)
        train()
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        train()
    events = (e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]")
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


CASES = {
    "mobilenet": ("ssdmnetv1_s1l0", {"ema": 0.9, "optimizer": "sgd"}),
    "vgg": ("ssd300_vgg16", {}),
    "vgg in parts": ("ssd300_vgg16", {"accumulate": 4}),
    "yolox": ("yolox_tiny", {"ema": 0.9}),
    "gfl": ("gfl_r50", {}),
}


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=[pytest.mark.slow] * (n != "mobilenet")) for n in CASES]
)
def test_the_memory_is_known_within_15_percent(case: str, device: torch.device) -> None:
    name, fields = CASES[case]
    detector, recipe = config(name), RECIPE.changed(**fields)
    torch.manual_seed(0)
    measured = taken(detector, recipe, device)
    assert training_memory(detector, recipe, device) == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
def test_what_the_memory_depends_on() -> None:
    """Parts and half precision lower it; further sizes raise it to that of the largest."""
    detector, cpu = config("ssdmnetv1_s1l0", 0.125), torch.device("cpu")
    whole, smaller, larger = (
        training_memory(detector.changed(input_size=96), RECIPE.changed(**fields), cpu)
        for fields in (
            {},
            {"accumulate": 4, "precision": "bfloat16"},
            {"multi_scale": MultiScale(largest=1.4)},
        )
    )
    assert smaller < 0.4 * whole
    assert larger > 1.3 * whole
