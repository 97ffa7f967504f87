"""The script beside an export cuts images where Sparrow does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from detectors.detector import Detector
from detectors.runtimes.beside import NAMES, _templates
from detectors.runtimes.metadata import metadata
from detectors.runtimes.targets import TARGETS
from searchspace.tiles import Tiled, TileGrid, TileSize


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
    script = _templates().get_template(NAMES["run.py"])
    text = script.render(model="x", script="run.py", target=TARGETS["onnx"], about=about, note="")
    start, end = text.index("def places("), text.index("def merge(")
    names: dict[str, Any] = {"math": math, "tiles": tiles.model_dump(mode="json")}
    exec(text[start:end], names)
    rng = random.Random(0)
    for _ in range(50):
        height, width = rng.randint(1, 500), rng.randint(1, 500)
        (tops, high), (lefts, wide) = names["places"](height, 0), names["places"](width, 1)
        found = [(left, top, wide, high) for top in tops for left in lefts]
        assert found == list(tiles.tiles((height, width)))
