"""The benchmark of compression: what it compares with what, and its table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compression import CONTROL, DENSE, Row, table, variants
from detectors.detector import Detector
from searchspace import DetectorConfig, TrialConfig
from tests.launch.report.studies import outcome


def test_pruned_detectors_and_their_control_are_trained_for_as_long() -> None:
    configs = variants(TrialConfig(), finetune=3)
    assert configs.pop(DENSE).epochs == (100, 0)
    assert {config.epochs for config in configs.values()} == {(100, 3)}
    assert [name for name, config in configs.items() if not config.compress.prunes] == [CONTROL]
    assert len(configs) == 13


def test_changes_are_against_the_control_seed_by_seed(tmp_path: Path) -> None:
    detector = Detector(DetectorConfig(width=0.25))
    detector.save(tmp_path)
    rows = [
        Row(name, tuple(outcome(score, 1.0, ap=0.5).metrics for score in scores), tmp_path)
        for name, scores in {
            DENSE: (0.30, 0.32),
            CONTROL: (0.40, 0.44),
            "30 % pruned, Taylor": (0.41, 0.41),
        }.items()
    ]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table(rows, None).splitlines()
    ]
    assert lines[0] == ["", "parameters", "MACs", "AP_small", "change", "AP", "change"]
    nothing = "+0.000 (+0.000, +0.000)"
    assert [line[1:] for line in lines[2:]] == [
        ["100 %", "100 %", "0.310", "-0.110 (-0.100, -0.120)", "0.500", nothing],
        ["100 %", "100 %", "0.420", "", "0.500", ""],
        ["100 %", "100 %", "0.410", "-0.010 (+0.010, -0.030)", "0.500", nothing],
    ]
    costs = [outcome(0.1, fps).cost for fps in (100.0, 100.0, 150.0)]
    assert table(rows, costs).splitlines()[-1].endswith("| 150 ? | 1.50 |")
