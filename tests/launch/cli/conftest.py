"""What tests of commands start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.detector import Detector
from launch.trial.data import TrialData
from searchspace import TrialConfig


@pytest.fixture
def trial(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> Path:
    """A trial that is in no study, with the detector that it trained."""
    folder = tmp_path / "trial"
    Detector(tiny.detector, shapes.classes).save(folder / "dense")
    (folder / "trial.json").write_text(tiny.model_dump_json())
    return folder
