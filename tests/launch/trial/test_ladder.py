from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

from detectors.detector import Detector
from launch import ladder
from launch.figures import show_change
from launch.report import ladder_table
from launch.trial.data import TrialData, TrialError
from launch.trial.ladder import ladder_configs, ladder_control
from launch.trial.result import Outcome, TrialResult
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise

pytestmark = pytest.mark.slow


@pytest.fixture
def slim(tiny: TrialConfig) -> TrialConfig:
    pruning = Slimming(finetune_epochs=1, distillation=ChannelWise())
    return tiny.changed(compress=CompressConfig(pruning=pruning))


def test_one_parent_gives_a_child_for_each_ratio(
    slim: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    epochs: Counter[str] = Counter()

    def told(stage: str, epoch: int, losses: dict[str, float]) -> None:
        epochs[stage] += 1

    results = ladder(slim, (0.2, 0.5), shapes, tmp_path, device="cpu", on_epoch=told)
    assert epochs == {"dense": 1, "compact": 2}
    assert results[0].dense == results[1].dense
    sizes = [results[0].dense.cost.params, *(r.final.cost.params for r in results)]
    assert sizes == sorted(set(sizes), reverse=True)
    for result, name in zip(results, ("ratio-0.2", "ratio-0.5"), strict=True):
        child = Detector.load(tmp_path / name / "compact")
        assert sum(p.numel() for p in child.parameters()) == result.final.cost.params
        assert result.config.compress.pruning.distillation == ChannelWise()
    # A rung more trains no parent, and those that are there are done.
    more = ladder(slim, (0.5, 0.35, 0.2), shapes, tmp_path, device="cpu", on_epoch=told)
    assert epochs == {"dense": 1, "compact": 3}
    assert (more[0], more[2]) == (results[1], results[0])
    control = ladder_control(slim, shapes, tmp_path, device="cpu")
    assert control.cost.params == more[0].dense.cost.params
    assert control.metrics != more[0].dense.metrics
    assert Detector.load(tmp_path / "unpruned").config == slim.detector
    shown = table(more, control)
    assert "unpruned" in shown
    assert shown.count("1 + 1") == 4
    assert f"({show_change('ap', control.figure('ap'), more[0].figure('ap'))})" in shown
    for words in ("parent", "50 %", "35 %", "20 %", f"{more[0].figure('fps'):.1f}"):
        assert words in shown


def test_without_fine_tuning_the_parent_is_its_own_control(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    untuned = tiny.changed(compress=CompressConfig(pruning=Slimming(finetune_epochs=0)))
    assert ladder_control(untuned, shapes, tmp_path) is None
    assert not any(tmp_path.iterdir())


def table(results: tuple[TrialResult, ...], control: Outcome | None = None) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(ladder_table(results, control))
    return capture.get()


def test_bad_rungs_are_refused_before_the_first_is_run(
    tiny: TrialConfig, slim: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    with pytest.raises(TrialError, match="needs a kind of pruning"):
        ladder(tiny, (0.3,), shapes, tmp_path)
    for ratios in ((), (0.3, 0.5, 0.3)):
        with pytest.raises(TrialError, match="at least one, and each once"):
            ladder(slim, ratios, shapes, tmp_path)
    with pytest.raises(ValidationError, match="ratio"):
        ladder(slim, (0.3, 1.2), shapes, tmp_path)
    assert not any(tmp_path.iterdir())


def test_rungs_differ_in_their_ratio_alone(slim: TrialConfig) -> None:
    low, high = ladder_configs(slim, (0.2, 0.8))
    assert (low.compress.pruning.ratio, high.compress.pruning.ratio) == (0.2, 0.8)
    assert ladder_configs(high, (0.2,)) == (low,)
