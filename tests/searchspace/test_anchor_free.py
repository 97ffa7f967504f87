"""Configurations of CSPDarknet, FPN, PAFPN and the heads of points."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from searchspace import DetectorConfig, TrainConfig, TrialConfig, papers
from searchspace.augmentation import CopyPaste
from searchspace.backbones import VGG16, CSPDarknet, MobileNetV1, ResNet
from searchspace.geometry import Level, Levels
from searchspace.heads import Distributions, Multibox, Points
from searchspace.necks import Aggregate, Pyramid, Step
from searchspace.necks.growth import Extend, Growth
from searchspace.papers import on_coco
from searchspace.papers.anchor_free import THESIS_RUNS
from searchspace.priors import ScaledPriors
from searchspace.training import Frozen, SmallObjects

SCALED = Multibox(priors=ScaledPriors())
THREE_TAPS = MobileNetV1(taps=("layer5", "layer11", "layer13"))
P6_P7 = Extend(block="plain", norm=False, grow=(Growth(channels=256),) * 2)


def with_neck(*neck: Step, head: object = SCALED, **fields: object) -> DetectorConfig:
    return DetectorConfig(**({"backbone": THREE_TAPS} | fields), neck=neck, head=head)


@pytest.mark.parametrize(
    ("eliminated", "sizes"),
    [((), (52, 26, 13)), ((0,), (104, 52, 26)), ((1, 3), (208, 104, 52)), ((7,), (52, 26, 26))],
)
def test_strides_of_csp_darknet_are_eliminated(
    eliminated: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    config = DetectorConfig(
        input_size=416, backbone=CSPDarknet(eliminated_strides=eliminated), neck=(), head=Points()
    )
    assert [level.size for level in config.levels()] == [(size, size) for size in sizes]
    assert [level.channels for level in config.levels()] == [256, 512, 1024]


def test_a_pyramid_gives_all_maps_its_channels_and_growth_its_coarsest() -> None:
    config = with_neck(Pyramid(channels=64), P6_P7, input_size=(192, 320), width=0.5)
    assert config.stages()[1].maps == (Level(32, 24, 40), Level(32, 12, 20), Level(32, 6, 10))
    assert config.levels()[3:] == (Level(128, 3, 5), Level(128, 2, 3))


def test_aggregation_doubles_channels_up_to_a_bound() -> None:
    step = Aggregate(channels=96, most=200)
    assert step.channels_of(4, width=1.0) == (96, 192, 200, 200)
    assert [x.channels for x in with_neck(step, width=0.5).levels()] == [48, 96, 104]


def test_points_take_the_strides_that_are_listed_or_spread_evenly() -> None:
    sizes = [(13, 20), (7, 10)]
    levels = tuple(Level(8, *size) for size in sizes)
    assert [p.step for p in Distributions(strides=(64, 128)).for_levels(levels, (800, 1280))] == [
        64, 128
    ]  # fmt: skip
    steps = [p.step for p in Points().for_levels(levels, (800, 1280))]
    assert steps == [(800 / 13, 64), (800 / 7, 128)]
    assert [p.step for p in Points().for_levels((Level(8, 20, 20),), (640, 640))] == [32]


REFUSED = {
    "levels of unequal channels under one tower": (
        lambda: with_neck(head=Distributions()),
        ["head distributions", "[256, 512, 1024] channels", "step pyramid"],
    ),
    "other channels behind a pyramid": (
        lambda: with_neck(Pyramid(), Extend(), head=Distributions()),
        ["[256, 256, 256, 512, 256, 256, 128] channels", "extend it with as many"],
    ),
    "strides for other levels": (
        lambda: with_neck(Pyramid(), head=Points(strides=(8, 16))),
        ["strides [8.0, 16.0]", "2 levels", "38x38, 19x19, 10x10", "list 3 strides"],
    ),
    "a stride of nothing": (lambda: Points(strides=(8, 0)), ["strides", "greater than 0"]),
    "maps that no stride joins": (
        lambda: with_neck(
            Aggregate(),
            backbone=VGG16(taps=("conv4_3", "fc7"), eliminated_strides=(2,)),
        ),
        ["neck.0, aggregate", "75x75 cells to 37x37", "step pyramid"],
    ),
    "a single map to be joined": (
        lambda: with_neck(Aggregate(), backbone=MobileNetV1(taps=("layer13",))),
        ["neck.0, aggregate", "a single map", "tap the backbone twice"],
    ),
    "a distribution of one bin": (lambda: Distributions(bins=1), ["bins", "2"]),
    "a tower of nothing": (lambda: Points(depth=0), ["depth", "1"]),
    "a backbone of no depth": (lambda: CSPDarknet(depth=0), ["depth", "greater than 0"]),
    "a head of no kind": (
        lambda: DetectorConfig.model_validate({"head": {"kind": "boxes"}}),
        ["head", "boxes", "multibox", "points", "distributions"],
    ),
    "freezing what starts from random numbers": (
        lambda: TrainConfig(frozen=Frozen(rows=1)),
        ["frozen", "weights 'none'", "imagenet"],
    ),
    "freezing rows that are not there": (
        lambda: TrialConfig(
            detector=DetectorConfig(backbone=ResNet(taps=("res3", "res4")), head=SCALED),
            train=TrainConfig(weights="imagenet", frozen=Frozen(rows=6)),
        ),
        ["train.frozen.rows 6", "resnet", "5 rows"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_refused(name: str) -> None:
    make, fragments = REFUSED[name]
    with pytest.raises(ValidationError) as caught:
        make()
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize("step", [Pyramid(), Aggregate()])
def test_maps_must_go_from_fine_to_coarse(step: Pyramid | Aggregate) -> None:
    maps = (Level(8, 20, 20), Level(8, 10, 10), Level(8, 10, 12))
    with pytest.raises(ValueError, match="level 2 has 10x12 cells and level 1 before it 10x10"):
        step.levels(Levels(maps=maps, top=maps[-1]), width=1.0)


def test_a_head_without_a_kind_is_multibox() -> None:
    config = DetectorConfig.model_validate({"head": {"priors": {"kind": "scaled", "cells": 2.0}}})
    assert config.head == Multibox(priors=ScaledPriors(cells=2.0))


# ---- the thesis' runs


@pytest.mark.parametrize("name", ["yolox_tiny", "yolox_s", "gfl_r50", "gfl_r101"])
def test_systems_stand_with_the_classes_of_coco(name: str) -> None:
    assert papers[name].trial.detector.num_classes == 80
    assert on_coco(name) == papers[name].trial


@pytest.mark.parametrize("name", THESIS_RUNS)
def test_runs_have_two_classes_and_name_their_teacher(name: str) -> None:
    run = papers[name]
    assert run.trial.detector.num_classes == 2
    assert on_coco(name).detector.num_classes == 80
    assert TrialConfig.model_validate_json(run.trial.model_dump_json()) == run.trial
    assert (run.teacher is None) == ("distil" not in name)
    assert run.teacher is None or papers[run.teacher].published.ap > run.published.ap


def test_runs_differ_from_their_baseline_in_data_and_losses_alone() -> None:
    pasted, weighted = CopyPaste(copies=1), SmallObjects(weight=0.95, offset=0.05)
    for run, baseline, change in (
        ("yolox_tiny_copy_paste", "yolox_tiny_baseline", {"copy_paste": pasted}),
        ("yolox_tiny_weighted", "yolox_tiny_baseline", {"small_objects": weighted}),
        ("gfl_r50_copy_paste", "gfl_r50_baseline", {"copy_paste": pasted}),
        ("gfl_r50_weighted", "gfl_r50_baseline", {"small_objects": weighted}),
        ("gfl_r101_teacher_copy_paste", "gfl_r101_teacher", {"copy_paste": pasted}),
    ):
        first, other = papers[run].trial, papers[baseline].trial
        train = other.train.model_copy(update=change)
        assert first == other.model_copy(update={"train": train})


def test_the_three_distillations_are_told_apart_by_their_data() -> None:
    def copies(name: str) -> int:
        return papers[name].trial.train.copy_paste.copies

    runs = [f"gfl_r50_distil_{number}" for number in (1, 2, 3)]
    data = [(copies(papers[run].teacher), copies(run)) for run in runs]
    assert data == [(0, 0), (1, 1), (0, 1)]
    gains = [papers[run].published.ap_small / 0.170 for run in runs]
    assert gains == pytest.approx([1.18, 1.23, 1.29], abs=0.01)
