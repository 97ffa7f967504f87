"""The benchmark of what the papers claim: what it compares with what, and its table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compression import Row
from benchmarks.trends import CLAIMS, TEACHER, detectors_of, table
from detectors.detector import Detector
from launch.cli.names import read_trial
from searchspace import DetectorConfig
from tests.launch.report.studies import outcome

BASE = read_trial(Path("examples/bccd.json"))


def test_a_claim_and_its_control_differ_in_one_thing_only() -> None:
    found = detectors_of(BASE, finetune=4)
    named = {name for claim in CLAIMS for name in (claim.control, claim.changed)}
    assert named | {TEACHER} == {*found}
    assert len(set(found.values())) == len(found)
    assert {config.epochs[0] for config in found.values()} == {BASE.train.epochs}
    for claim in CLAIMS:
        control, changed = found[claim.control], found[claim.changed]
        fields = type(control).model_fields
        differing = [name for name in fields if getattr(control, name) != getattr(changed, name)]
        assert len(differing) == 1, claim
        assert control.epochs == changed.epochs


def test_the_table_says_whether_the_seeds_agree(tmp_path: Path) -> None:
    Detector(DetectorConfig(width=0.25)).save(tmp_path)

    def row(name: str, *scores: float) -> Row:
        return Row(name, tuple(outcome(score, 1.0, ap=0.5).metrics for score in scores), tmp_path)

    rows = {name: row(name, 0.1, 0.2) for name in detectors_of(BASE, 1)}
    rows["S1L6"] = row("S1L6", 0.3, 0.3)
    rows["FSSD"] = row("FSSD", 0.2, 0.1)
    lines = {line.split(" | ")[2]: line for line in table(rows).splitlines()[2:]}
    assert "| 1.00 x | 0.150 to 0.300 (+0.200, +0.100): up |" in lines["S1L6"]
    assert "0.150 to 0.150 (+0.100, -0.100): seeds differ" in lines["FSSD"]
    assert "0.300 to 0.150 (-0.200, -0.100): down" in lines["S1L0"]
