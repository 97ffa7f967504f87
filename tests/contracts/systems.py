"""The systems that contracts are held for: those of the papers, and some between them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import ValidationError
from torch import Tensor

from detectors.detector import Detector
from searchspace import DetectorConfig, papers
from searchspace.backbones import VGG16, MobileNetV1, ResNet
from searchspace.heads import Multibox, PointHead
from searchspace.necks import Step
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.papers.anchor_free import THESIS_RUNS
from searchspace.papers.fssd import OTHER_STARTS
from searchspace.priors import ScaledPriors

RULE = Multibox(priors=ScaledPriors())


def between(backbone: MobileNetV1 | VGG16 | ResNet, *neck: Step) -> DetectorConfig:
    return DetectorConfig(input_size=192, backbone=backbone, neck=neck, head=RULE)


PYRAMID_C = Extend(
    block="bottleneck", replaces=True, grow=(Growth(channels=256, stride=1), Growth(channels=256))
)
BETWEEN = {
    "fusion and pyramid c on MobileNetV1 without two strides": between(
        MobileNetV1(taps=("layer3", "layer5", "layer11"), eliminated_strides=(2, 6)),
        Fuse(sources=(Source(level=0, channels=64), Source(level=2, channels=128))),
        PYRAMID_C,
    ),
    "fusion at the coarse map of VGG16 without pool1": between(
        VGG16(eliminated_strides=(2,)),
        Fuse(sources=tuple(Source(level=k, channels=64) for k in range(2)), at=1),
        PYRAMID_C,
    ),
    "a sum at the middle map of ResNet-50": between(
        ResNet(),
        Fuse(sources=tuple(Source(level=k, channels=64) for k in range(3)), how="sum", at=1),
        PYRAMID_C,
    ),
    "a joined second path of ResNet-101": between(
        ResNet(depth=101, taps=("res3", "res4"), eliminated_strides=(3,), second_path=True),
        Join(level=1, side=0, feeds_growth=True),
        Extend(block="conv", grow=(Growth(channels=128),)),
    ),
    "deconvolution by 2 and 4 on MobileNetV1": between(
        MobileNetV1(),
        Extend(),
        Deconvolve(
            blocks=(
                FusionBlock(level=0, source=1, deconv_channels=(64,), channels=128),
                FusionBlock(level=1, source=3, deconv_channels=(64, 32), channels=64),
            )
        ),
    ),
    "deconvolution by 3 on VGG16": between(
        VGG16(taps=("conv5_3",)),
        Extend(block="conv", grow=(Growth(channels=64, stride=3),)),
        Deconvolve(blocks=(FusionBlock(level=0, source=1, deconv_channels=(64,), channels=128),)),
    ),
    "a split second path of VGG16 without two strides": between(
        VGG16(norm=True, eliminated_strides=(9, 13), second_path=True),
        L2Norm(level=1),
        Split(side=1),
        Extend(block="bottleneck", norm=False),
    ),
}
SYSTEMS = papers.keys() - THESIS_RUNS.keys() - OTHER_STARTS.keys()
"""The thesis' runs differ from them in classes, data and losses alone; `OTHER_STARTS` in their
initial weights."""

CONFIGS = {name: papers[name].trial.detector for name in papers if name in SYSTEMS} | BETWEEN


def narrow(
    config: DetectorConfig, sizes: Iterable[int], width: float = 0.125, num_classes: int = 3
) -> DetectorConfig:
    """The same composition, an eighth as wide, at the first input size that suits it."""
    by_rule = {"strides": None} if isinstance(config.head, PointHead) else dict(RULE)
    head = config.head.model_copy(update=by_rule)
    for size in sizes:
        small = {"num_classes": num_classes, "width": width, "input_size": size, "head": head}
        try:
            return DetectorConfig.model_validate({**dict(config), **small})
        except ValidationError:
            continue
    raise AssertionError(f"none of the sizes {list(sizes)} suits {config}")


EVEN, ODD = (64, 96, 128, 160, 192, 300), (97, 161, 225, 257, 299, 301)
NARROW = {
    name: config
    for config, name in {
        narrow(config, EVEN): name
        for name, config in CONFIGS.items()
        if not name.startswith("mdssd300_reading")
    }.items()
}
"""Distinct compositions: some systems differ in priors alone, readings in widths alone."""


def built(config: DetectorConfig, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return Detector(config)


def images(config: DetectorConfig, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, *config.size, generator=generator)
