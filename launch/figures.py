"""Figures of a detector: one table, from which all that names, shows or compares them derives.

A row is all that a further figure needs whose value a trial's `Metrics` or `Cost` already hold.
Modules of users add rows by `register`. Nothing heavy is imported here.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, SupportsFloat, get_args

from pydantic import AfterValidator

from searchspace.digests import sha256
from searchspace.errors import InputError
from searchspace.names import most_like
from searchspace.reading import shown
from searchspace.words import TIMES

if TYPE_CHECKING:
    from detectors.data.dataset import Dataset
    from detectors.detector import Detector
    from detectors.timing.cost import Cost

Source = Literal["metrics", "cost"]
"""What of a trial's outcome holds a figure. Costs are known before training, metrics after it."""

Place = Literal["table", "file", "page"]
"""Where figures are shown: each place shows those of the places before it, too."""

MISSING = "\N{EN DASH}"


class FigureError(InputError):
    """A figure that cannot be registered or computed; the message names it and the fix."""


@dataclass(frozen=True)
class Figure:
    """One figure of a detector; its values are numbers from 0 upwards.

    Attributes:
        name: what options, files and Python call it, in lower case, such as `ap_small`.
        label: what people read, such as `AP_small`.
        source: `metrics` if it takes a trained detector, `cost` if an untrained one has it too.
        better: whether more or less of it is better.
        scale: `log` where ratios count and not differences; its values are above 0 then.
        unit: shown after the value. Equal to the label where that is the unit, such as `FPS`.
        digits: decimal places that are shown.
        change: how a change is shown: as a `factor` or as a signed `difference`.
        shown: where, besides as an objective: `table` for everywhere; `file` for the files of the
            front and the page of a report; `page` for that page alone; `objective` for nowhere.
        reference: what hypervolume is measured from; None if a front over it has no hypervolume.
        fraction: no value is above 1.
        may_be_zero: a bound of 0 can be kept or broken.
        counted: it is a number of things, read and shown with k, M or G.
        objects: the objects of the validation data without which it is not defined; None if it
            needs none.
    """

    name: str
    label: str
    source: Source
    better: Literal["up", "down"]
    scale: Literal["log", "linear"]
    unit: str = ""
    digits: int = 2
    change: Literal["factor", "difference"] = "factor"
    shown: Place | Literal["objective"] = "objective"
    reference: float | None = None
    fraction: bool = False
    may_be_zero: bool = False
    counted: bool = False
    objects: Literal["any", "very tiny", "tiny", "small", "medium", "large"] | None = None

    @property
    def bound(self) -> str:
        """What its bound is called, such as `min_ap` or `max_params`."""
        return f"{'min' if self.better == 'up' else 'max'}_{self.name}"

    @property
    def heading(self) -> str:
        """The label with the unit, as above a column."""
        return self.label if self.unit in ("", self.label) else f"{self.label}, {self.unit}"


_coco = partial(
    Figure,
    source="metrics",
    better="up",
    scale="linear",
    digits=3,
    change="difference",
    reference=0.0,
    fraction=True,
    may_be_zero=True,
    objects="any",
)
_cost = partial(Figure, source="cost", better="down", scale="log")

FIGURES: dict[str, Figure] = {
    row.name: row
    for row in (
        _coco("ap", "AP", shown="table"),
        _coco("ap50", "AP50", shown="file"),
        _coco("ap75", "AP75", shown="page"),
        _coco("ap_small", "AP_small", shown="table", objects="small"),
        _coco("ap_tiny", "AP_tiny", shown="file", objects="tiny"),
        _coco("ap_very_tiny", "AP_very_tiny", shown="file", objects="very tiny"),
        _coco("ap_medium", "AP_medium", shown="file", objects="medium"),
        _coco("ap_large", "AP_large", shown="file", objects="large"),
        _coco("ar", "AR"),
        _coco("ar_1", "AR@1"),
        _coco("ar_10", "AR@10"),
        _coco("ar_100", "AR@100"),
        _coco("ar_small", "AR_small", shown="file", objects="small"),
        _coco("ar_medium", "AR_medium", objects="medium"),
        _coco("ar_large", "AR_large", objects="large"),
        _coco("voc_map", "VOC mAP"),
        _coco("voc_map_07", "VOC07 mAP"),
        _cost("fps", "FPS", unit="FPS", better="up", digits=1, shown="table", reference=1.0),
        _cost("latency_ms", "Latency", unit="ms", shown="file", reference=1e3),
        _cost("params", "Params", counted=True, shown="table", reference=1e9),
        _cost("macs", "MACs", counted=True, shown="table", reference=1e12),
        _cost("latency_p99", "Latency p99", unit="ms", reference=1e3),
        # What a call allocates may be nothing, which has no logarithm.
        _cost("memory_mb", "Memory", unit="MB", scale="linear", may_be_zero=True, reference=1e4),
        _cost("energy_mj", "Energy", unit="mJ", reference=1e5),
    )
}
"""All figures by name, in the order in which they are shown."""

ENERGY = "energy_mj"
"""Not every device lets it be read."""

DEFAULT: tuple[FigureName, ...] = ("ap_small", "fps")


# ---- names


def known(name: str) -> str:
    """The name of a figure; raises `InputError` for any other, which names the nearest."""
    if name in FIGURES:
        return name
    near = most_like(name, FIGURES)
    raise InputError(
        f"{shown(name)}: the nearest one is {near}; there are {', '.join(FIGURES)}; a figure of "
        "your own needs the plugin that registers it"
    )


FigureName = Annotated[str, AfterValidator(known)]
"""The name of a row of `FIGURES`."""


def _each_once(names: tuple[FigureName, ...]) -> tuple[FigureName, ...]:
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"objectives {', '.join(names) or 'none'}: give at least one, and each once, from "
            f"{', '.join(FIGURES)}"
        )
    return names


Objectives = Annotated[tuple[FigureName, ...], AfterValidator(_each_once)]
"""What a search aims at, the most important first: reports draw the first against the second. The
front over one alone is the best trial."""


def of_source(source: Source, names: Iterable[str]) -> tuple[str, ...]:
    """Those of some figures that are metrics, or costs."""
    return tuple(name for name in names if FIGURES[name].source == source)


def columns(objectives: Sequence[str] = ()) -> tuple[str, ...]:
    """The figures of a trial that a table shows, that of small objects first."""
    return tuple(dict.fromkeys([DEFAULT[0], *shown_in("table", objectives)]))


def shown_in(place: Place, objectives: Sequence[str] = ()) -> tuple[str, ...]:
    """The figures of a trial that a place shows: its own, and the objectives."""
    places = get_args(Place)
    shown = places[: places.index(place) + 1]
    usual = (name for name, row in FIGURES.items() if row.shown in shown)
    return tuple(dict.fromkeys([*usual, *objectives]))


# ---- comparing


def if_known(values: Iterable[float | None]) -> tuple[float, ...] | None:
    """All of some values; None where one is not known."""
    found = tuple(values)
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(found) else None


def scaled(name: str, value: float) -> float:
    """A figure on the scale on which its differences count."""
    return math.log(value) if FIGURES[name].scale == "log" else value


def height(name: str, value: float) -> float:
    """A figure on the scale on which its differences count, and more is better."""
    return scaled(name, value) if FIGURES[name].better == "up" else -scaled(name, value)


def at_height(name: str, top: float) -> float:
    """The figure whose `height` it is."""
    value = top if FIGURES[name].better == "up" else -top
    return math.exp(value) if FIGURES[name].scale == "log" else value


def heights(names: Sequence[str], values: Sequence[float]) -> tuple[float, ...]:
    """`height` of several figures."""
    return tuple(height(name, value) for name, value in zip(names, values, strict=True))


Direction = Literal["maximize", "minimize"]


def directions(names: Sequence[str]) -> list[Direction]:
    """As Optuna calls them."""
    return ["maximize" if FIGURES[name].better == "up" else "minimize" for name in names]


# ---- showing


def show(name: str, value: float | None) -> str:
    """A figure in the digits that mean something, without its unit; a dash where there is none."""
    if value is None:
        return MISSING
    row = FIGURES[name]
    return _count(value) if row.counted else f"{value:.{row.digits}f}"


def with_unit(name: str, value: float | None) -> str:
    """A figure with its unit, e.g. `0.123`, `50.0 FPS` or `12.50 MB`."""
    return f"{show(name, value)} {FIGURES[name].unit}".rstrip()


def with_name(name: str, value: float | None) -> str:
    """A figure with its name, e.g. `AP_small 0.123`, `50.0 FPS` or `Memory 12.50 MB`."""
    row = FIGURES[name]
    text = with_unit(name, value)
    return text if row.label == row.unit else f"{row.label} {text}"


def show_change(name: str, before: float | None, after: float | None) -> str:
    """How a figure changed: a factor for costs, a signed difference for metrics."""
    if before is None or after is None:
        return MISSING
    row = FIGURES[name]
    return factor(after, before) if row.change == "factor" else f"{after - before:+.{row.digits}f}"


def factor(value: float, base: float) -> str:
    """`value` as a multiple of a `base`; a dash where that is 0."""
    return f"{value / base:.2f}{TIMES}" if base else MISSING


def _count(value: float) -> str:
    """Three significant digits and the unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # Half a last digit below the unit, rounding would reach it: 999,996 is 1.00 M.
        if value >= 0.9995 * size:
            digits = max(0, 2 - math.floor(math.log10(max(1, value / size))))
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f}"


# ---- published figures

TRIALS_FIGURE = {"voc_map": "voc_map_07", "tt100k_map": None}
"""By the name of a published figure, the figure of trials that it is compared with, if it is not
that of the same name: the papers score VOC 2007 by its own 11 points."""

PUBLISHED_HEADINGS = {"voc_map": "VOC mAP", "tt100k_map": "TT100K mAP"}


def trials_figure(name: str) -> str | None:
    """The figure of trials that a published one is compared with; None if they have none."""
    return TRIALS_FIGURE.get(name, name if name in FIGURES else None)


def published_heading(name: str) -> str:
    """What a published figure is called above a column."""
    return PUBLISHED_HEADINGS.get(name) or FIGURES[name].heading


def show_published(name: str, value: float | None) -> str:
    """A published figure, or ours beside it, in the digits that mean something."""
    return show(name if name in FIGURES else "ap", value)


# ---- figures of users

OfMetrics = Callable[["list[dict[str, Any]]", "Dataset"], "float | None"]
"""Computes a figure from all detections on the validation split, in COCO's result form
(`image_id`, `category_id`, `bbox` as x, y, width, height in pixels, `score`), and that split."""

OfCost = Callable[["Detector", "Cost"], "float | None"]
"""Computes a figure from a detector, which may be untrained, and its cost without own figures."""

_computed: dict[str, Callable[..., float | None]] = {}


def register(figure: Figure, compute: OfMetrics | OfCost) -> None:
    """Add a figure: from then on it can be an objective, a bound and a column.

    Every trial computes it and stores it in its outcome: a metric whenever a detector is scored,
    a cost whenever one is measured, the untrained detector included.

    Args:
        compute: a function of a file, which is part of the key of what a trial stores: where the
            file changes, figures are computed anew. It gives a number from 0 (above 0 for a
            logarithmic scale), or None where the figure is not defined.

    Raises:
        FigureError: the name is taken or no name, or the function does not lie in a file.
    """
    name = figure.name
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise FigureError(f"figure {name!r}: give a name of lower-case letters, digits and _")
    if name in FIGURES:
        raise FigureError(f"figure {name}: there is one of that name already; choose another")
    try:
        _file(compute)
    except (TypeError, OSError):
        raise FigureError(
            f"figure {name}: {compute!r} does not lie in a file; define the function in a module"
        ) from None
    FIGURES[name], _computed[name] = figure, compute


def is_own(name: str) -> bool:
    """Whether a figure was registered by a module of users."""
    return name in _computed


def own_figures(source: Source, *given: object) -> dict[str, float | None]:
    """The registered figures of one source, computed from what their functions take.

    Raises:
        FigureError: one gives what is no value of a figure.
    """
    names = of_source(source, _computed)
    return {name: _valid(FIGURES[name], _computed[name](*given)) for name in names}


def own_versions(source: Source) -> dict[str, str]:
    """What the registered figures of one source depend on, by name: digests of their files."""
    return {name: sha256(_file(_computed[name])) for name in of_source(source, _computed)}


def _file(compute: Callable[..., float | None]) -> Path:
    file = Path(inspect.getfile(compute))
    if not file.is_file():
        raise OSError(file)
    return file


def value_of(name: str, value: object) -> float:
    """A value of a figure as a number; raises `InputError` where the figure cannot have it."""
    row = FIGURES[name]
    try:
        number = float(value) if isinstance(value, SupportsFloat) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    above = number > 0 if row.scale == "log" else number >= 0
    if not (above and math.isfinite(number) and (number <= 1 or not row.fraction)):
        raise InputError(f"{name} {value!r}: give {_wanted(row)}")
    return number


def _valid(figure: Figure, value: float | None) -> float | None:
    if value is None:
        return None
    try:
        return value_of(figure.name, value)
    except InputError:
        raise FigureError(
            f"figure {figure.name}: its function gave {value!r}; let it give {_wanted(figure)}, or "
            "None where the figure is not defined"
        ) from None


def _wanted(figure: Figure) -> str:
    least = "a number above 0" if figure.scale == "log" else "a number from 0"
    return f"{least} to 1" if figure.fraction else least
