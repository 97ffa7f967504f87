from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from compress import check_pruning, plan_pruning, prune
from compress.channels import ChannelGraph
from compress.ranking import MIN_CHANNELS
from compress.slimming import group_scales
from detectors.blocks import L2Norm
from detectors.detector import Detector
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.compression import Slimming
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from tests.compress.systems import as_trained, built, by_l2, narrowed, norms, widths

PRUNINGS = {
    "slimming": Slimming,
    **{
        criterion: lambda criterion=criterion, **fields: by_l2(criterion=criterion, **fields)
        for criterion in ("l2", "lamp", "random")
    },
}


def trained(width: float = 0.5, strides: tuple[int, ...] = ()) -> Detector:
    torch.manual_seed(0)
    backbone = MobileNetV1(eliminated_strides=strides)
    head = Multibox(priors=ScaledPriors())
    return as_trained(
        Detector(
            DetectorConfig(input_size=64, num_classes=3, width=width, backbone=backbone, head=head)
        )
    )


def gates_of(detector: Detector, root: str) -> Iterator[nn.BatchNorm2d]:
    graph = ChannelGraph(detector)
    return (graph.modules[scales.name] for scales in group_scales(graph, root))


def test_every_convolution_loses_what_the_plan_says() -> None:
    detector = trained()
    before = widths(detector)
    plan = prune(detector, Slimming(ratio=0.5))
    after = widths(detector)
    for root, count in plan.channels.items():
        assert count == before[root]
        assert after[root] == count - len(plan.removed.get(root, ()))
    assert {name for name in before if name.startswith("head")} == set(plan.unprunable)
    assert all(after[name] == before[name] for name in plan.unprunable)
    norm = next(m for m in detector.modules() if isinstance(m, L2Norm))
    assert len(norm.weight) == detector.head.boxes[0].in_channels < 256


@pytest.mark.parametrize("criterion", PRUNINGS)
def test_the_ratio_is_the_share_that_is_removed(criterion: str) -> None:
    detector = trained(width=1.0)
    plan = plan_pruning(detector, PRUNINGS[criterion](ratio=0.3, floor=0.01))
    total = sum(plan.channels.values())
    gone = sum(map(len, plan.removed.values()))
    # A floor may keep some in a layer that a criterion would take whole.
    assert int(0.3 * total) * (0.97 if criterion == "l2" else 1) <= gone <= int(0.3 * total)
    assert plan.share == pytest.approx(gone / total)
    assert all(gone == tuple(sorted(set(gone))) for gone in plan.removed.values())
    dense = [m for m in detector.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    heads = [*detector.head.boxes, *detector.head.classes]
    assert total == sum(m.out_channels for m in dense) - sum(m.out_channels for m in heads)


@pytest.mark.parametrize("criterion", PRUNINGS)
def test_by_layer_every_layer_loses_the_ratio(criterion: str) -> None:
    plan = plan_pruning(trained(), PRUNINGS[criterion](ratio=0.3, scope="layer"))
    for root, count in plan.channels.items():
        lost = len(plan.removed.get(root, ()))
        assert lost == min(int(0.3 * count), count - MIN_CHANNELS) or abs(lost - 0.3 * count) <= 1


@pytest.mark.parametrize(("ratio", "floor"), [(0.95, 0.1), (0.9, 0.5)])
def test_every_layer_keeps_its_floor(ratio: float, floor: float) -> None:
    plan = plan_pruning(trained(), Slimming(ratio=ratio, floor=floor))
    for root, count in plan.channels.items():
        kept = count - len(plan.removed.get(root, ()))
        assert kept >= min(count, max(MIN_CHANNELS, floor * count - 0.5))
    assert plan.share < ratio


def test_the_threshold_is_global_and_on_the_scales_as_they_are() -> None:
    detector = trained()
    channels = plan_pruning(detector, Slimming(ratio=0.1)).channels
    tiny = max(channels, key=channels.__getitem__)
    faint = list(gates_of(detector, tiny))
    for norm in norms(detector).values():
        size = 1e-3 if norm in faint else 1.0
        norm.weight.data = norm.weight.data.sign() * size * (1 + torch.rand(len(norm.weight)))
    few = plan_pruning(detector, Slimming(ratio=0.02))
    count, total = few.channels[tiny], sum(few.channels.values())
    assert int(0.02 * total) < count - MIN_CHANNELS
    assert few.removed.keys() == {tiny}
    assert len(few.removed[tiny]) == int(0.02 * total)
    scales = torch.stack([norm.weight.abs() for norm in faint]).amax(0)
    assert set(few.removed[tiny]) == set(scales.argsort()[: len(few.removed[tiny])].tolist())
    many = plan_pruning(detector, Slimming(ratio=0.3, floor=0.1))
    assert len(many.removed[tiny]) == count - max(MIN_CHANNELS, round(0.1 * count))


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_layers_that_lose_channels_keep_a_multiple(scope: str) -> None:
    detector = trained()
    before = widths(detector)
    plain = plan_pruning(detector, by_l2(ratio=0.4, scope=scope))
    plan = prune(detector, by_l2(ratio=0.4, scope=scope, round_to=8))
    after = widths(detector)
    assert all(after[root] % 8 == 0 for root in plan.removed)
    assert any((before[r] - len(g)) % 8 for r, g in plain.removed.items())
    for root, gone in plan.removed.items():
        assert len(plain.removed[root]) - 8 < len(gone) <= len(plain.removed[root])


def test_steps_score_again_and_end_at_the_same_share() -> None:
    detector = trained()
    once = plan_pruning(detector, by_l2(ratio=0.5, steps=1))
    often = plan_pruning(detector, by_l2(ratio=0.5, steps=4))
    assert often.share == pytest.approx(once.share, abs=0.02)
    assert often.removed != once.removed
    pruned = copy.deepcopy(detector)
    assert prune(pruned, by_l2(ratio=0.5, steps=4)) == often
    assert all(
        widths(pruned)[root] == often.channels[root] - len(gone)
        for root, gone in often.removed.items()
    )


def test_steps_are_consecutive_prunings() -> None:
    """Two steps to one half are one to a quarter, then one of what is left."""
    detector = trained()
    twice = plan_pruning(detector, by_l2(ratio=0.5, steps=2, scope="layer"))
    first = copy.deepcopy(detector)
    quarter = prune(first, by_l2(ratio=0.25, scope="layer"))
    second = plan_pruning(first, by_l2(ratio=1 / 3, scope="layer"))
    for root, count in quarter.channels.items():
        gone = set(quarter.removed.get(root, ()))
        left = [c for c in range(count) if c not in gone]
        gone |= {left[c] for c in second.removed.get(root, ())}
        assert len(gone ^ set(twice.removed.get(root, ()))) <= 1


def test_planning_leaves_the_detector_as_it_is() -> None:
    detector = trained().train()
    before = copy.deepcopy(detector)
    plan_pruning(detector, Slimming(ratio=0.5))
    assert widths(detector) == widths(before)
    state = detector.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in before.state_dict().items())
    assert detector.training
    assert all(p.grad is None for p in detector.parameters())


def test_a_detector_without_batch_norm_is_not_slimmed() -> None:
    detector = built("ssd_vgg16_s1l2_dualpath", norm=False)
    expected = r"compress\.pruning\.slimming.*no batch norm.*set norm"
    with pytest.raises(ValueError, match=expected):
        prune(detector, Slimming())
    with pytest.raises(ValueError, match=expected):
        check_pruning(detector.config, Slimming())
    check_pruning(detector.config, by_l2())


def test_a_floor_of_everything_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"nothing can be pruned.*all of its .* must be kept.*floor"
    ):
        prune(trained(), Slimming(floor=1.0))


def test_narrow_layers_are_listed_with_the_reason() -> None:
    plan = plan_pruning(trained(width=0.25), Slimming(ratio=0.4))
    assert plan.unprunable["backbone.layer0.0"] == ("all of its 8 channels must be kept")
    assert "backbone.layer0.0" not in plan.channels


def test_rounding_beyond_a_layer_names_the_layer() -> None:
    config = by_l2(round_to=16)
    expected = r"round_to is 16, but backbone\.layer0\.0 has 8 channels"
    with pytest.raises(ValueError, match=expected):
        prune(trained(width=0.25), config)
    with pytest.raises(ValueError, match=expected):
        check_pruning(trained(width=0.25).config, config)


def test_a_target_out_of_reach_is_refused_before_training() -> None:
    config = narrowed("mfssd_bn", width=0.25)
    check_pruning(config, Slimming(target="params", ratio=0.5))
    with pytest.raises(ValueError, match=r"slimming\.ratio: .* parameters cannot be reached.*clos"):
        check_pruning(config, Slimming(target="params", ratio=0.9, floor=0.5))


def test_a_layer_of_an_unknown_kind_is_named() -> None:
    detector = trained()
    detector.neck.extend1.blocks[0][0][2] = nn.PReLU(
        detector.neck.extend1.blocks[0][0][0].out_channels
    )
    with pytest.raises(ValueError, match=r"neck\.extend1\.blocks\.0\.0\.2: pruning a PReLU is"):
        prune(detector, Slimming())
