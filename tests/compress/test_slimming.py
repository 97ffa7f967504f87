from __future__ import annotations

import pytest
import torch
from torch import nn

from compress import slimming_scales, sparsity_term
from compress.channels import ChannelGraph
from compress.slimming import why_unscaled
from detectors.detector import Detector
from detectors.training.optimizer import optimizer_for
from searchspace import DetectorConfig, TrainConfig, papers
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from tests.compress.systems import built, norms


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    head = Multibox(priors=ScaledPriors())
    detector = Detector(DetectorConfig(input_size=64, num_classes=2, width=0.25, head=head))
    for norm in norms(detector).values():
        nn.init.normal_(norm.weight)
        norm.weight.data[0] = 0
    return detector


def whole(detector: Detector) -> set[str]:
    """The gates, of which every scale must be one."""
    found = slimming_scales(detector)
    modules = dict(detector.named_modules())
    assert all(c == list(range(modules[n].num_features)) for n, c in found.items())
    return set(found)


def test_deciding_scales_of_mfssd_are_those_of_backbone_fused_map_and_pyramid() -> None:
    with torch.device("meta"):
        detector = Detector(papers["mfssd_bn"].trial.detector)
    expected = {n for n in norms(detector) if "fuse1.transforms" not in n}
    assert whole(detector) == expected
    assert sum(map(len, slimming_scales(detector).values())) == 4_224 + 1_024 + 2_048
    graph = ChannelGraph(detector)
    left = {root: why for root in graph.groups if (why := why_unscaled(graph, root))}
    assert left == dict.fromkeys(
        ("backbone.fc6.0", "backbone.fc7.0"), "no batch norm scales its outputs"
    )
    assert graph.fixed.keys() == {f"head.{x}.{k}" for x in ("boxes", "classes") for k in range(6)}


def test_deciding_scales_of_separable_layers_are_after_the_depthwise_convolution() -> None:
    detector = built("ssdmnetv1")
    expected = {f"backbone.layer{i}.0.1" for i in range(1, 14)}
    expected |= {"backbone.layer11.1.1", "backbone.layer13.1.1"}  # read by the head as they are
    expected |= {f"neck.extend1.blocks.0.{part}.1" for part in (1, 2)}
    assert whole(detector) == expected


def test_every_branch_of_a_shortcut_has_deciding_scales() -> None:
    detector = built("mdssd512_r101")
    assert whole(detector) == norms(detector).keys()
    graph = ChannelGraph(detector)
    assert "backbone.res3.0.conv3" in graph.groups
    makers = {graph.names[m] for m in graph.makers("backbone.res3.0.conv3")}
    blocks = {f"backbone.res3.{block}.conv3" for block in range(4)}
    assert makers == blocks | {"backbone.res3.0.downsample.0"}


def test_the_deciding_scales_of_a_summed_map_are_after_the_sum() -> None:
    detector = built("fssd300_abl_c3c7_sum_bn_b", norm=False)
    assert whole(detector) == {"neck.fuse1.norm"}


def test_a_branch_without_norm_leaves_its_sum_without_deciding_scales() -> None:
    detector = built("mdssd512_r101")
    block = detector.backbone.res3[2]
    block.bn3 = nn.Identity()
    graph = ChannelGraph(detector)
    why = why_unscaled(graph, "backbone.res3.0.conv3")
    assert why == (
        "no batch norm scales the outputs of backbone.res3.2.conv3, "
        "which are pruned together with it"
    )
    assert not any(name.startswith("backbone.res3.0.bn3") for name in slimming_scales(detector))


@pytest.mark.parametrize("strength", [1e-4, 0.5])
def test_the_term_is_the_l1_norm_of_the_deciding_scales(
    detector: Detector, strength: float
) -> None:
    images = torch.zeros(2, 3, 64, 64)
    term = sparsity_term(detector, strength)
    losses = term(detector, images, detector.outputs(images))
    total = sum(
        norms(detector)[name].weight.abs().sum().item() for name in slimming_scales(detector)
    )
    assert losses.keys() == {"sparsity"}
    assert losses["sparsity"].item() == pytest.approx(strength * total, rel=1e-5)

    losses["sparsity"].backward()
    scales = {f"{name}.weight" for name in slimming_scales(detector)}
    assert len(scales) < len(norms(detector))
    for name, p in detector.named_parameters():
        if name in scales:
            assert torch.allclose(p.grad, strength * p.detach().sign())
            assert p.grad[0] == 0
        else:
            assert p.grad is None


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_scales_shrink_by_the_term_alone_and_never_by_weight_decay(
    detector: Detector, kind: str
) -> None:
    config = TrainConfig(optimizer=kind, learning_rate=1.0, weight_decay=0.1, momentum=0)
    before = {name: norm.weight.detach().clone() for name, norm in norms(detector).items()}
    images = torch.zeros(2, 3, 64, 64)
    for p in detector.parameters():
        p.grad = torch.zeros_like(p)
    optimizer = optimizer_for(detector, detector, config)
    optimizer.step()
    for name, norm in norms(detector).items():
        assert torch.equal(norm.weight, before[name])
    if kind == "adamw":
        return
    sparsity_term(detector, 0.01)(detector, images, detector.outputs(images))["sparsity"].backward()
    optimizer.step()
    for name in slimming_scales(detector):
        moved = before[name] - norms(detector)[name].weight.detach()
        assert torch.allclose(moved, 0.01 * before[name].sign(), atol=1e-6)
