"""MFSSD-BN pruned layer by layer has the parameters that its formula gives."""

from __future__ import annotations

import copy
import itertools

import pytest

from compress.channels import ChannelGraph
from compress.plan import remove
from compress.ranking import layers
from detectors.describe import count_params, skeleton
from detectors.detector import Detector
from searchspace import papers
from searchspace.compression import Slimming

MFSSD_BN = skeleton(papers["mfssd_bn"].trial.detector)


def formula(detector: Detector, boxes: tuple[int, ...] = (6, 6, 6, 6, 4, 4), k: int = 21) -> int:
    """Parameters from the widths of backbone, transforms and pyramid."""
    outs = {n: m.out_channels for n, m in detector.named_modules() if hasattr(m, "out_channels")}
    v = [3, *(w for n, w in outs.items() if n.startswith("backbone.conv"))]
    t = [outs[f"neck.fuse1.transforms.{i}.0"] for i in range(3)]
    p = [sum(t), *(outs[f"neck.extend1.blocks.{i}.0"] for i in range(6))]
    assert len(v) == 14
    count = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(v))
    count += 9 * v[13] * 1024 + 1024 + 1024 * 1024 + 1024
    count += v[10] * t[0] + v[13] * t[1] + 1024 * t[2] + 4 * sum(t)
    count += sum(9 * a * b + 2 * b for a, b in itertools.pairwise(p))
    return count + sum(9 * w * b * (4 + k) + b * (4 + k) for w, b in zip(p[1:], boxes, strict=True))


def kept(share: float, only: str) -> Detector:
    """The detector with a share of the channels of every gated layer below `only`."""
    pruned = copy.deepcopy(MFSSD_BN)
    graph = ChannelGraph(pruned)
    found, _ = layers(graph, Slimming())
    remove(
        graph,
        {
            layer.root: range(round(share * layer.count), layer.count)
            for layer in found
            if layer.root.startswith(only)
        },
    )
    return pruned


@pytest.mark.parametrize(
    ("only", "share", "params"),
    [
        ("backbone", 1, 33_713_888),
        ("backbone", 0.5, 20_121_344),
        ("backbone", 0.75, 25_998_320),
        ("", 0.5, 11_100_416),
        ("", 0.75, 20_836_592),
    ],
)
def test_vectors(only: str, share: float, params: int) -> None:
    pruned = kept(share, only)
    assert count_params(pruned) == params == formula(pruned)


def test_with_every_layer_of_the_backbone_gone_but_its_floor() -> None:
    """The floor of 13,893,313 is that of one channel a layer."""
    pruned = copy.deepcopy(MFSSD_BN)
    graph = ChannelGraph(pruned)
    found, _ = layers(graph, Slimming())
    remove(graph, {x.root: range(1, x.count) for x in found if x.root.startswith("backbone")})
    assert count_params(pruned) == formula(pruned) == 13_893_313


def test_the_formula_holds_for_uneven_widths() -> None:
    pruned = copy.deepcopy(MFSSD_BN)
    graph = ChannelGraph(pruned)
    found, _ = layers(graph, Slimming())
    remove(graph, {x.root: range(3 + i, x.count // 2) for i, x in enumerate(found)})
    assert len({m.out_channels for m in graph.modules.values() if hasattr(m, "out_channels")}) > 20
    assert count_params(pruned) == formula(pruned)
