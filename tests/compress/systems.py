"""Detectors as training might leave them, of every family of the papers, an eighth as wide."""

from __future__ import annotations

import copy
from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.channels import CONVOLUTIONS, ChannelGraph
from compress.plan import Plan
from compress.slimming import group_scales
from detectors.detector import Detector
from detectors.features import Predictions
from searchspace import DetectorConfig, papers
from searchspace.backbones import VGG16
from searchspace.compression import ImportancePruning
from tests.contracts.systems import narrow

SIZES = {
    "ssdmnetv1": 64,
    "ssdmnetv1_s1l0_dualpath19_10_c": 64,
    "ssdmnetv1_s1l0_dualpath19_10_s": 64,
    "ssd_vgg16_s1l2_dualpath": 64,
    "fssd300": 64,
    "fssd300_abl_c3c7_sum_bn_b": 64,
    "mfssd_bn": 64,
    "mdssd512": 128,
    "mdssd512_r101": 128,
    "yolox_tiny": 64,
    "gfl_r50": 64,
}
"""Systems, and the input that each is made smaller to."""


def narrowed(name: str, norm: bool = True, width: float = 0.125) -> DetectorConfig:
    """A paper's system, narrower, with batch norm in its backbone where that can have it."""
    config = papers[name].trial.detector
    if isinstance(config.backbone, VGG16):
        backbone = config.backbone.model_copy(update={"norm": norm})
        config = config.model_copy(update={"backbone": backbone})
    return narrow(config, (SIZES[name],), width)


def by_l2(**fields: object) -> ImportancePruning:
    """The criterion that needs nothing but the weights, at one go."""
    return ImportancePruning(**{"criterion": "l2", "steps": 1, **fields})


def as_trained(detector: Detector) -> Detector:
    """The detector with batch norms as training might leave them, all scales different."""
    for norm in norms(detector).values():
        nn.init.uniform_(norm.weight, 0.2, 1.5)
        norm.weight.data[torch.rand_like(norm.weight) < 0.3] *= -1
        nn.init.normal_(norm.bias, std=0.2)
        nn.init.normal_(norm.running_mean, std=0.2)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return detector.eval()


def norms(detector: Detector) -> dict[str, nn.BatchNorm2d]:
    return {n: m for n, m in detector.named_modules() if isinstance(m, nn.BatchNorm2d)}


def widths(detector: Detector) -> dict[str, int]:
    return {n: m.out_channels for n, m in detector.named_modules() if isinstance(m, CONVOLUTIONS)}


def built(name: str, norm: bool = True, width: float = 0.125) -> Detector:
    """A narrowed system with random weights, the same ones at each call."""
    torch.manual_seed(0)
    return as_trained(Detector(narrowed(name, norm, width)))


def batch_for(detector: Detector, count: int = 2, seed: int = 1) -> Tensor:
    side = detector.config.input_size
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=generator)


def numbers(predictions: Predictions) -> Tensor:
    """All that a head puts out, one image a row."""
    made = [getattr(predictions, field.name) for field in fields(predictions)]
    return torch.cat([x.flatten(1) for x in made if x is not None], 1)


@torch.no_grad()
def raw(detector: Detector) -> Tensor:
    """Every raw prediction for a fixed batch, one image a row."""
    return numbers(detector.predict(batch_for(detector)))


def difference(first: Detector, second: Detector) -> float:
    """The largest difference of their predictions, as a share of the largest prediction."""
    a, b = raw(first), raw(second)
    return ((a - b).abs().max() / b.abs().max()).item()


@torch.no_grad()
def gated_off(detector: Detector, plan: Plan) -> Detector:
    """A copy with scale and shift of zero at the gates of all channels that a plan removes."""
    copied = copy.deepcopy(detector)
    graph = ChannelGraph(copied)
    for root, gone in plan.removed.items():
        found = group_scales(graph, root)
        assert found
        for scales in found:
            channels = [c for c, r in zip(scales.channels, scales.roots, strict=True) if r in gone]
            norm = graph.modules[scales.name]
            norm.weight[channels] = 0
            norm.bias[channels] = 0
    return copied


@torch.no_grad()
def silenced(detector: Detector, plan: Plan) -> Detector:
    """A copy in which nothing makes or scales the channels that a plan removes."""
    copied = copy.deepcopy(detector)
    graph = ChannelGraph(copied)
    for root, gone in plan.removed.items():
        makers = graph.makers(root)
        for item in graph.groups[root]:
            layer = item.dep.layer
            lost = [c for c, r in zip(item.idxs, item.root_idxs, strict=True) if r in gone]
            if isinstance(layer, nn.GroupNorm):
                _replace(copied, graph.names[layer], PartialGroupNorm(layer, lost))
            if layer not in makers and not isinstance(layer, nn.BatchNorm2d):
                continue
            rows = layer.weight.transpose(0, 1) if _transposed(layer) else layer.weight
            rows[lost] = 0
            if layer.bias is not None:
                layer.bias[lost] = 0
    return copied


class PartialGroupNorm(nn.Module):
    """A group norm that leaves channels out of its means, and puts out zeros in their places."""

    def __init__(self, norm: nn.GroupNorm, without: list[int]) -> None:
        super().__init__()
        self.norm = norm
        self.kept = [c for c in range(norm.num_channels) if c not in without]

    def forward(self, x: Tensor) -> Tensor:
        groups, kept = self.norm.num_groups, self.kept
        made = torch.zeros_like(x)
        made[:, kept] = functional.group_norm(
            x[:, kept], groups, self.norm.weight[kept], self.norm.bias[kept]
        )
        return made


def _replace(detector: Detector, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(detector.get_submodule(parent), last, module)


def _transposed(layer: nn.Module) -> bool:
    return isinstance(layer, nn.ConvTranspose2d)
