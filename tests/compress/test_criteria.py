"""Scores against sums written out for one group: a convolution, its norms, and what reads it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from compress import criteria, plan_pruning, prune
from compress.channels import ChannelGraph
from compress.criteria import scores
from detectors.data.loader import Batch
from detectors.detector import Detector, padded_objects
from searchspace.compression import CRITERIA as NAMED
from searchspace.compression import ImportancePruning, Slimming
from searchspace.plugins import load_plugins
from tests.compress.systems import batch_for, built, by_l2
from tests.documents import example

ROOT = "backbone.conv3_2.0"
CRITERIA = ("l2", "lamp", "taylor", "random")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return built("mfssd_bn")


def some_batches(detector: Detector, count: int = 2) -> list[Batch]:
    target = {
        "boxes": torch.tensor([[4.0, 4, 30, 40], [20.0, 10, 60, 60]]),
        "labels": torch.tensor([1, 3]),
    }
    return [
        Batch((255 * batch_for(detector, seed=seed)).byte(), [target, target])
        for seed in range(count)
    ]


def scored(detector: Detector, criterion: str, seed: int = 0) -> dict[str, Tensor]:
    config = Slimming() if criterion == "slimming" else ImportancePruning(criterion=criterion)
    batches = some_batches(detector)
    return scores(detector, ChannelGraph(detector), config, lambda: batches, seed)


def members(detector: Detector, values: dict[str, Tensor]) -> list[Tensor]:
    """The weights that belong to each channel of `ROOT`, one row each: rows, scale, columns."""
    conv, norm, behind = (
        "backbone.conv3_2.0.weight",
        "backbone.conv3_2.1.weight",
        "backbone.conv3_3.0.weight",
    )
    return [
        values[conv].flatten(1),
        values[norm][:, None],
        values[behind].transpose(0, 1).flatten(1),
    ]


def test_l2_is_the_mean_square_sum_of_a_group_over_the_groups_mean(detector: Detector) -> None:
    found = scored(detector, "l2")[ROOT]
    values = dict(detector.named_parameters())
    squares = torch.stack([rows.detach().pow(2).sum(1) for rows in members(detector, values)])
    torch.testing.assert_close(found, squares.mean(0) / squares.mean(0).mean())


def test_lamp_is_the_share_of_those_no_smaller(detector: Detector) -> None:
    found = scored(detector, "lamp")[ROOT]
    values = dict(detector.named_parameters())
    squares = torch.stack([rows.detach().pow(2).sum(1) for rows in members(detector, values)])
    sums = squares.mean(0)
    expected = torch.stack([value / sums[sums >= value].sum() for value in sums])
    torch.testing.assert_close(found, expected)
    assert found.max().item() == pytest.approx(1)


def test_taylor_is_the_mean_product_with_the_gradient(detector: Detector) -> None:
    found = scored(detector, "taylor")[ROOT]
    products: dict[str, Tensor] = {}
    for batch in some_batches(detector):
        copied = copy.deepcopy(detector)
        objects = padded_objects(batch.targets, [(64, 64)] * 2, 64)
        losses = copied.losses(copied.outputs(batch.images.float() / 255), objects)
        sum(losses.values()).backward()
        for name, p in copied.named_parameters():
            products[name] = products.get(name, 0) + (p.detach() * p.grad).abs() / 2
    expected = torch.stack([rows.sum(1) for rows in members(detector, products)]).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


@torch.no_grad()
def test_unused_channels_score_zero_by_taylor(detector: Detector) -> None:
    idle = copy.deepcopy(detector)
    unread = [3, 7, 11]
    idle.backbone.conv3_3[0].weight[:, unread] = 0
    found = scored(idle, "taylor")[ROOT]
    assert (found[unread] == 0).all()
    assert (found > 0).sum() > len(found) / 2


def test_scoring_leaves_the_detector_as_it_is(detector: Detector) -> None:
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    for criterion in ("slimming", *CRITERIA):
        scored(detector, criterion)
    assert all(torch.equal(t, before[name]) for name, t in detector.state_dict().items())
    assert all(p.grad is None for p in detector.parameters())
    assert not detector.training


def test_random_is_by_seed(detector: Detector) -> None:
    plans = [
        plan_pruning(detector, ImportancePruning(criterion="random"), seed=seed).removed
        for seed in (0, 0, 1)
    ]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.slow
def test_criteria_disagree(detector: Detector) -> None:
    batches = some_batches(detector)
    plans = {
        str(
            plan_pruning(
                detector,
                ImportancePruning(criterion=criterion),
                batches=lambda: batches,
            ).removed
        )
        for criterion in CRITERIA
    }
    assert len(plans) == len(CRITERIA)


def test_taylor_needs_batches(detector: Detector) -> None:
    config = ImportancePruning(criterion="taylor")
    with pytest.raises(ValueError, match="criterion 'taylor' needs gradients: give batches"):
        plan_pruning(detector, config)
    with pytest.raises(ValueError, match="'taylor': there is no batch"):
        plan_pruning(detector, config, batches=lambda: [])


@pytest.mark.parametrize("criterion", ["l2", "slimming"])
def test_a_weight_that_is_not_finite_names_its_layer(detector: Detector, criterion: str) -> None:
    broken = copy.deepcopy(detector)
    nn.init.constant_(broken.backbone.conv3_2[1].weight, torch.nan)
    with pytest.raises(ValueError, match=r"backbone\.conv3_\S+ .*not finite"):
        prune(broken, Slimming() if criterion == "slimming" else by_l2())


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_a_criterion_fulfils_its_contract(name: str) -> None:
    criterion = criteria.CRITERIA[name]
    assert type(criterion).__doc__
    assert NAMED[name] == criterion.words
    assert ImportancePruning(criterion=name).in_words().count(criterion.words) == 1


def test_a_class_that_is_no_criterion_is_refused() -> None:
    class Nothing(criteria.Criterion):
        name = "nothing"

    with pytest.raises(TypeError, match="criterion Nothing: implement words, scores"):
        criteria.register_criterion(Nothing)


def test_an_unknown_criterion_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no criterion 'lam'; choose from l2, .*mean 'lamp'"):
        ImportancePruning(criterion="lam")


def test_the_worked_example_ranks_channels(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for registry in (criteria.CRITERIA, NAMED):
        monkeypatch.setattr(registry, "_values", dict(registry))
    file = tmp_path / "my_criterion_example.py"
    file.write_text(example("A pruning criterion"))
    load_plugins([file])
    plan = plan_pruning(detector, ImportancePruning(criterion="l1", ratio=0.3, steps=1))
    assert plan.share > 0
