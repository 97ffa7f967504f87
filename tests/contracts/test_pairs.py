"""Any backbone meets any neck and head where shapes allow it, and is refused in words elsewhere."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from detectors.detector import Detector
from detectors.matching import Objects
from searchspace import DetectorConfig
from searchspace.backbones import VGG16, Backbone, CSPDarknet, MobileNetV1, ResNet
from searchspace.geometry import Size
from searchspace.heads import Distributions, Head, Multibox, Points
from searchspace.necks import Aggregate, Pyramid, Step
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.priors import ScaledPriors
from searchspace.training import SmallObjects

BACKBONES: dict[str, Backbone] = {
    "MobileNetV1": MobileNetV1(taps=("layer5", "layer11", "layer13")),
    "MobileNetV1 S1L0": MobileNetV1(taps=("layer5", "layer11", "layer13"), eliminated_strides=(0,)),
    "MobileNetV1 dual": MobileNetV1(eliminated_strides=(4,), second_path=True),
    "VGG16": VGG16(norm=True, taps=("conv3_3", "conv4_3", "fc7")),
    "ResNet-50": ResNet(),
    "ResNet-50 dilated": ResNet(last_stage="dilated"),
    "CSPDarknet": CSPDarknet(),
    "CSPDarknet S2L1-3": CSPDarknet(eliminated_strides=(1, 3)),
    "CSPDarknet dual": CSPDarknet(eliminated_strides=(0,), second_path=True),
}
PLAIN = Extend(block="plain", norm=False, grow=(Growth(channels=256),) * 2)
NECKS: dict[str, tuple[Step, ...]] = {
    "nothing": (),
    "SSD": (L2Norm(), Extend()),
    "FSSD": (
        Fuse(sources=tuple(Source(level=level, channels=64) for level in range(3))),
        Extend(block="conv"),
    ),
    "FPN": (Pyramid(),),
    "GFL": (Pyramid(), PLAIN),
    "YOLOX": (Aggregate(),),
    "YOLOX and more": (Aggregate(), Extend(block="bottleneck")),
    "SSD, then FPN": (Extend(block="conv"), Pyramid()),
    "MDSSD": (
        Extend(),
        Deconvolve(blocks=(FusionBlock(level=0, source=1, deconv_channels=(64,), channels=64),)),
    ),
    "joined": (Join(level=1, side=0, feeds_growth=True), Pyramid(), PLAIN),
    "split": (Split(side=1), Extend(block="conv"), Pyramid()),
}
HEADS: dict[str, Head] = {
    "multibox": Multibox(priors=ScaledPriors()),
    "points": Points(),
    "distributions": Distributions(),
}
REASONS = (
    "no 3x3 convolution of stride 1 or 2 reduces",
    "no pooling reduces",
    "by doublings or integer factors",
    "all levels share one tower",
    "there are no side maps",
    "join maps of equal size",
    "source: level 2 of 2 maps",
    "second_path: nothing reads it",
    "side: map 1 of 1 maps",
    "leaves an empty map",
)


def pair(backbone: str, neck: str, head: str, size: Size = (96, 160)) -> DetectorConfig:
    return DetectorConfig(
        input_size=size,
        num_classes=3,
        width=0.125,
        backbone=BACKBONES[backbone],
        neck=NECKS[neck],
        head=HEADS[head],
    )


def held(config: DetectorConfig) -> None:
    """The declared levels equal the real ones, for any composition."""
    with torch.device("meta"):
        detector = Detector(config)
        outputs = detector.outputs(torch.empty(2, 3, *config.size))
    real = [tuple(x.shape[1:]) for x in outputs.maps]
    assert real == [(level.channels, *level.size) for level in config.levels()]
    count = len(detector.head.priors)
    assert outputs.predictions.boxes.shape[:3] == (2, count, 4)
    assert outputs.predictions.classes.shape[:2] == (2, count)
    assert detector.head.boxes_of(outputs.predictions).shape == (2, count, 4)
    assert detector.head.scores_of(outputs.predictions).shape == (2, count, 3)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(sorted(BACKBONES)),
    st.sampled_from(sorted(NECKS)),
    st.sampled_from(sorted(HEADS)),
    st.tuples(st.integers(64, 200), st.integers(64, 200)),
)
def test_a_pair_is_built_as_declared_or_refused_for_a_reason(
    backbone: str, neck: str, head: str, size: Size
) -> None:
    try:
        config = pair(backbone, neck, head, size)
    except ValidationError as error:
        refusal = str(error)
    else:
        held(config)
        return
    assert any(reason in refusal for reason in REASONS), refusal


def test_only_maps_of_unequal_channels_are_refused_where_sides_halve_evenly() -> None:
    free = [name for name in BACKBONES if "dual" not in name]
    necks = [name for name in NECKS if name not in ("joined", "split")]
    refused = set()
    for names in itertools.product(free, necks, HEADS):
        try:
            pair(*names, size=(128, 192))
        except ValidationError:
            refused.add(names)
    unequal = ("nothing", "SSD", "FSSD", "YOLOX", "YOLOX and more", "MDSSD")
    assert refused == set(itertools.product(free, unequal, ("distributions",)))


TRAINED = [
    ("MobileNetV1", "GFL", "distributions"),
    ("MobileNetV1 S1L0", "YOLOX", "points"),
    ("MobileNetV1 dual", "joined", "distributions"),
    ("VGG16", "FPN", "points"),
    ("VGG16", "FSSD", "points"),
    ("ResNet-50 dilated", "YOLOX and more", "multibox"),
    ("CSPDarknet", "SSD", "multibox"),
    ("CSPDarknet S2L1-3", "GFL", "distributions"),
    ("CSPDarknet dual", "split", "points"),
]


@pytest.mark.parametrize("names", TRAINED, ids=" + ".join)
def test_losses_reach_every_parameter(names: tuple[str, str, str]) -> None:
    torch.manual_seed(0)
    detector = Detector(pair(*names, size=(64, 96))).train()
    boxes = torch.tensor([[[0.1, 0.1, 0.4, 0.5], [0.5, 0.3, 0.9, 0.95]]]).expand(3, -1, -1)
    yes = torch.ones(3, 2, dtype=torch.bool)
    objects = Objects(boxes=boxes, labels=torch.tensor([[1, 3]] * 3), small=~yes, valid=yes)
    outputs = detector.outputs(torch.rand(3, 3, *detector.config.size))
    losses = detector.losses(outputs, objects, SmallObjects())
    sum(losses.values()).backward()
    assert all(x.isfinite() for x in losses.values())
    without = [n for n, p in detector.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in detector.parameters())
    with torch.no_grad():
        found = detector.eval()(torch.rand(2, 3, 70, 50))
    assert [set(one) for one in found] == [{"boxes", "labels", "scores"}] * 2
