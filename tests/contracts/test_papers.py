"""Properties of every paper's system, and relations between some."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detectors.describe import Description, describe, describe_layers
from detectors.detector import Detector
from detectors.features import Predictions
from detectors.priors import default_boxes
from searchspace import DetectorConfig, papers
from searchspace.backbones import MobileNetV1
from searchspace.geometry import both_axes
from searchspace.heads import Distributions, Multibox, Points
from searchspace.necks import Step
from searchspace.necks.dual_path import Split
from searchspace.necks.growth import Extend
from searchspace.papers import on_coco
from searchspace.papers.anchor_free import THESIS_RUNS
from searchspace.papers.fssd import OTHER_STARTS
from tests.contracts.systems import CONFIGS, NARROW, ODD, RULE, built, images, narrow
from tests.networks import raw, with_statistics, without_gradient

COUNTS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("counts.json").read_text(encoding="utf-8")
)
SHARED = Path(__file__).parents[3] / "shared" / "spec" / "models.json"
"""The table that counts.json was taken from, where this machine has it."""


# ---- counts


def test_every_system_is_named() -> None:
    others = papers.keys() - {key.split("@")[0] for key in COUNTS}
    assert others == {"mfssd_pruned", *THESIS_RUNS, *OTHER_STARTS}
    pruned, whole = papers["mfssd_pruned"].trial, papers["mfssd_bn"].trial
    assert pruned.detector == whole.detector
    assert pruned.compress.pruning.kind == "slimming"


def system(key: str) -> DetectorConfig:
    """The detector that a row of the table counts."""
    name, _, classes = key.partition("@")
    if classes == "81":
        return on_coco(name).detector
    config = papers[name].trial.detector
    return config.model_copy(update={"num_classes": int(classes)}) if classes else config


@pytest.mark.parametrize("key", COUNTS)
def test_counts(key: str) -> None:
    config, counted = system(key), COUNTS[key]
    background = isinstance(config.head, Multibox)
    assert config.num_classes == counted["num_classes"] - background
    assert describe(config) == Description(
        params=counted["params"],
        macs=counted["macs"],
        priors_per_level=tuple(counted["priors_per_level"]),
        level_sizes=tuple(map(tuple, counted["fmap_sizes"])),
    )


def _tuple(size: int | list[int]) -> int | tuple[int, ...]:
    return tuple(size) if isinstance(size, list) else size


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared table of counts is not here")
def test_counts_and_priors_are_those_of_the_shared_table() -> None:
    shared = json.loads(SHARED.read_text(encoding="utf-8"))
    for key, counted in COUNTS.items():
        row = shared[key]
        assert counted == {field: row[field] for field in counted}
        config = system(key)
        levels = config.priors()
        if isinstance(config.head, Multibox):
            for field, printed in (("min_size", "min_sizes"), ("max_size", "max_sizes")):
                assert [getattr(p, field) for p in levels] == pytest.approx(row[printed]), key
        steps = row["steps"] if isinstance(config.head, Multibox) else row["strides"]
        assert [p.step for p in levels] == pytest.approx(steps, rel=1e-5), key
        assert config.size == both_axes(_tuple(row["input_size"]))
        assert sum(counted["priors_per_level"]) == row["priors"]


@pytest.mark.parametrize("name", NARROW)
def test_layers_add_up(name: str) -> None:
    layers, whole = describe_layers(NARROW[name]), describe(NARROW[name])
    assert sum(layer.params for layer in layers) == whole.params
    assert sum(layer.macs for layer in layers) == whole.macs
    assert all(layer.outputs for layer in layers)


@pytest.mark.parametrize(
    ("more", "less", "difference"),
    [
        ("mfssd_bn", "mfssd", 4_224),
        ("ssdmnetv1_s1l0_dualpath19_c", "ssdmnetv1_s1l0", 2_612_224),
        ("ssdmnetv1_s1l0_dualpath19_10_c", "ssdmnetv1_s1l0_dualpath19_c", 4_700_160),
        ("ssdmnetv1_s1l0_dualpath19_10_s", "ssdmnetv1", 0),
        ("ssd_vgg16_s1l2_dualpath", "ssd_vgg16_003", 0),
    ],
)
def test_differences_of_parameters(more: str, less: str, difference: int) -> None:
    params = [describe(papers[name].trial.detector).params for name in (more, less)]
    assert params[0] - params[1] == difference


@pytest.mark.parametrize(
    ("name", "coco", "count", "sums"),
    [
        ("ssd300_vgg16", False, 8_732, (4443.1467, 4443.1467, 1510.1480, 1510.1480)),
        ("ssd300_vgg16_11620", False, 11_620, (5906.4, 5906.4, 1843.6255, 1843.6255)),
        ("ssd300_vgg16", True, 8_732, (4443.1467, 4443.1467, 1171.9677, 1171.9677)),
        ("ssd512_vgg16", False, 24_564, (12282, 12282, 3144.9986, 3144.9986)),
    ],
)
def test_sums_of_the_priors(name: str, coco: bool, count: int, sums: tuple[float, ...]) -> None:
    config = (on_coco(name) if coco else papers[name].trial).detector
    boxes = default_boxes(config.priors(), config.levels(), config.input_size)
    assert boxes.shape == (count, 4)
    assert boxes.double().sum(0).tolist() == pytest.approx(sums, rel=1e-6)


def test_single_priors() -> None:
    config = papers["ssd300_vgg16_11620"].trial.detector
    boxes = default_boxes(config.priors(), config.levels(), 300)
    assert boxes[:6, :2].flatten().tolist() == pytest.approx([4 / 300] * 12)
    sides = [
        (0.1, 0.1), (0.141421, 0.141421), (0.141421, 0.070711),
        (0.070711, 0.141421), (0.173205, 0.057735), (0.057735, 0.173205),
    ]  # fmt: skip
    for box, (width, height) in zip(boxes[:6, 2:].tolist(), sides, strict=True):
        assert box == pytest.approx((width, height), abs=1e-6)
    assert boxes[-1].tolist() == pytest.approx((0.5, 0.5, 0.622254, 1.0), abs=1e-6)


# ---- shapes


def declared(levels: Iterable[Any], count: int) -> list[tuple[int, ...]]:
    return [(count, level.channels, *level.size) for level in levels]


def shapes(maps: Iterable[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(x.shape) for x in maps]


@pytest.mark.parametrize("name", CONFIGS)
def test_declared_levels_are_the_real_maps(name: str) -> None:
    config = CONFIGS[name]
    with torch.device("meta"):
        detector = Detector(config)
        features = detector.backbone(torch.empty(2, 3, *config.size))
    stages = config.stages()
    for step, levels in zip([None, *detector.neck], stages, strict=True):
        features = features if step is None else step(features)
        assert shapes(features.maps) == declared(levels.maps, 2)
        assert shapes([features.top]) == declared([levels.top], 2)
        assert shapes(features.side) == declared(levels.side, 2)
    predictions = detector.head(features.maps)
    points, head = len(detector.head.priors), config.head
    assert sum(detector.head.counts) == points
    bins = (head.bins,) if isinstance(head, Distributions) else ()
    assert predictions.boxes.shape == (2, points, 4, *bins)
    logits = config.num_classes + isinstance(head, Multibox)
    assert predictions.classes.shape == (2, points, logits)
    assert (predictions.objectness is not None) == isinstance(head, Points)


def tensors_of(config: DetectorConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Detector(config).state_dict().items()}


RELATIVES = [
    ("ssdmnetv1", "ssdmnetv1_s2l4-6"),
    ("ssdmnetv1", "ssdmnetv1_s1l0_fmap1"),
    ("ssdmnetv1", "ssdmnetv1_s1l0_dualpath19_10_s"),
    ("ssdmnetv1_yaml", "ssdmnetv1_anchor10"),
    ("ssdmnetv1_yaml", "ssdmnetv1_size512"),
    ("ssd_vgg16_003", "ssd_vgg16_s1l2"),
    ("ssd_vgg16_003", "ssd_vgg16_s1l2_dualpath"),
]


@pytest.mark.parametrize(("stock", "relative"), RELATIVES)
def test_strides_split_and_priors_leave_every_weight_shape(stock: str, relative: str) -> None:
    stock_shapes = tensors_of(papers[stock].trial.detector)
    assert tensors_of(papers[relative].trial.detector) == stock_shapes


# ---- behaviour, at an eighth of the width


@pytest.mark.parametrize("name", NARROW)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    config = NARROW[name]
    assert without_gradient(built(config), images(config, 3)) == []


def close(first: Predictions, second: Predictions, tolerance: float) -> bool:
    """Whether predictions differ by at most `tolerance` of their root mean square."""
    pairs = zip(raw(first), raw(second), strict=True)
    return all((a.float() - b.float()).norm() <= tolerance * a.float().norm() for a, b in pairs)


@torch.no_grad()
@pytest.mark.parametrize("name", NARROW)
def test_precisions_and_memory_layouts_agree(name: str) -> None:
    config = NARROW[name]
    detector = built(config).eval()
    batch = images(config)
    expected = detector.predict(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert close(expected, detector.predict(batch), 0.05)
    detector.to(memory_format=torch.channels_last)
    batch = batch.contiguous(memory_format=torch.channels_last)
    assert close(expected, detector.predict(batch), 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", NARROW)
def test_odd_inputs_and_batches(name: str) -> None:
    config = narrow(NARROW[name], ODD)
    detector = built(config).eval()
    batch = images(config, 3)
    together = detector.predict(batch)
    alone = detector.predict(batch[2:])
    assert together.boxes.shape[:3] == (3, *detector.head.priors.shape)
    for several, one in zip(raw(together), raw(alone), strict=True):
        assert torch.allclose(several[2:], one, rtol=1e-3, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "strides"),
    [(300, (0,)), (97, (4, 6)), (97, (0, 2, 6, 12))],
)
def test_the_second_path_is_the_stock_backbone(size: int, strides: tuple[int, ...]) -> None:
    def make(backbone: MobileNetV1, *neck: Step) -> DetectorConfig:
        return DetectorConfig(input_size=size, width=0.25, backbone=backbone, neck=neck, head=RULE)

    stock = with_statistics(built(make(MobileNetV1(), Extend())))
    dual = Detector(
        make(MobileNetV1(eliminated_strides=strides, second_path=True), Split(side=1), Extend())
    ).eval()
    dual.load_state_dict(stock.state_dict())
    batch = images(stock.config)
    first, second = stock.backbone(batch), dual.backbone(batch)
    assert len(second.side) == len(first.maps)
    assert [(a - b).abs().max().item() for a, b in zip(first.maps, second.side, strict=True)] == [
        0.0, 0.0
    ]  # fmt: skip
    assert second.maps[-1].shape[-1] > first.maps[-1].shape[-1]
