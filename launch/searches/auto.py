"""A space made for data, a device and a budget: what `sparrow search` searches by default.

It narrows a named space: to input sizes at which the objects are large enough, maps and priors for
their sizes, and as many epochs as the time allows. It is a space file like any other, with its
reasons as comments; only the speed of the device is measured.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from detectors.data.dataset import Dataset
from detectors.data.health import Boxes, boxes_of
from detectors.describe import describe
from launch.files import AUTO_SPACE
from launch.searches.auto_budget import Base, Situation
from launch.searches.auto_shape import (
    PAPERS_CELLS,
    enough_for,
    input_sizes,
    maps_for,
    picked,
    priors_for,
    smallest_share,
)
from launch.searches.auto_tiles import WHOLE, Cut, cut_for
from searchspace import Space, TrialConfig, load_space
from searchspace.backbones import MobileNetV1
from searchspace.domains import options

AUTO = "auto"
"""What stands for such a space where a space is named."""

Speed = Callable[[TrialConfig, int], float]
"""Measures the seconds that a training takes for an image, at a batch size."""

BACKBONE, PRIORS = "detector.backbone.mobilenet_v1", "detector.head.multibox.priors"

FIXED_SECONDS = 25.0
"""What a trial takes besides training and scoring: above all, its measurements."""

SCORINGS = 1.2
"""Time of a trial's scorings of an image, as a multiple of the time of training on it."""

MEASURED = 30
"""Time of a trial's measurements of an image in tiles, as a multiple of the time of training on one
tile, for each tile. Those of whole images are a part of the fixed time."""

LEAST_EPOCHS, MOST_EPOCHS = 3, 300
SECOND_PART = 1 / 3
"""The share of the second part of the training (`searchspace.equal_training`) in all epochs."""

MILD = 12
"""Epochs from which a short training crops and zooms, though mildly."""


@dataclass(frozen=True)
class AutoSpace:
    """A space made for data, and why it is as it is.

    Attributes:
        text: the space as a TOML file, with its reasons.
        reasons: a sentence for each choice.
        warnings: what makes a useful result unlikely.
    """

    text: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def load(self) -> Space:
        """The space, as `load_space` reads it from the file."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / AUTO_SPACE
            file.write_text(self.text, encoding="utf-8")
            return load_space(file)


@dataclass(frozen=True)
class _Plan:
    """Fields of the space by path, and the reasons for them."""

    base: Base
    sizes: tuple[int, ...]
    batch: int
    cut: Cut = WHOLE
    strides: tuple[tuple[int, ...], ...] = ()
    taps: tuple[tuple[str, ...], ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def text(self, comments: tuple[str, ...] = ()) -> str:
        """A TOML file."""
        lines = [f"# {line}" for line in comments]
        lines += [f"extends = {json.dumps(self.base.name)}"]
        tables: dict[str, list[str]] = {}
        for path, value in self.fields.items():
            table, _, name = path.rpartition(".")
            tables.setdefault(table, []).append(f"{name} = {_toml(value)}")
        for table, rows in tables.items():
            lines += ["", f"[{table}]", *rows]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Time:
    """What fits into the budget.

    Attributes:
        sizes: the input sizes that are left.
        epochs: of a trial in both parts of the training.
        trials: about how many fit.
        cost: seconds of training on an image in the mean.
        lacking: what makes a useful result unlikely; empty if nothing does.
    """

    sizes: tuple[int, ...]
    epochs: int
    trials: int
    cost: float
    lacking: str


def make_space(train: Dataset, situation: Situation, speed: Speed) -> AutoSpace:
    """A space for training data, a device and a budget.

    Args:
        train: has at least one object.
        speed: measures the device; called at most once for each named space in question.
    """
    cut, boxes = cut_for(boxes_of(train), train.sizes)
    smallest, why = smallest_share(boxes)
    sizes, odd = input_sizes(boxes, smallest)
    batch = _batch_size(len(train.images), situation.device)
    first, *others = situation.bases

    def timed(base: Base) -> tuple[_Plan, _Time]:
        usable = sizes
        if base.lean:
            usable = sizes[: sizes.index(enough_for(sizes, smallest)) + 1]
        shaped = _shape(_Plan(base, usable, batch, cut), smallest, situation.device)
        return shaped, _timed(shaped, smallest, len(train.images), situation, speed)

    plan, time = timed(first)
    for base in others:
        if not time.lacking:
            break
        plan, time = timed(base)
    # The maps are for the objects at the inputs that are left.
    plan = _shape(replace(plan, sizes=time.sizes), smallest, situation.device)
    plan = _with_epochs(_with_priors(plan, boxes), time)
    warnings = (*odd, *filter(None, (time.lacking,)))
    low, high = (f"{smallest * plan.sizes[place]:.2g}" for place in (0, -1))
    found = f"{low} to {high}" if low != high else low
    larger = f"; with more time, up to {sizes[-1]}" if sizes[-1] > plan.sizes[-1] else ""
    reasons = (
        *cut.reasons,
        f"input sizes {_listed(picked(plan.sizes))}: {why} at least {found} px there{larger}",
        *plan.reasons,
        *([situation.weights] if situation.weights else ()),
    )
    comments = ("Made for the data, the device and the budget; edit it, and give it with --space.",)
    text = plan.text((*comments, *reasons, *(f"Warning: {words}" for words in warnings)))
    return AutoSpace(text, reasons, warnings)


def _batch_size(images: int, device: str) -> int:
    """On a CPU larger batches gain little; in a small set they leave too few steps."""
    if device == "cuda":
        return 32 if images >= 2000 else 16
    return 16 if images >= 4000 else 8 if images >= 500 else 4


def _shape(plan: _Plan, smallest: float, device: str) -> _Plan:
    """The plan with input sizes, widths and maps."""
    side = smallest * plan.sizes[-1]
    strides, taps = maps_for(side, plan.base.published, plan.base.lean)
    fields: dict[str, Any] = {"detector.input_size": _choice(picked(plan.sizes))}
    if device == "cpu":
        fields["detector.width"] = _choice(plan.base.widths)
    fields |= {
        **plan.cut.fields,
        f"{BACKBONE}.eliminated_strides": _choice(strides),
        f"{BACKBONE}.taps": _choice(taps),
        "train.batch_size": plan.batch,
    }
    enough = "maps fine enough" if len(taps[-1]) > 2 else "coarse maps are enough"
    reason = (
        f"eliminated strides {_listed(strides)}, taps {_listed(taps)}: {enough} for objects of "
        f"{side:.2g} px"
    )
    return replace(plan, strides=strides, taps=taps, fields=fields, reasons=(reason,))


def _with_priors(plan: _Plan, boxes: Boxes) -> _Plan:
    cells, ratios = priors_for(boxes, plan.sizes, plan.strides, plan.taps)
    fields = {
        **plan.fields,
        f"{PRIORS}.kind": "scaled",
        f"{PRIORS}.scaled.cells": _choice(cells),
        f"{PRIORS}.scaled.ratios": _choice(ratios),
    }
    proposed = ", ".join(f"{c:g}" for c in cells if c not in PAPERS_CELLS)
    found = f"the papers' and {proposed}, which fits" if proposed else "the papers' fit"
    reason = f"priors of {_listed(cells)} cells, ratios {_listed(ratios)}: {found} the objects"
    return replace(plan, fields=fields, reasons=(*plan.reasons, reason))


def _timed(plan: _Plan, smallest: float, images: int, situation: Situation, speed: Speed) -> _Time:
    """What fits into the budget, without the largest inputs if need be."""
    space = AutoSpace(plan.text(), (), ()).load()
    batch = min(plan.batch, images)
    measured = speed(_typical(space), batch)
    batches = max(1, images // batch)
    fewest, steps = plan.base.least
    least, good = (max(LEAST_EPOCHS, -(-n // batches)) for n in (steps, plan.base.steps))
    sizes, floor = plan.sizes, plan.sizes[0]
    if plan.base is not situation.bases[-1]:
        floor = enough_for(sizes, smallest)
    while True:
        cost = measured * _pixels(picked(sizes)) / _pixels(picked(plan.sizes))
        epoch = cost * images * (1 + _copies(space))
        looks = SCORINGS * situation.val_images + (MEASURED if plan.cut.parts > 1 else 0)
        fixed = FIXED_SECONDS + cost * plan.cut.parts * looks
        needed = fewest * (fixed + least * epoch)
        if needed <= situation.device_seconds or sizes[-1] <= floor:
            break
        sizes = sizes[:-1]
    trials, seconds = situation.shared(fixed + good * epoch)
    epochs = min(int(max(0.0, seconds - fixed) / epoch), max(MOST_EPOCHS, 2 * good))
    words = (
        f"the budget is too small for anything useful: {fewest} trials of {least} epochs need "
        f"about {needed / 3600:.2g} device-hours here, and there are "
        f"{situation.device_seconds / 3600:.2g}"
    )
    lacking = words if needed > situation.device_seconds else ""
    return _Time(sizes, max(LEAST_EPOCHS, epochs), trials, cost, lacking)


def _with_epochs(plan: _Plan, time: _Time) -> _Plan:
    """The plan with so many epochs in both parts of the training."""
    epochs, second = time.epochs, max(1, round(time.epochs * SECOND_PART))
    fields = dict(plan.fields)
    fields["train.epochs"] = epochs - second
    fields["compress.pruning.importance.finetune_epochs"] = second
    if not plan.base.published and epochs >= MILD:
        fields |= {
            "train.augment.photometric": 0.5,
            "train.augment.zoom_out": 0.2,
            "train.augment.max_zoom": 1.5,
            "train.augment.crop": 0.5,
        }
    weights = "published" if plan.base.published else "the package's own"
    reasons = (
        *plan.reasons,
        f"the networks and the recipe of the space {plan.base.name}, from {weights} weights",
        f"{epochs - second} + {second} epochs in batches of {plan.batch}: about {time.trials} "
        f"trials fit at the {1000 * time.cost:.3g} ms that training takes for an image here",
    )
    return replace(plan, fields=fields, reasons=reasons)


def _copies(space: Space) -> float:
    """The further images of copy-paste that a draw has in the mean, for each image."""
    domain = dict(space.fields())["train.copy_paste.copies"]
    found = options(domain)
    return sum(found) / len(found)


def _typical(space: Space) -> TrialConfig:
    """The configuration of median input size and width with the eliminated strides that cost the
    mean of all, or the next more; otherwise as the baseline."""
    domains = dict(space.searched())
    config = space.baseline()
    middle = {
        name: _middle(options(domains[path]))
        for name, path in (("input_size", "detector.input_size"), ("width", "detector.width"))
        if path in domains
    }
    detector = config.detector.changed(**middle)
    strides = f"{BACKBONE}.eliminated_strides"
    if strides not in domains or not isinstance(detector.backbone, MobileNetV1):
        return config.changed(detector=detector)
    edited = [
        detector.changed(backbone=detector.backbone.changed(eliminated_strides=eliminated))
        for eliminated in options(domains[strides])
    ]
    macs = [describe(each).macs for each in edited]
    costs = zip(macs, edited, strict=True)
    above = [cost for cost in costs if cost[0] >= fmean(macs)]
    return config.changed(detector=min(above, key=lambda cost: cost[0])[1])


def _middle(found: Sequence[Any]) -> Any:
    return sorted(found)[len(found) // 2]


def _pixels(sizes: tuple[int, ...]) -> float:
    return sum(size**2 for size in sizes) / len(sizes)


def _choice(options: tuple[Any, ...]) -> Any:
    """A choice, or the only option."""
    return {"choice": options} if len(options) > 1 else options[0]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ choice = {json.dumps(value['choice'])} }}"
    return json.dumps(value)


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(_plain(value) for value in values)


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
