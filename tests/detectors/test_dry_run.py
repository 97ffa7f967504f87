"""How often a detector is run on shapes, on which the time of a short trial depends."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from detectors import dry_run as module
from detectors.declared import check_declared
from detectors.describe import describe
from detectors.detector import Detector
from detectors.runtimes.fold import folded
from searchspace import DetectorConfig, papers
from tests.contracts.systems import EVEN, narrow


def dealt_with(config: DetectorConfig, folder: Path) -> int:
    """Do with a detector what a trial does, twice; returns the number of runs on shapes."""
    with mock.patch.object(
        module, "functional_call", side_effect=module.functional_call
    ) as counted:
        check_declared(config)
        Detector(config).save(folder)
        for _ in range(2):
            detector = Detector.load(folder)
            folded(detector)
            describe(detector)
    return counted.call_count


def test_a_trial_runs_a_detector_on_shapes_once_for_each_purpose(tmp_path: Path) -> None:
    config = narrow(papers["ssdmnetv1_s1l0"].trial.detector, EVEN, 0.125)
    assert dealt_with(config, tmp_path / "first") <= 4
    assert dealt_with(config, tmp_path / "second") == 0
    assert dealt_with(config.changed(num_classes=7), tmp_path / "other") > 0


def test_another_width_is_counted_anew() -> None:
    config = narrow(papers["ssdmnetv1_s1l0"].trial.detector, EVEN, 0.125)
    wider = config.changed(width=0.25)
    assert describe(wider).macs > describe(config).macs


def test_an_error_is_raised_again() -> None:
    config = narrow(papers["ssdmnetv1_s1l0"].trial.detector, EVEN, 0.125)
    detector = Detector(config)
    tensors = dict(detector.state_dict())
    name = next(n for n, t in tensors.items() if t.ndim == 4 and min(t.shape[:2]) > 1)
    tensors[name] = tensors[name][:-1]
    for _ in range(2):
        with pytest.raises(ValueError, match="running_mean should contain 7 elements"):
            Detector(config).load_tensors(tensors)
