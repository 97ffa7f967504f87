"""What a device computes, against the CPU in float32."""

from __future__ import annotations

import pytest
import torch

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.runtimes import available
from detectors.timing.measure import measure
from detectors.training.run import Run
from searchspace import TrainConfig, papers
from searchspace.measuring import MeasureConfig
from tests.contracts.systems import EVEN, narrow

CPU = torch.device("cpu")
FAMILIES = ("ssdmnetv1_s1l0", "yolox_tiny", "gfl_r50")


def losses_of(name: str, split: Dataset, device: torch.device, precision: str) -> dict[str, float]:
    """The losses of a first step, on the same batch wherever it is computed."""
    torch.manual_seed(0)
    config = narrow(papers[name].trial.detector, EVEN, num_classes=4)
    recipe = TrainConfig(batch_size=4, precision=precision, tf32=False)
    loader = TrainingLoader(split, recipe, config.canvas, seed=0)
    run = Run(Detector(config).to(device), loader, recipe)
    losses, norm = run.step(next(iter(loader.epoch(0))), plain=True)
    return {name: value.item() for name, value in (*losses.items(), ("gradient", norm))}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_is_the_one_of_the_cpu(
    name: str, device: torch.device, shapes: tuple[Dataset, Dataset]
) -> None:
    here, there, half = (
        losses_of(name, shapes[0], where, precision)
        for where, precision in ((CPU, "float32"), (device, "float32"), (device, "bfloat16"))
    )
    assert there == pytest.approx(here, rel=1e-2)
    del here["gradient"], half["gradient"]  # a sum of squares, which rounding moves far
    assert half == pytest.approx(here, rel=0.15)
    assert half != there


def test_an_evaluation_is_the_one_of_the_cpu(
    device: torch.device, shapes: tuple[Dataset, Dataset]
) -> None:
    torch.manual_seed(0)
    config = narrow(papers["ssdmnetv1_s1l0"].trial.detector, EVEN, num_classes=4)
    detector, found = Detector(config).eval(), []
    for where in (CPU, device):
        found.append(evaluate(detector.to(where), shapes[1], where))
    here, there = (metrics.model_dump() for metrics in found)
    assert there["ap"] == pytest.approx(here["ap"], abs=1e-3)
    assert there["ap_small"] == pytest.approx(here["ap_small"], abs=1e-3)


@pytest.mark.slow
def test_every_form_of_a_device_is_measured(
    device: torch.device, shapes: tuple[Dataset, Dataset]
) -> None:
    torch.manual_seed(0)
    config = narrow(papers["ssdmnetv1_s1l0"].trial.detector, EVEN, num_classes=4)
    detector = Detector(config).eval().to(device)
    # A detector in int8 is quantised before it is measured.
    found = [form for form, why in available(device).items() if why is None]
    forms = [form for form in found if form.precision != "int8"]
    assert len(forms) > 1
    for form in forms:
        settings = MeasureConfig(runtime=form.runtime, precision=form.precision, seconds=0.5)
        cost = measure(detector, settings, device)
        assert (cost.runtime, cost.precision) == (form.runtime, form.precision)
        assert cost.fps > 0
