"""The composition of a detector as drawings: the rows of its backbone, and the maps of its neck up
to the head. `diagram.html` turns them into SVG."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from detectors.composition import Composition, FeatureMap
from detectors.describe import Layer
from searchspace.backbones import RowBackbone
from searchspace.detector import DetectorConfig
from searchspace.geometry import Size
from searchspace.words import TIMES, counted

BAR, PITCH, MOST_PITCH, WIDTH = 30, 36, 64, 640
"""Width of a bar; distance of bars, at least and at most, so that few take up some width."""

LEAST_BAR, MOST_BAR = 6, 84
"""Height of the bar of a single cell, and of one of as many cells as the input has pixels."""

NAMES = 70
"""Height of the names below the bars."""

BOX: Size = (38, 112)
LANE, COLUMN = 56, 164
"""Distances of boxes, vertically and horizontally."""

TOP, MARGIN = 30, 2


@dataclass(frozen=True)
class Shape:
    """A bar or a box.

    Attributes:
        kind: its class in the style sheet: what is special about it.
        title: what is shown while a pointer rests on it.
        lines: the texts in a box.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A text, by its middle; at its end, if it is turned by `angle` degrees."""

    x: float
    y: float
    text: str
    angle: int = 0


@dataclass(frozen=True)
class Drawing:
    """A drawing of `width` x `height` pixels.

    Attributes:
        arrows: paths, which lie below all else.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...]
    texts: tuple[Text, ...] = ()
    arrows: tuple[str, ...] = ()


# ---- the backbone


def backbone_drawing(config: DetectorConfig, layers: Sequence[Layer]) -> Drawing:
    """A bar for each row of the backbone, whose height is the number of cells per side of its map
    on a logarithmic scale; below the line those of a second path."""
    rows = _rows(layers)
    eliminated, taps = _marked(config)
    highest, pitch = max(config.size), max(PITCH, min(MOST_PITCH, WIDTH // max(1, len(rows))))
    both = any(len(row.outputs) > 1 for row in rows)
    line = TOP + MOST_BAR
    below = line + (MOST_BAR if both else 4)
    shapes, texts, before = [], [], None
    for place, row in enumerate(rows):
        x = MARGIN + 24 + place * pitch
        kind = "eliminated" if row.name in eliminated else "tap" if row.name in taps else "row"
        for path, (channels, height, width) in enumerate(row.outputs[:2]):
            tall = _bar_height(height, highest)
            title = f"{row.name}: {_cells((height, width))} cells, {channels} channels"
            title += " (second path)" if path else ""
            title += ", its stride was eliminated" if kind == "eliminated" else ""
            y = line + 1 if path else line - tall
            shapes.append(Shape(x, y, BAR, tall, "second" if path else kind, title))
        size = row.outputs[0][1:]
        if size != before:
            y = line - _bar_height(size[0], highest) - 5
            texts.append(Text(x + BAR / 2, y, TIMES.join(map(str, dict.fromkeys(size)))))
        before = size
        texts.append(Text(x + BAR / 2 + 4, below + 12, row.name, angle=-60))
    width = 2 * MARGIN + 48 + len(rows) * pitch
    return Drawing(width, below + NAMES, tuple(shapes), tuple(texts))


def _rows(layers: Sequence[Layer]) -> list[Layer]:
    """The backbone's layers without those that only follow another one, as norms do."""
    rows: list[Layer] = []
    for layer in layers:
        if layer.part != "backbone" or not layer.outputs:
            continue
        if rows and not layer.macs and layer.outputs == rows[-1].outputs:
            continue
        rows.append(layer)
    return rows


def _marked(config: DetectorConfig) -> tuple[frozenset[str], frozenset[str]]:
    """The names of rows that lost their stride, and of those that the neck starts from."""
    backbone = config.backbone
    if not isinstance(backbone, RowBackbone):
        return frozenset(), frozenset()
    names = [row.name for row in backbone.stock_rows()]
    return frozenset(names[i] for i in backbone.eliminated_strides), frozenset(backbone.taps)


def _bar_height(cells: int, highest: int) -> float:
    return LEAST_BAR + (MOST_BAR - LEAST_BAR) * math.log2(cells) / math.log2(highest)


# ---- neck and head


def neck_drawing(config: DetectorConfig, composed: Composition) -> Drawing:
    """The maps of the backbone and of each step of the neck from left to right, the finest on top,
    with arrows from what each is computed from; at the right the head."""
    columns = _columns(composed)
    lanes = _lanes(composed, columns)
    last, taken = max(columns) + 1, set(zip(columns, lanes, strict=True))
    shapes, arrows = [], []
    for place, made in enumerate(composed.maps):
        x, y = _corner(columns[place], lanes[place])
        shapes.append(_box(x, y, made))
        arrows += [
            _arrow((columns[source], lanes[source]), (columns[place], lanes[place]), taken)
            for source in made.sources
        ]
    for place, level in zip(composed.read, _levels(config), strict=True):
        x, y = _corner(last, lanes[place])
        shapes.append(Shape(x, y, BOX[1], BOX[0], "head", ", ".join(level), level))
        arrows.append(_arrow((columns[place], lanes[place]), (last, lanes[place]), taken))
    texts = [
        Text(_corner(column, 0)[0] + BOX[1] / 2, TOP - 12, words)
        for column, words in _headings(config, composed, columns)
    ]
    width = 2 * MARGIN + last * COLUMN + BOX[1]
    height = TOP + (max(lanes) + 1) * LANE
    return Drawing(width, height, tuple(shapes), tuple(texts), tuple(arrows))


def _columns(composed: Composition) -> list[int]:
    """The column of each map: one for each part that makes any, the second path in its own."""
    keys = [(made.part, made.second_path) for made in composed.maps]
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def _lanes(composed: Composition, columns: Sequence[int]) -> list[int]:
    """The row of each map: one for each size, the finest on top; maps of a column that have the
    same size lie below each other."""
    keys, taken = [], set()
    for made, column in zip(composed.maps, columns, strict=True):
        key = (-made.height * made.width, 0)
        while (column, key) in taken:
            key = (key[0], key[1] + 1)
        taken.add((column, key))
        keys.append(key)
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def _headings(
    config: DetectorConfig, composed: Composition, columns: Sequence[int]
) -> list[tuple[int, str]]:
    """Columns with what makes their maps."""
    found = {}
    for made, column in zip(composed.maps, columns, strict=True):
        name = config.neck[made.part - 1].kind if made.part else "backbone"
        found[column] = "second path" if made.second_path else name
    return [*found.items(), (max(columns) + 1, config.head.kind)]


def _levels(config: DetectorConfig) -> list[tuple[str, str]]:
    """What the head does at each level, in two lines."""
    found = []
    for level, priors in zip(config.levels(), config.priors(), strict=True):
        count = priors.boxes_per_cell
        found.append((f"{counted(count, 'box', 'boxes')} per cell", f"{level.cells * count:,}"))
    return found


def _corner(column: int, lane: int) -> tuple[float, float]:
    return MARGIN + column * COLUMN, TOP + lane * LANE


def _box(x: float, y: float, made: FeatureMap) -> Shape:
    size = _cells((made.height, made.width))
    kind = "second" if made.second_path else "map"
    lines = (size, f"{made.channels} channels")
    return Shape(x, y, BOX[1], BOX[0], kind, ", ".join(lines), lines)


def _arrow(start: tuple[int, int], end: tuple[int, int], taken: Collection[tuple[int, int]]) -> str:
    """A curve from the right side of a box to the left side of another; within a column, which
    grows from top to bottom, from the bottom of one to the top of the next. It passes below the
    boxes of its own lane that lie between.

    Args:
        start, end: column and lane.
        taken: those of all boxes.
    """
    (x1, y1), (x2, y2) = _corner(*start), _corner(*end)
    if start[0] == end[0]:
        return f"M{x1 + BOX[1] / 2:g} {y1 + BOX[0]:g}L{x2 + BOX[1] / 2:g} {y2:g}"
    x1, y1, y2 = x1 + BOX[1], y1 + BOX[0] / 2, y2 + BOX[0] / 2
    if start[1] == end[1] and any((k, end[1]) in taken for k in range(start[0] + 1, end[0])):
        turn, low = (COLUMN - BOX[1]) / 2, y1 + LANE / 2
        return (
            f"M{x1:g} {y1:g}{_curve(x1, y1, x1 + turn, low)}L{x2 - turn:g} {low:g}"
            f"{_curve(x2 - turn, low, x2, y2)}"
        )
    return f"M{x1:g} {y1:g}{_curve(x1, y1, x2, y2)}"


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    """A curve that begins and ends horizontally."""
    bend = min(60.0, (x2 - x1) / 2)
    return f"C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"


def _cells(size: Size) -> str:
    return TIMES.join(map(str, size))
