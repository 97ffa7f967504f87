"""Pruning on every family of detectors: exact, counted, saved, loaded, trained, pruned again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from compress import prune
from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from detectors.runtimes.fold import folded
from searchspace.compression import ImportancePruning, Slimming
from tests.compress.systems import (
    SIZES,
    batch_for,
    built,
    by_l2,
    difference,
    gated_off,
    numbers,
    raw,
    silenced,
    widths,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SIZES)
def test_slimming_removes_channels_that_zero_scales_silence(name: str) -> None:
    detector = built(name)
    pruned = copy.deepcopy(detector)
    plan = prune(pruned, Slimming(ratio=0.4))
    assert difference(pruned, gated_off(detector, plan)) < 1e-5
    assert difference(pruned, detector) > 1e-2
    assert plan.share > 0.2


@pytest.mark.parametrize("name", SIZES)
def test_every_channel_that_is_not_the_heads_can_go(name: str) -> None:
    detector = built(name, norm=False)
    pruned = copy.deepcopy(detector)
    plan = prune(pruned, ImportancePruning(criterion="random", ratio=0.4, scope="layer", floor=0.3))
    assert difference(pruned, silenced(detector, plan)) < 1e-5
    assert difference(pruned, detector) > 1e-2

    small = {n for n, reason in plan.unprunable.items() if "must be kept" in reason}
    heads = {n for n, reason in plan.unprunable.items() if "are the predictions" in reason}
    assert small | heads == plan.unprunable.keys()
    assert all(n.startswith("head") for n in heads)
    before, after = widths(detector), widths(pruned)
    lost = {n for n in before if after[n] < before[n]}
    assert lost.isdisjoint(plan.unprunable)
    assert all(after[n] == before[n] - len(gone) for n, gone in plan.removed.items())
    depthwise = {n for n, m in detector.named_modules() if getattr(m, "groups", 1) > 1}
    assert lost | plan.unprunable.keys() | depthwise == before.keys()

    assert plan.before.params == count_params(detector) > count_params(pruned) == plan.after.params
    assert plan.before.macs == count_macs(detector) > count_macs(pruned) == plan.after.macs


@pytest.mark.parametrize("name", SIZES)
def test_a_pruned_detector_is_an_ordinary_one(name: str, tmp_path: Path) -> None:
    detector = built(name)
    prune(detector, by_l2(ratio=0.3))
    loaded = Detector.load(detector.save(tmp_path / "once"))
    assert torch.equal(raw(loaded), raw(detector))
    assert count_macs(loaded) == count_macs(detector)
    assert difference(folded(loaded), loaded) < 1e-4

    torch.manual_seed(0)
    made = numbers(loaded.train().predict(batch_for(loaded, 3)))
    (made * torch.randn_like(made)).sum().backward()
    without = [n for n, p in loaded.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []

    plan = prune(loaded.eval(), Slimming(ratio=0.3))
    assert plan.share > 0
    assert plan.before.params == count_params(detector) > count_params(loaded)
    again = Detector.load(loaded.save(tmp_path / "twice"))
    assert torch.equal(raw(again), raw(loaded))
    assert raw(again).isfinite().all()
