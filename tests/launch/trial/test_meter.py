from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.data.loader import evaluation_batches
from detectors.detector import Detector
from detectors.runtimes import Deployed, RuntimeUnavailable
from detectors.timing.measure import hardware_name
from launch.trial import meter
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from searchspace import TrialConfig

CPU = torch.device("cpu")


@pytest.fixture
def local(shapes: TrialData, tmp_path: Path) -> LocalMeter:
    return LocalMeter(shapes, CPU, tmp_path / "speeds")


@pytest.fixture
def detector(tiny: TrialConfig, shapes: TrialData) -> Detector:
    torch.manual_seed(0)
    return Detector(tiny.detector, shapes.classes)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Deployed, Tensor]]:
    """Every form that is made, with the images that it was calibrated on."""
    made, deploy_as = [], meter.deploy_as

    def noted(config: object, detector: Detector, device: torch.device, images: Tensor) -> Deployed:
        form = deploy_as(config, detector, device, images)
        made.append((form, images))
        return form

    monkeypatch.setattr(meter, "deploy_as", noted)
    return made


def test_it_measures_on_the_hardware_that_it_names(local: LocalMeter) -> None:
    assert local.hardware == hardware_name(CPU)


def test_accuracy_is_of_a_form_that_is_given_back(
    local: LocalMeter, detector: Detector, tiny: TrialConfig, deployed: list
) -> None:
    assert local.evaluate(detector, tiny.measure).small_objects > 0
    ((form, images),) = deployed
    assert (form.form, images) == (("eager", "float32"), None)
    with pytest.raises(RuntimeError, match="closed"):
        form.network(torch.zeros(1, 3, 64, 64))


def test_eight_bits_are_calibrated_on_images_from_all_over_the_training_split(
    local: LocalMeter, detector: Detector, tiny: TrialConfig, deployed: list
) -> None:
    local.evaluate(detector, tiny.measure, calibration=4)
    ((_, images),) = deployed
    train = next(evaluation_batches(local.data.train, 64, len(local.data.train.images)))[1]
    assert torch.equal(images, train[:: len(train) // 4].float() / 255)


def test_speeds_are_shared_through_their_folder(
    local: LocalMeter,
    detector: Detector,
    tiny: TrialConfig,
    shapes: TrialData,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detectors.timing.measure.doubt", lambda *_: None)
    cost = local.measure(detector, tiny.measure)
    another = LocalMeter(shapes, CPU, local.speeds)
    torch.manual_seed(1)
    assert another.measure(Detector(tiny.detector), tiny.measure) == cost


def test_an_unavailable_form_is_rejected(
    local: LocalMeter, detector: Detector, tiny: TrialConfig
) -> None:
    config = tiny.measure.model_copy(update={"runtime": "cudagraphs"})
    for ask in (local.evaluate, local.measure):
        with pytest.raises(RuntimeUnavailable, match="cudagraphs"):
            ask(detector, config)
