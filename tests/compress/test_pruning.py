from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch_pruning as tp
from torch import Tensor, nn

from compress.pruning import MIN_CHANNELS, Plan, _dependencies, plan_pruning, prune, replay
from detectors.blocks import L2Norm
from detectors.describe import count_macs, count_params
from detectors.detector import Detector
from searchspace import DetectorConfig, papers
from searchspace.backbones import MobileNetV1
from searchspace.compression import Slimming
from searchspace.heads import Multibox, ScaledPriors

SIZE = 64


def trained(seed: int = 0, width: float = 0.5, strides: tuple[int, ...] = ()) -> Detector:
    """A detector whose batch norms are as training might leave them, all scales different."""
    torch.manual_seed(seed)
    backbone = MobileNetV1(eliminated_strides=strides)
    head = Multibox(priors=ScaledPriors())
    detector = Detector(
        DetectorConfig(input_size=SIZE, num_classes=3, width=width, backbone=backbone, head=head)
    )
    return as_trained(detector)


def as_trained(detector: Detector) -> Detector:
    for norm in norms(detector).values():
        nn.init.uniform_(norm.weight, 0.2, 1.5)
        norm.weight.data[torch.rand_like(norm.weight) < 0.3] *= -1
        nn.init.normal_(norm.bias, std=0.2)
        nn.init.normal_(norm.running_mean, std=0.2)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return detector.eval()


def norms(detector: Detector) -> dict[str, nn.BatchNorm2d]:
    return {n: m for n, m in detector.named_modules() if isinstance(m, nn.BatchNorm2d)}


def norms_of(detector: Detector, root: str) -> list[nn.BatchNorm2d]:
    """The batch norms that scale the outputs of a convolution, and those of the depthwise
    convolution before or behind it that has the same channels."""
    chain = [
        (name, module)
        for name, module in detector.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and not name.startswith("head")
    ]
    convs, behind = chain[::2], chain[1::2]
    position = [name for name, _ in convs].index(root)
    found = [behind[position][1]]
    if convs[position][1].groups > 1:
        found.append(behind[position - 1][1])
    elif position + 1 < len(convs) and convs[position + 1][1].groups > 1:
        found.append(behind[position + 1][1])
    return found


def outputs(detector: Detector, seed: int = 1) -> tuple[Tensor, Tensor]:
    batch = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        predictions = detector.predict(batch)
    return predictions.boxes, predictions.classes


def agree(first: Detector, second: Detector, tolerance: float) -> bool:
    pairs = zip(outputs(first), outputs(second), strict=True)
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)


def widths(detector: Detector) -> dict[str, int]:
    return {n: m.out_channels for n, m in detector.named_modules() if isinstance(m, nn.Conv2d)}


@pytest.mark.parametrize("strides", [(), (6,), (0, 6)])
@pytest.mark.parametrize("ratio", [0.2, 0.6])
def test_the_pruned_network_is_the_masked_one(ratio: float, strides: tuple[int, ...]) -> None:
    detector = trained(strides=strides)
    pruned, masked = copy.deepcopy(detector), copy.deepcopy(detector)
    plan = prune(pruned, Slimming(ratio=ratio))
    for root, gone in plan.removed.items():
        for norm in norms_of(masked, root):
            norm.weight.data[list(gone)] = 0
            norm.bias.data[list(gone)] = 0
    assert agree(pruned, masked, 1e-5)
    assert not agree(pruned, detector, 1e-2)
    assert count_params(pruned) < count_params(detector)
    assert count_macs(pruned) < count_macs(detector)


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
    assert all("head" in reason for reason in plan.unprunable.values())
    norm = next(m for m in detector.modules() if isinstance(m, L2Norm))
    assert len(norm.weight) == detector.head.boxes[0].in_channels < 256


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.4])
def test_the_ratio_is_the_share_that_goes(ratio: float) -> None:
    detector = trained(width=1.0)
    plan = plan_pruning(detector, Slimming(ratio=ratio, floor=0.05))
    total = sum(plan.channels.values())
    assert sum(map(len, plan.removed.values())) == int(ratio * total)
    assert plan.share == pytest.approx(ratio, abs=1 / total)
    assert all(gone == tuple(sorted(set(gone))) for gone in plan.removed.values())
    dense = [m for m in detector.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    heads = [*detector.head.boxes, *detector.head.classes]
    assert total == sum(m.out_channels for m in dense) - sum(m.out_channels for m in heads)


@pytest.mark.parametrize(("ratio", "floor"), [(0.95, 0.1), (0.9, 0.5), (0.5, 1.0)])
def test_every_layer_keeps_its_floor(ratio: float, floor: float) -> None:
    plan = plan_pruning(trained(), Slimming(ratio=ratio, floor=floor))
    for root, count in plan.channels.items():
        kept = count - len(plan.removed.get(root, ()))
        assert kept >= min(count, max(MIN_CHANNELS, floor * count - 0.5))
    assert (plan.removed == {}) == (floor == 1.0)


def test_the_threshold_is_global_and_on_the_scales_as_they_are() -> None:
    detector = trained()
    channels = plan_pruning(detector, Slimming(ratio=0.1)).channels
    tiny = max(channels, key=channels.__getitem__)
    faint = norms_of(detector, tiny)
    for norm in norms(detector).values():
        size = 1e-3 if norm in faint else 1.0
        norm.weight.data = norm.weight.data.sign() * size * (1 + torch.rand(len(norm.weight)))
    few = plan_pruning(detector, Slimming(ratio=0.02))
    count, total = few.channels[tiny], sum(few.channels.values())
    assert int(0.02 * total) < count - MIN_CHANNELS
    assert few.removed.keys() == {tiny}
    assert len(few.removed[tiny]) == int(0.02 * total)
    scales = sum(norm.weight.abs() for norm in faint)
    assert set(few.removed[tiny]) == set(scales.argsort()[: len(few.removed[tiny])].tolist())
    many = plan_pruning(detector, Slimming(ratio=0.3, floor=0.1))
    assert len(many.removed[tiny]) == count - max(MIN_CHANNELS, round(0.1 * count))


def test_planning_leaves_the_detector_as_it_is() -> None:
    detector = trained()
    before = copy.deepcopy(detector)
    plan_pruning(detector, Slimming(ratio=0.5))
    assert widths(detector) == widths(before)
    state = detector.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in before.state_dict().items())
    assert not detector.training
    assert all(p.grad is None for p in detector.parameters())


def test_a_plan_replayed_on_a_copy_is_the_pruning() -> None:
    detector = trained()
    fresh = copy.deepcopy(detector)
    plan = prune(detector, Slimming(ratio=0.5))
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    replay(fresh, again)
    state = fresh.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in detector.state_dict().items())
    assert agree(fresh, detector, 0.0)


def test_a_pruned_detector_is_saved_and_loaded_without_a_plan(tmp_path: Path) -> None:
    detector = trained()
    prune(detector, Slimming(ratio=0.6))
    loaded = Detector.load(detector.save(tmp_path))
    assert widths(loaded) == widths(detector)
    assert agree(loaded, detector, 0.0)
    assert count_macs(loaded) == count_macs(detector)
    assert {p.requires_grad for p in loaded.parameters()} == {True}


def test_a_pruned_detector_trains_and_is_pruned_again(tmp_path: Path) -> None:
    detector = trained()
    prune(detector, Slimming(ratio=0.3))
    once = count_params(detector)
    for candidate in (detector, Detector.load(detector.save(tmp_path))):
        candidate.train()
        torch.manual_seed(0)
        predictions = candidate.predict(torch.rand(4, 3, SIZE, SIZE))
        scores = (predictions.boxes, predictions.classes)
        sum((x * torch.randn_like(x)).sum() for x in scores).backward()
        without = [n for n, p in candidate.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []
        plan = prune(candidate.eval(), Slimming(ratio=0.3))
        assert plan.share > 0.2
        assert count_params(candidate) < once
        assert all(x.isfinite().all() for x in outputs(candidate))


def test_planning_keeps_the_mode() -> None:
    detector = trained().train()
    before = {n: t.clone() for n, t in detector.state_dict().items() if "running" in n}
    plan_pruning(detector, Slimming(ratio=0.5))
    assert detector.training
    assert all(torch.equal(t, before[n]) for n, t in detector.state_dict().items() if n in before)


def narrow_system(name: str, size: int, norm: bool = True) -> DetectorConfig:
    """A paper's system, an eighth as wide, where it has one with batch norm in its backbone."""
    fields = papers[name].trial.detector.model_dump()
    head = Multibox(priors=ScaledPriors()).model_dump()
    fields |= {"width": 0.125, "input_size": size, "num_classes": 3, "head": head}
    if fields["backbone"]["kind"] == "vgg16":
        fields["backbone"]["norm"] = norm
    return DetectorConfig.model_validate(fields)


def masked_by_norms(detector: Detector, plan: Plan) -> Detector:
    """The detector with all batch norms of the channels that a plan removes set to zero."""
    detector = copy.deepcopy(detector)
    graph = _dependencies(detector)
    modules = dict(detector.named_modules())
    for root, gone in plan.removed.items():
        group = graph.get_pruning_group(modules[root], tp.prune_conv_out_channels, list(gone))
        for dependency, channels in group:
            norm = dependency.target.module
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.data[list(channels)] = 0
                norm.bias.data[list(channels)] = 0
    return detector


SYSTEMS = {
    "ssd300_vgg16": 64,
    "fssd300": 64,
    "fssd300_abl_c3c7_sum_bn_b": 64,
    "mfssd_bn": 64,
    "mdssd512": 128,
    "mdssd512_r101": 128,
    "ssdmnetv1_s1l0_dualpath19_10_c": 64,
    "ssd_vgg16_s1l2_dualpath": 64,
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_other_systems_are_pruned_saved_and_loaded(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = as_trained(Detector(narrow_system(name, SYSTEMS[name])))
    pruned = copy.deepcopy(detector)
    plan = prune(pruned, Slimming(ratio=0.4))
    batch = torch.rand(2, 3, SYSTEMS[name], SYSTEMS[name])
    loaded = Detector.load(pruned.save(tmp_path))
    masked = masked_by_norms(detector, plan)
    with torch.no_grad():
        expected = masked.predict(batch)
        assert not torch.allclose(detector.predict(batch).boxes, expected.boxes, rtol=0.1)
        for other in (pruned, loaded):
            predictions = other.predict(batch)
            assert torch.allclose(predictions.boxes, expected.boxes, rtol=1e-4, atol=1e-4)
            assert torch.allclose(predictions.classes, expected.classes, rtol=1e-4, atol=1e-4)
    assert count_params(loaded) < 0.9 * count_params(detector)


def test_a_detector_without_batch_norm_is_not_pruned() -> None:
    detector = Detector(narrow_system("ssd300_vgg16", 64, norm=False))
    with pytest.raises(ValueError, match=r"compress\.pruning.*no batch norm.*set norm"):
        prune(detector, Slimming())
