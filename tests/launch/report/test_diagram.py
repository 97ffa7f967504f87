"""Drawings of compositions: nothing is left out, no arrow runs through a box that it passes."""

from __future__ import annotations

import re

import pytest

from detectors.composition import composition
from detectors.describe import describe_layers
from launch.report.diagram import backbone_drawing, neck_drawing
from searchspace import papers
from searchspace.words import TIMES

DUAL = "ssdmnetv1_s1l0_dualpath19_10_c"


@pytest.mark.parametrize("name", [DUAL, "fssd300"])
def test_every_map_and_every_level_of_the_head_is_a_box(name: str) -> None:
    config = papers[name].trial.detector
    found = composition(config)
    drawing = neck_drawing(config, found)
    maps = [shape.lines for shape in drawing.shapes if shape.kind != "head"]
    assert maps == [(f"{m.height}{TIMES}{m.width}", f"{m.channels} channels") for m in found.maps]
    counts = [shape.lines[1] for shape in drawing.shapes if shape.kind == "head"]
    levels = zip(config.levels(), config.priors(), strict=True)
    assert counts == [f"{level.cells * prior.boxes_per_cell:,}" for level, prior in levels]
    assert len(drawing.arrows) == sum(len(m.sources) for m in found.maps) + len(found.read)
    corners = [(shape.x, shape.y) for shape in drawing.shapes]
    assert len(set(corners)) == len(corners)
    assert max(x for x, _ in corners) < drawing.width


def test_arrows_pass_boxes_of_their_lane_below_them() -> None:
    config = papers[DUAL].trial.detector
    drawing = neck_drawing(config, composition(config))
    below = 0
    for path in drawing.arrows:
        numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
        x1, y1, x2, y2 = *numbers[:2], *numbers[-2:]
        between = [s for s in drawing.shapes if x1 < s.x < x2 - 1 and s.y < y1 < s.y + s.height]
        if y1 == y2 and between:
            assert max(numbers[1::2]) > max(s.y + s.height for s in between)
            below += 1
    assert below == 2


def test_bars_are_the_rows_with_lost_strides_taps_and_second_path() -> None:
    config = papers[DUAL].trial.detector
    drawing = backbone_drawing(config, describe_layers(config))
    kinds = [shape.kind for shape in drawing.shapes]
    rows = config.backbone.built_rows()
    assert kinds.count("second") == len(rows) - 1
    assert [shape.title.partition(":")[0] for shape in drawing.shapes if shape.kind == "tap"] == [
        "layer11",
        "layer13",
    ]
    [lost] = [shape for shape in drawing.shapes if shape.kind == "eliminated"]
    assert lost.title == f"layer0: 300{TIMES}300 cells, 32 channels, its stride was eliminated"
    assert [text.text for text in drawing.texts if not text.angle] == [
        "300",
        "150",
        "75",
        "38",
        "19",
    ]
