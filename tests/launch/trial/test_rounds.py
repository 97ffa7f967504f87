"""Slimming in several rounds reaches the ratio of one, and resumes between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

import launch.trial.stages
from compress import Plan, read_plan, replay
from compress.plan import Size
from detectors.detector import Detector
from launch.trial.data import TrialData
from launch.trial.result import TrialResult
from launch.trial.rounds import Round, removal_in, rounds
from launch.trial.run import run_trial
from launch.trial.stages import NOT_PRUNING
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import ImportancePruning, Slimming


def plan_of(kept: float, params: int = 0) -> Plan:
    """A plan that leaves a share of 100 channels, and so many of 1,000 parameters."""
    removed = {"conv": tuple(range(round(100 * (1 - kept))))}
    sizes = {"before": Size(params=1000, macs=0), "after": Size(params=params, macs=0)}
    return Plan(removed=removed, channels={"conv": 100}, unprunable={}, **sizes)


def test_rounds_divide_the_fine_tuning_and_only_the_last_is_not_sparse() -> None:
    pruning = Slimming(rounds=3, finetune_epochs=8, sparsity=1e-3)
    assert list(rounds(pruning)) == [
        Round(1, 2, 0, 1e-3), Round(2, 2, 2, 1e-3), Round(3, 4, 4, 0.0)
    ]  # fmt: skip
    for once in (Slimming(finetune_epochs=8), ImportancePruning(finetune_epochs=8)):
        assert list(rounds(once)) == [Round(1, 8, 0, 0.0)]


def test_each_round_removes_what_is_missing_to_its_share() -> None:
    pruning = Slimming(rounds=3, ratio=0.6, finetune_epochs=3)

    def ratio(number: int, so_far: Plan | None, target: str = "channels") -> float:
        return removal_in(pruning.changed(target=target), number, so_far).ratio

    assert ratio(1, None) == pytest.approx(0.2)
    assert int(ratio(2, plan_of(0.8)) * 80) == 40 - 20
    assert int(ratio(3, plan_of(0.7)) * 70) == 60 - 30  # the second removed 10 too few
    assert ratio(2, plan_of(1.0, params=790), "params") == pytest.approx(1 - 600 / 790)
    assert ratio(2, plan_of(1.0, params=550), "params") == 0  # the first removed too many
    assert ratio(2, plan_of(1.0), "latency") == pytest.approx(1 - 0.6 / 0.8)


def test_one_round_is_named_as_before() -> None:
    """The names of stages on disk: nothing of rounds is in them."""
    for pruning in (Slimming(ratio=0.37), Slimming(target="params"), ImportancePruning()):
        assert removal_in(pruning, 1, None) == pruning
        assert "rounds" not in pruning.cause()
    assert "rounds" not in Slimming(rounds=2).cause(*NOT_PRUNING)
    assert Slimming(rounds=2).cause()["rounds"] == 2


def test_a_round_without_an_epoch_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"rounds 3: each needs an epoch .*\(2\)"):
        Slimming(rounds=3, finetune_epochs=2)
    words = TrialConfig(compress=CompressConfig(pruning=Slimming(rounds=3))).in_words()
    assert "pruned 50 % in 3 rounds" in words


@pytest.mark.slow
def test_two_rounds_reach_the_target_and_resume_between_them(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruning = Slimming(target="params", ratio=0.4, rounds=2, finetune_epochs=2)
    epochs: list[tuple[str, int]] = []
    sparse: list[bool] = []

    def on_epoch(stage: str, epoch: int, losses: dict[str, float]) -> None:
        epochs.append((stage, epoch))
        sparse.append("sparsity" in losses)

    def run() -> TrialResult:
        config = tiny.changed(compress=CompressConfig(pruning=pruning))
        return run_trial(config, shapes, tmp_path, device="cpu", on_epoch=on_epoch)

    plans = [launch.trial.stages.plan_pruning]

    def crash_in_the_second_round(*args: object, **options: object) -> Plan:
        if not plans:
            raise OSError("disk full")
        return plans.pop()(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(launch.trial.stages, "plan_pruning", crash_in_the_second_round)
        with pytest.raises(OSError, match="disk full"):
            run()
    assert epochs == [("dense", 1), ("compact", 1)]
    first = read_plan(tmp_path / "plan.json")
    assert first.after.params == pytest.approx(0.8 * first.before.params, rel=0.005)
    result = run()
    assert epochs == [("dense", 1), ("compact", 1), ("compact", 2)]
    assert sparse == [True, True, False]

    plan = read_plan(tmp_path / "plan.json")
    assert plan.before.params == result.dense.cost.params
    assert plan.after.params == result.compact.cost.params
    assert plan.after.params == pytest.approx(0.6 * plan.before.params, rel=0.005)
    assert result.removed_share == plan.share
    assert all(set(first.removed[root]) <= set(plan.removed[root]) for root in first.removed)
    # Both rounds' plans in one make the compact detector of the dense one.
    whole = Detector.load(tmp_path / "dense")
    replay(whole, plan)
    compact = Detector.load(tmp_path / "compact")
    shapes_of = [{n: t.shape for n, t in d.state_dict().items()} for d in (whole, compact)]
    assert shapes_of[0] == shapes_of[1]


def test_two_plans_in_one_are_both_after_another(tiny: TrialConfig) -> None:
    torch.manual_seed(0)
    twice = Detector(tiny.detector)
    for norm in (m for m in twice.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight)
    once = Detector(tiny.detector)
    once.load_state_dict(twice.state_dict())
    plans = []
    for ratio in (0.3, 0.4):
        plans.append(launch.trial.stages.plan_pruning(twice, Slimming(ratio=ratio)))
        replay(twice, plans[-1])
    both = plans[0].then(plans[1])
    replay(once, both)
    state = once.state_dict()
    assert all(torch.equal(t, state[name]) for name, t in twice.state_dict().items())
    assert (both.before, both.after) == (plans[0].before, plans[1].after)
