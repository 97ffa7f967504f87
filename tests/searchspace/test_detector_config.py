from __future__ import annotations

import pytest
from pydantic import ValidationError

from searchspace import DetectorConfig, papers
from searchspace.backbones import VGG16, MobileNetV1, ResNet, Row
from searchspace.geometry import Level, ceil_pool_size, conv_size, scaled
from searchspace.heads import Multibox
from searchspace.necks import Step
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.priors import LevelledPriors, LevelPriors, LevelRule, ListedPriors, ScaledPriors

CHANNELS = (512, 1024, 512, 256, 256, 128)
SIZES = {
    "ssdmnetv1": (19, 10, 5, 3, 2, 1),
    "ssdmnetv1_s1l6": (38, 19, 10, 5, 3, 2),
    "ssdmnetv1_s1l4": (38, 19, 10, 5, 3, 2),
    "ssdmnetv1_s1l0": (38, 19, 10, 5, 3, 2),
}
SCALED = Multibox(priors=ScaledPriors())


@pytest.mark.parametrize("name", SIZES)
def test_the_papers_levels(name: str) -> None:
    levels = papers[name].trial.detector.levels()
    assert levels == tuple(map(Level, CHANNELS, SIZES[name], SIZES[name]))


@pytest.mark.parametrize(
    ("input_size", "strides", "sizes"),
    [
        (512, (), (32, 16, 8, 4, 2, 1)),
        (300, (4, 6), (75, 38, 19, 10, 5, 3)),
        (300, (0, 6), (75, 38, 19, 10, 5, 3)),
        (64, (), (4, 2, 1)),
        (64, (6,), (8, 4, 2, 1)),
    ],
)
def test_sizes_follow_the_input_and_the_strides(
    input_size: int, strides: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    backbone = MobileNetV1(eliminated_strides=strides)
    config = DetectorConfig(input_size=input_size, backbone=backbone, head=SCALED)
    assert tuple(level.size for level in config.levels()) == tuple((s, s) for s in sizes)
    assert len(config.priors()) == len(sizes)


def test_a_rectangle_is_described_by_height_and_width() -> None:
    config = DetectorConfig(input_size=(160, 300), head=SCALED)
    assert config.size == (160, 300)
    sizes = [level.size for level in config.levels()]
    assert sizes == [(10, 19), (5, 10), (3, 5), (2, 3), (1, 2), (1, 1)]
    assert DetectorConfig.model_validate_json(config.model_dump_json()) == config
    tall = DetectorConfig(input_size=(300, 160), head=SCALED)
    assert [level.size[::-1] for level in tall.levels()] == sizes


def test_a_rectangle_of_equal_sides_is_a_square() -> None:
    square = DetectorConfig(input_size=(300, 300))
    assert square == DetectorConfig()
    assert square.model_dump()["input_size"] == 300
    assert [level.cells for level in square.levels()] == [361, 100, 25, 9, 4, 1]


def test_priors_of_a_rectangle_have_the_step_of_each_axis() -> None:
    head = Multibox(priors=ScaledPriors(cells=2))
    priors = DetectorConfig(input_size=(160, 300), head=head).priors()
    assert [p.step for p in priors[:2]] == [(16, 300 / 19), (32, 30)]
    assert [p.min_size for p in priors[:2]] == pytest.approx([2 * 300 / 19, 60])
    assert max(p.min_size for p in priors) == pytest.approx(0.9 * 160)


def test_width_multiplies_backbone_and_neck_in_eights() -> None:
    config = DetectorConfig(width=0.25, head=SCALED)
    assert tuple(x.channels for x in config.levels()) == (128, 256, 128, 64, 64, 32)
    assert [scaled(c, 0.25) for c in (8, 32, 40, 128)] == [8, 8, 8, 32]
    assert scaled(13, 1.0) == 13


def test_stages_are_what_each_step_is_given() -> None:
    config = papers["ssdmnetv1"].trial.detector
    behind_backbone, behind_norm, behind_extend = config.stages()
    assert behind_backbone.maps == (Level(512, 19, 19), Level(1024, 10, 10))
    assert behind_backbone.top == Level(1024, 10, 10)
    assert behind_norm == behind_backbone.with_refined(0, Level(512, 19, 19))
    assert behind_extend.maps == config.levels()
    assert behind_extend.top == Level(128, 1, 1)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "out"),
    [(300, 3, 2, 1, 1, 150), (19, 3, 1, 6, 6, 19), (2, 4, 1, 1, 1, 1), (5, 3, 1, 0, 1, 3)],
)
def test_convolution_sizes(
    size: int, kernel: int, stride: int, padding: int, dilation: int, out: int
) -> None:
    assert conv_size(size, kernel, stride, padding, dilation) == out


def test_pooling_sizes() -> None:
    assert ceil_pool_size(75, 2, 2) == 38
    assert ceil_pool_size(76, 2, 2) == 38
    ceil = Row("pool3", "pool", 0, stride=2, kernel=2, padding=0, ceil=True)
    floor = Row("pool4", "pool", 0, stride=2, kernel=2, padding=0)
    assert (ceil.out_size(75), floor.out_size(75)) == (38, 37)


def test_listed_priors_take_the_next_size_as_the_largest() -> None:
    priors = papers["ssdmnetv1"].trial.detector.priors()
    assert [p.min_size for p in priors] == [45, 90, 135, 180, 225, 270]
    assert [p.max_size for p in priors] == [90, 135, 180, 225, 270, 315]
    assert [p.step for p in priors] == [16, 32, 64, 100, 150, 300]
    assert [p.boxes_per_cell for p in priors] == [6, 6, 6, 6, 6, 4]


def test_scaled_priors_follow_the_cells() -> None:
    def sizes(cells: float) -> tuple[list[float], list[float], list[float]]:
        head = Multibox(priors=ScaledPriors(cells=cells))
        priors = DetectorConfig(input_size=64, head=head).priors()
        return tuple([getattr(p, n) for p in priors] for n in ("step", "min_size", "max_size"))

    steps, least, most = sizes(1.25)
    assert steps == [16, 32, 64]
    assert least == pytest.approx([20, 40, 0.9 * 64])
    assert most == pytest.approx([40, 0.9 * 64, 1.25 * 0.9 * 64])
    _, least, most = sizes(2.0)
    assert least == pytest.approx([32, 0.9 * 64, 0.9 * 64])
    assert most == pytest.approx([0.9 * 64, 1.25 * 0.9 * 64, 1.25 * 0.9 * 64])


def listed(**changes: object) -> Multibox:
    return Multibox(priors=ListedPriors(**changes))


DUAL = MobileNetV1(eliminated_strides=(0,), second_path=True)


def neck(*steps: Step, **fields: object) -> DetectorConfig:
    return DetectorConfig(neck=steps, head=SCALED, **fields)


def fuse(*levels: int, at: int = 0) -> Fuse:
    return Fuse(sources=tuple(Source(level=level, channels=64) for level in levels), at=at)


def deconvolve(*blocks: FusionBlock) -> Deconvolve:
    return Deconvolve(blocks=blocks)


REFUSED = {
    "unknown tap": (
        lambda: MobileNetV1(taps=("layer11", "layer99")),
        ["taps", "layer99", "layer13"],
    ),
    "no taps": (lambda: MobileNetV1(taps=()), ["taps", "choose from", "layer0"]),
    "taps out of order": (
        lambda: MobileNetV1(taps=("layer13", "layer11")),
        ["taps", "layer13", "finest first"],
    ),
    "a tap twice": (lambda: MobileNetV1(taps=("layer11", "layer11")), ["taps", "once"]),
    "a row without a stride": (
        lambda: MobileNetV1(eliminated_strides=(6, 7)),
        ["eliminated_strides [7]", "[0, 2, 4, 6, 12]"],
    ),
    "strides out of order": (
        lambda: MobileNetV1(eliminated_strides=(6, 4)),
        ["eliminated_strides [6, 4]", "in order"],
    ),
    "a stride twice": (lambda: VGG16(eliminated_strides=(2, 2)), ["eliminated_strides", "once"]),
    "a row that is not there": (
        lambda: MobileNetV1(eliminated_strides=(20,)),
        ["eliminated_strides [20]"],
    ),
    "too few prior sizes": (
        lambda: ListedPriors(sizes=(45, 90)),
        ["2 sizes", "6 steps", "6 ratios", "one more size"],
    ),
    "prior sizes that fall": (
        lambda: ListedPriors(sizes=(45, 90, 135, 130, 225, 270, 315)),
        ["sizes must be ascending", "130"],
    ),
    "a prior of no size": (
        lambda: DetectorConfig(head=listed(sizes=(0, 90, 135, 180, 225, 270, 315))),
        ["min_size", "greater than 0"],
    ),
    "a step of nothing": (
        lambda: DetectorConfig(head=listed(steps=(0, 32, 64, 100, 150, 300))),
        ["step", "greater than 0"],
    ),
    "a negative ratio": (
        lambda: DetectorConfig(head=listed(ratios=((2, -3), *((2,),) * 5))),
        ["ratios", "greater than 1"],
    ),
    "a ratio of one by the rule": (
        lambda: DetectorConfig(head=Multibox(priors=ScaledPriors(ratios=(1,)))),
        ["ratios", "greater than 1"],
    ),
    "lists for other levels": (
        lambda: DetectorConfig(input_size=160),
        ["6 levels", "10x10, 5x5, 3x3, 2x2, 1x1", "list 5", "scaled"],
    ),
    "priors of no cells": (lambda: ScaledPriors(cells=0), ["cells", "greater than 0"]),
    "a growth that leaves nothing": (
        lambda: DetectorConfig(
            neck=(Extend(grow=(Growth(channels=8, kernel=12, padding=0),)),), head=SCALED
        ),
        ["kernel 12", "padding 0", "10x10", "raise the padding"],
    ),
    "a growth that gets larger": (
        lambda: DetectorConfig(
            neck=(Extend(grow=(Growth(channels=8, stride=1, padding=3),)),), head=SCALED
        ),
        ["padding 3", "14x14 cells of 10x10", "lower the padding"],
    ),
    "no growth": (lambda: Extend(grow=()), ["grow", "at least 1"]),
    "a level that is not there": (
        lambda: DetectorConfig(neck=(L2Norm(level=2), Extend()), head=SCALED),
        ["level 2", "2 maps"],
    ),
    "a tiny width of the input": (
        lambda: DetectorConfig(input_size=(300, 32)),
        ["input_size", "64", "32"],
    ),
    "a tiny input": (lambda: DetectorConfig(input_size=32), ["input_size", "64", "32"]),
    "no classes": (lambda: DetectorConfig(num_classes=0), ["num_classes", "0"]),
    "a step of no kind": (
        lambda: DetectorConfig.model_validate({"neck": [{"kind": "shrink"}]}),
        ["neck", "shrink", "l2norm", "extend"],
    ),
    "a ResNet of another depth": (lambda: ResNet(depth=34), ["depth", "50", "101"]),
    "a stride that is dilated": (
        lambda: ResNet(last_stage="dilated", eliminated_strides=(5,)),
        ["eliminated_strides [5]", "[0, 1, 3, 4]"],
    ),
    "a pooling without stride": (
        lambda: VGG16(eliminated_strides=(17,)),
        ["eliminated_strides [17]", "[2, 5, 9, 13]"],
    ),
    "a second path of no stride": (
        lambda: VGG16(second_path=True),
        ["second_path", "eliminated_strides []", "eliminate a stride"],
    ),
    "a second path behind the last tap": (
        lambda: VGG16(second_path=True, eliminated_strides=(13,), taps=("conv3_3",)),
        ["second_path", "[13]", "none of the taps ['conv3_3']"],
    ),
    "a second path that nothing reads": (
        lambda: DetectorConfig(backbone=DUAL),
        ["second_path", "join or split"],
    ),
    "a split that nothing grows from": (
        lambda: neck(Extend(), Split(side=1), backbone=DUAL),
        ["neck.1, split", "extend after it"],
    ),
    "a split that a fusion takes back": (
        lambda: neck(Split(side=1), fuse(0, 1), Extend(), backbone=DUAL),
        ["neck.0, split", "extend after it"],
    ),
    "a split that another takes back": (
        lambda: neck(Split(side=1), Extend(), Split(side=0), Split(side=1), backbone=DUAL),
        ["neck.2, split", "extend after it"],
    ),
    "a normalised map that a fusion leaves out": (
        lambda: neck(L2Norm(), fuse(1), Extend()),
        ["neck.1, fuse", "levels [0]", "add them to the sources"],
    ),
    "a deconvolved map that a growth replaces": (
        lambda: neck(
            Extend(grow=(Growth(channels=64),)),
            deconvolve(FusionBlock(level=1, source=2, deconv_channels=(64,), channels=64)),
            Extend(grow=(Growth(channels=64),)),
            L2Norm(level=3),
            Extend(replaces=True),
        ),
        ["neck.4, extend", "would discard level 3", "remove one"],
    ),
    "a step on a second path that is not there": (
        lambda: neck(Split(side=0)),
        ["neck.0, split", "no side maps", "second_path"],
    ),
    "a side map that is not there": (
        lambda: neck(Split(side=2), backbone=DUAL),
        ["neck.0, split", "side: map 2 of 2 maps"],
    ),
    "joined maps of two sizes": (
        lambda: neck(Join(level=0, side=0), backbone=DUAL),
        ["neck.0, join", "38x38 cells", "side map 0 19x19", "has 19x19, 10x10"],
    ),
    "a fusion of a level that is not there": (
        lambda: neck(fuse(0, 2)),
        ["neck.0, fuse", "source: level 2 of 2 maps"],
    ),
    "a fusion at a level that is not there": (
        lambda: neck(fuse(0, 1, at=2)),
        ["neck.0, fuse", "at: level 2 of 2 maps"],
    ),
    "a fusion that leaves out the last map": (
        lambda: neck(fuse(0)),
        ["never used", "level 1", "add it to the sources"],
    ),
    "a fusion of nothing": (lambda: Fuse(sources=()), ["sources", "at least 1"]),
    "a map fused twice": (lambda: fuse(0, 0), ["sources [0, 0]", "once"]),
    "a sum of unequal channels": (
        lambda: Fuse(
            how="sum", sources=(Source(level=0, channels=64), Source(level=1, channels=32))
        ),
        ["[64, 32] channels", "same", "concat"],
    ),
    "a pooling to cells that it cannot make": (
        lambda: neck(
            Extend(block="conv", grow=(Growth(channels=64, stride=1, padding=0),)),
            fuse(0, 1, 2, at=2),
        ),
        ["neck.1, fuse", "no pooling reduces 19x19 cells to 8x8", "another map"],
    ),
    "a deconvolution to the same cells": (
        lambda: neck(deconvolve(FusionBlock(level=1, source=1, channels=64))),
        ["neck.0, deconvolve", "level 1 of 10x10 cells", "a half"],
    ),
    "a deconvolution without a common factor": (
        lambda: neck(
            Extend(block="conv", grow=(Growth(channels=64, stride=3),)),
            deconvolve(FusionBlock(level=1, source=2, channels=64)),
        ),
        ["neck.1, deconvolve", "level 2 of 4x4 cells", "level 1 of 10x10", "a third"],
    ),
    "a deconvolution of other lengths": (
        lambda: neck(deconvolve(FusionBlock(level=0, source=1, channels=64))),
        ["deconv_channels [256, 256, 256]", "from 10x10 to 19x19 cells", "1 transposed"],
    ),
    "a deconvolution that fits one axis alone": (
        lambda: neck(
            Extend(block="conv", grow=(Growth(channels=64, kernel=2, padding=0),)),
            deconvolve(FusionBlock(level=1, source=2, channels=64)),
            input_size=(160, 320),
        ),
        ["neck.1, deconvolve", "level 2 of 2x5 cells", "level 1 of 5x10"],
    ),
    "two deconvolutions of one level": (
        lambda: deconvolve(*(FusionBlock(level=0, source=1, channels=64),) * 2),
        ["levels [0, 0]", "one block"],
    ),
    "a width of nothing": (lambda: DetectorConfig(width=0), ["width", "greater than 0"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_refused(name: str) -> None:
    make, fragments = REFUSED[name]
    with pytest.raises(ValidationError) as caught:
        make()
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_level_priors_count_their_boxes() -> None:
    def boxes(*ratios: float) -> int:
        return LevelPriors(step=8, min_size=10, max_size=20, ratios=ratios).boxes_per_cell

    assert (boxes(), boxes(2), boxes(2, 3)) == (2, 4, 6)


def test_levelled_priors_have_a_rule_for_each_fine_level() -> None:
    priors = LevelledPriors(
        first=LevelRule(cells=1.25, ratios=(2,)),
        second=LevelRule(cells=3.75),
        third=LevelRule(cells=2),
        coarser=LevelRule(cells=1.5, ratios=(2,)),
    )
    levels = tuple(Level(8, side, side) for side in (40, 20, 10, 5, 2))
    found = priors.for_levels(levels, (320, 320))
    # Cells of 8, 16, 32, 64 and 160 pixels; 0.9 of the input is the largest there is.
    assert [level.min_size for level in found] == [10, 60, 64, 96, 240]
    assert [level.max_size for level in found] == [60, 75, 96, 240, 320]
    assert [level.ratios for level in found] == [(2,), (2, 3), (2, 3), (2,), (2,)]


def test_levelled_priors_that_are_alike_are_scaled_ones() -> None:
    rule = LevelRule(cells=2, ratios=(2, 3))
    alike = LevelledPriors(first=rule, second=rule, third=rule, coarser=rule)
    config = DetectorConfig(head=Multibox(priors=alike))
    assert config.priors() == DetectorConfig(head=Multibox(priors=ScaledPriors(cells=2))).priors()


def test_levelled_priors_need_four_levels() -> None:
    with pytest.raises(ValidationError, match="4 levels or more, not 2: use priors of kind 'sca"):
        DetectorConfig(neck=(L2Norm(),), head=Multibox(priors=LevelledPriors()))
