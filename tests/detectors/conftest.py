from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.data.coco import CocoSplit, DataSource, read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.heads import Multibox, ScaledPriors

MakeDetector = Callable[..., Detector]


@pytest.fixture(scope="session")
def make_detector() -> MakeDetector:
    """A narrow detector of small inputs; keywords replace fields of its configuration."""

    def make(seed: int = 0, strides: tuple[int, ...] = (), **changes: object) -> Detector:
        fields = {
            "input_size": 64,
            "num_classes": 4,
            "width": 0.25,
            "backbone": MobileNetV1(eliminated_strides=strides),
            "head": Multibox(priors=ScaledPriors()),
        }
        torch.manual_seed(seed)
        return Detector(DetectorConfig(**(fields | changes)))

    return make


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[CocoSplit, CocoSplit]:
    """Eight training and six validation images of generated shapes, 96 pixels a side."""
    config = ShapesConfig(train_images=8, val_images=6, size=96, seed=1)
    folder: Path = generate_shapes(tmp_path_factory.mktemp("shapes") / "set", config)
    return read_source(DataSource.from_folder(folder))


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's locks of this test alone, whatever else the machine computes."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
