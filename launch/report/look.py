"""What all plots of the page look alike in: colours, axes, layout, and how they become HTML.

Legends are part of the page around them, so that they wrap on narrow screens.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from launch.figures import FIGURES, FigureName

T = TypeVar("T")

# Distinguishable without colour by size and shape; each has a contrast of 3:1 on white and on
# black.
FRONT, OTHER, BASELINE, DENSE = "#2b7fc4", "#8a929b", "#d9690f", "#9a7bb0"
PAPER, FAILED = "#2f9268", "#cf4f49"
FAINT = "rgba(128, 136, 146, 0.22)"
BAND = "rgba(128, 136, 146, 0.25)"
INK = "#737a82"

TICKS = 5
"""Wanted on an axis whose values lie within a factor of two."""

CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"filename": "sparrow", "scale": 2},
}


def packed_plotly() -> str:
    """Plotly's script, deflated and in base64, as which it takes two fifths of its size."""
    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()


def as_html(figure: go.Figure, name: str) -> str:
    """A plot as HTML, in an element of this id; the page unpacks plotly's script before it."""
    return (
        f'<div id="{name}" style="height: 100%"></div>'
        f'<script>draw("{name}", {figure.to_json()}, {json.dumps(CONFIG)});</script>'
    )


def layout(**fields: Any) -> go.Layout:
    """The layout of all plots, with fields of one."""
    usual: dict[str, Any] = {
        "template": "none",
        "autosize": True,
        "showlegend": False,
        "margin": {"l": 60, "r": 16, "t": 36, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {
            "bgcolor": "#1d2126",
            "bordercolor": "#1d2126",
            "font": {"color": "#f2f4f5", "size": 13},
            "align": "left",
        },
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": FRONT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return go.Layout(**{**usual, **fields})


def plain_axis(title: str, **fields: Any) -> dict[str, Any]:
    """An axis with faint lines."""
    return {
        "title": {"text": title},
        "gridcolor": FAINT,
        "linecolor": INK,
        "ticks": "outside",
        "tickcolor": FAINT,
        "zerolinecolor": FAINT,
        "zerolinewidth": 1,
        **fields,
    }


def figure_axis(name: FigureName, values: Sequence[float | None]) -> Mapping[str, Any]:
    """An axis for all values of an objective: from 0, or logarithmic if ratios matter."""
    known = [value for value in values if value is not None]
    if FIGURES[name].scale == "log":
        low, high = math.log10(min(known)), math.log10(max(known))
        pad = max(0.06 * (high - low), 0.04)
        return plain_axis(
            f"{FIGURES[name].heading} (logarithmic)",
            type="log",
            range=[low - pad, high + pad],
            tickvals=_log_ticks(min(known), max(known)),
            showline=True,
        )
    top = max(known) or 0.1
    return plain_axis(FIGURES[name].heading, range=[-0.04 * top, 1.08 * top])


def _log_ticks(low: float, high: float) -> list[float]:
    """Round tick values over a range, closer together in a narrow one."""
    if high < 2 * low:
        step = _round_step((high - low) / TICKS or low / 20)
        first = math.floor(low / step) - 1
        count = math.ceil(high / step) + 2 - first
        return [tick * step for tick in range(first, first + count) if tick > 0]
    steps = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10**decade for decade in decades for step in steps]


def _round_step(step: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    decade: float = 10 ** math.floor(math.log10(step))
    return next(decade * factor for factor in (1, 2, 5, 10) if decade * factor >= step * (1 - 1e-9))


def thinned(items: Sequence[T], most: int) -> Sequence[T]:
    """All items up to `most`; of more, every second, third, ... one, so that no more are left."""
    return items[:: -(-len(items) // most) or 1]
