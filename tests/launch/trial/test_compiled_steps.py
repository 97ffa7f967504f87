"""What a trial notes of compiled training steps."""

from __future__ import annotations

from pathlib import Path

from launch.trial.data import TrialData
from launch.trial.run import run_trial
from searchspace import TrialConfig


def test_a_trial_notes_its_choice_and_shares_its_stages_with_others(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    asked = tiny.changed(train=tiny.train.changed(compile="auto"))
    assert asked.digest() != tiny.digest()
    stages = tmp_path / "stages"
    result = run_trial(asked, shapes, tmp_path / "asked", device="cpu", stages=stages)
    [(part, choice)] = result.steps.items()
    assert (part, choice.compiled) == ("dense", False)
    assert choice.reason == "as there were too few steps to measure"
    other = run_trial(tiny, shapes, tmp_path / "other", device="cpu", stages=stages)
    assert other.trained == result.trained
