"""The script beside an export cuts images where Sparrow does, and has the same rules of boxes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectors.detector import Detector
from detectors.runtimes.beside import NAMES, _templates
from detectors.runtimes.metadata import Metadata, metadata
from detectors.runtimes.onnx_graph import CANDIDATES
from detectors.runtimes.targets import TARGETS
from searchspace.heads import Postprocess
from searchspace.tiles import Tiled, TileGrid, TileSize
from tests.detectors.test_tiling import LETTERBOXED


def part(about: Metadata, start: str, end: str) -> str:
    """The script's text between two others."""
    script = _templates().get_template(NAMES["run.py"])
    text = script.render(model="x", script="run.py", target=TARGETS["onnx"], about=about, note="")
    return text[text.index(start) : text.index(end)]


@pytest.mark.parametrize(
    "tiles",
    [
        TileGrid(rows=3, columns=2, overlap=0.15),
        TileGrid(rows=1, columns=4, overlap=0),
        TileSize(side=(64, 90), overlap=0.2),
        TileSize(side=77, overlap=0.33),
    ],
)
def test_tiles_lie_in_the_same_places(make_detector: Callable[..., Detector], tiles: Tiled) -> None:
    about = metadata(make_detector(tiles=tiles))
    names: dict[str, Any] = {"math": math, "tiles": tiles.model_dump(mode="json")}
    exec(part(about, "def places(", "def merge("), names)
    rng = random.Random(0)
    for _ in range(50):
        height, width = rng.randint(1, 500), rng.randint(1, 500)
        (tops, high), (lefts, wide) = names["places"](height, 0), names["places"](width, 1)
        found = [(left, top, wide, high) for top in tops for left in lefts]
        assert found == list(tiles.tiles((height, width)))


def test_a_box_without_area_is_no_detection(make_detector: Callable[..., Detector]) -> None:
    boxes = np.array([box for box, _ in LETTERBOXED], np.float32)
    scores, labels = np.linspace(0.9, 0.1, len(boxes)), np.ones(len(boxes), int)
    names: dict[str, Any] = {
        "np": np,
        "prepare": lambda image: (image, np.array((0.5, 1.0))),
        "run": lambda images: (boxes[None], scores[None], labels[None]),
    }
    exec(part(metadata(make_detector()), "def look(", "def detect("), names)
    _, found, _ = names["look"](Image.new("RGB", (50, 100)))
    assert found.tolist() == scores[[real for _, real in LETTERBOXED]].tolist()


def test_nms_in_the_script_leaves_out_boxes_without_area(
    make_detector: Callable[..., Detector],
) -> None:
    about = metadata(make_detector(), outputs=CANDIDATES)
    rules = Postprocess(detections=1).model_dump_json()
    names: dict[str, Any] = {
        "np": np,
        "json": json,
        "about": {"postprocess": rules, "levels": "[3]"},
    }
    exec(part(about, "def keep_best(", "def look("), names)
    boxes = np.array([[1, 0.1, 1.2, 0.4], [0.1, -0.5, 0.4, 0], [0.9, 0.2, 1.5, 0.4]])
    found, scores, labels = names["suppress"](boxes, np.array([[0.9], [0.8], [0.7]]))
    assert (found.tolist(), scores.tolist(), labels.tolist()) == ([[0.9, 0.2, 1, 0.4]], [0.7], [1])
