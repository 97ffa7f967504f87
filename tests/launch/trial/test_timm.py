"""A trial, and a study, on backbones of timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.runtimes import deploy
from launch.study.opening import open_study
from launch.trial.data import TrialData
from launch.trial.run import run_trial
from searchspace import CompressConfig, DetectorConfig, TrialConfig, load_space
from searchspace.backbones import Timm
from searchspace.compression import Slimming
from searchspace.heads import Multibox
from searchspace.necks.growth import Extend
from searchspace.priors import ScaledPriors
from tests.detectors.deployable import needs_extra, relative_error
from tests.documents import example
from tests.launch.conftest import TINY_SPACE
from tests.launch.made_up import result, settings_for
from tests.networks import with_statistics


def test_a_trial_goes_from_training_to_measurement(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    slim = Slimming(sparsity=1e-4, ratio=0.4, finetune_epochs=1)
    config = tiny.changed(
        detector=tiny.detector.changed(backbone=Timm(name="test_resnet")),
        train=tiny.train.changed(weights="none"),
        compress=CompressConfig(pruning=slim),
    )
    done = run_trial(config, shapes, tmp_path / "trial", device="cpu")
    assert done.compact is not None
    assert done.compact.cost.params < 0.8 * done.dense.cost.params
    assert done.compact.cost.fps > 0
    assert done.compact.metrics.ap is not None
    assert "timm test_resnet" in config.in_words()
    loaded = Detector.load(tmp_path / "trial" / "compact")
    with torch.no_grad():
        assert len(loaded([torch.rand(3, 70, 50)])) == 1


@pytest.mark.parametrize(
    ("runtime", "precision", "tolerance"),
    [
        ("eager", "float32", 1e-3),
        pytest.param("onnxruntime", "float32", 1e-3, marks=needs_extra),
        pytest.param("openvino", "float32", 1e-3, marks=needs_extra),
        pytest.param("openvino", "int8", 0.6, marks=needs_extra),
    ],
)
def test_it_is_deployed_as_others_are(runtime: str, precision: str, tolerance: float) -> None:
    torch.manual_seed(0)
    detector = with_statistics(
        Detector(
            DetectorConfig(
                input_size=96,
                num_classes=2,
                width=0.25,
                backbone=Timm(name="test_efficientnet"),
                neck=(Extend(block="conv"),),
                head=Multibox(priors=ScaledPriors()),
            )
        )
    )
    images = torch.rand(4, 3, 96, 96)
    deployed = deploy(detector, runtime, precision, torch.device("cpu"), calibration=images)
    with torch.no_grad():
        expected = detector.predict(images)
    assert relative_error(deployed.network(images), expected) < tolerance


def test_a_study_searches_two_models(tmp_path: Path) -> None:
    lines = TINY_SPACE.replace(
        "[detector.backbone.mobilenet_v1]\neliminated_strides = { choice = [[], [6]] }\n",
        "[detector.backbone]\nkind = 'timm'\n[detector.backbone.timm]\n"
        "name = { choice = ['test_resnet', 'test_efficientnet'] }\n",
    )
    file = tmp_path / "two.toml"
    file.write_text(lines)
    with open_study(tmp_path / "study", settings_for(load_space(file), trials=8)) as study:
        while (record := study.propose()) is not None:
            study.end(record.number, result(record, ap_small=record.number / 10))
        configs = [record.config for record in study.records]
    names = {config.detector.backbone.name for config in configs}
    assert names == {"test_resnet", "test_efficientnet"}
    assert len({config.digest() for config in configs}) == len(configs)


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    found: dict[str, object] = {}
    exec(compile(example("A backbone of timm"), "example", "exec"), found)
    assert found["found"].level_sizes[:3] == ((28, 28), (14, 14), (7, 7))
