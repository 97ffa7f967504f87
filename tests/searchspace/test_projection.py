"""The papers' systems in every named space: each field is the nearest that the space has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from searchspace import (
    Space,
    TrialConfig,
    load_space,
    papers,
    space_names,
    suggest,
    to_params,
)
from searchspace.config import Config
from searchspace.distances import distances
from searchspace.domains import Choice, Domain, Fixed, FloatRange, IntRange
from searchspace.fields import entries
from searchspace.priors import LevelledPriors, ListedPriors, ScaledPriors
from searchspace.walk import project

PRIORS = "detector.head.multibox.priors"
SAME_PIXELS = 0.05
"""How far the finest prior may be off where cells are not at the edge of what a space has."""


@dataclass(frozen=True)
class Row:
    """One field of a projection: how far it is from the published value, and could have been."""

    space: str
    system: str
    path: str
    published: Any
    projected: Any
    distance: float
    least: float

    def __str__(self) -> str:
        return (
            f"{self.space:12}{self.system:32}{self.path:52}{self.published} -> {self.projected}: "
            f"{self.distance:.3g}, not {self.least:.3g}"
        )


def apart(a: Any, b: Any, log: bool = False) -> float:
    """The distance of two values, computed independently for this test."""
    if a == b:
        return 0
    if log:
        return abs(math.log(a / b))
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b)]
    if all(numbers):
        return abs(a - b)
    if any(numbers) and isinstance(a, tuple):
        return math.hypot(*(math.log(side / b) for side in a))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(set(a) ^ set(b))
    return 1


def options(domain: Domain, value: Any) -> tuple[Any, ...]:
    """The values of a domain near a value."""
    match domain:
        case Choice(found):
            return found
        case Fixed(only):
            return (only,)
        case IntRange(low, high, step):
            return tuple(range(low, high + 1, step))
        case FloatRange(low, high):
            return (min(max(value, low), high),)


def projections(space: Space) -> Iterator[tuple[str, TrialConfig, TrialConfig]]:
    """Every paper's system that can be moved into a space: its name, as published and as moved."""
    for name, system in papers.items():
        try:
            yield name, system.trial, space.nearest(system.trial)
        except ValidationError:
            continue


def table(space: Space) -> Iterator[Row]:
    """Every field of every projection into a space."""
    for name, published, _ in projections(space):
        for row in distances(published, space):
            a, b, domain = row.published, row.ours, row.domain
            if domain is None:
                continue
            log = getattr(domain, "log", False)
            least = min(apart(a, option, log) for option in options(domain, a))
            yield Row(space.name, name, row.path, a, b, apart(a, b, log), least)
            assert (row.distance == 0) == (a == b)


@pytest.mark.parametrize("name", space_names())
def test_every_field_is_the_nearest_that_the_space_has(name: str) -> None:
    rows = list(table(load_space(name)))
    assert {row.path for row in rows} > {"detector.input_size", "detector.head.kind"}
    wrong = [str(row) for row in rows if row.distance > row.least + 1e-9]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("name", space_names())
def test_listed_priors_become_the_nearest_by_rule(name: str) -> None:
    space = load_space(name)
    wrong, seen = [], 0
    for system, published, projected in projections(space):
        theirs = getattr(published.detector.head, "priors", None)
        ours = getattr(projected.detector.head, "priors", None)
        if not isinstance(theirs, ListedPriors) or ours is None:
            continue
        seen += 1
        kinds = space.domains.get(f"{PRIORS}.kind", Fixed("scaled"))
        if "levelled" in options(kinds, None) and isinstance(ours, ScaledPriors):
            ours = ours.read_as(LevelledPriors)
        first = ours if isinstance(ours, ScaledPriors) else ours.first
        path = f"{PRIORS}.{ours.kind}" + (".first" if first is not ours else "")
        cells = theirs.sizes[0] / theirs.steps[0]
        domain = space.domains.get(f"{path}.cells", Choice(1.25, 2.0, 2.8, 3.75))
        offered = options(domain, cells)
        if abs(first.cells - cells) > min(abs(option - cells) for option in offered) + 1e-9:
            wrong.append(f"{name} {system}: {cells:.2f} cells -> {first.cells}")
    assert not wrong, "\n".join(["", *wrong])
    assert seen or name == "anchor_free"


PIXELS = {
    "ssd300_vgg16": 30, "mfssd": 30, "mdssd300": 15, "mdssd320_r101": 16, "ssdmnetv1": 45,
    "ssdmnetv1_early": 10, "ssdmnetv1_s1l6": 10, "ssdmnetv1_s1l0": 10, "ssdmnetv1_s2l4-6": 5,
    "ssdmnetv1_s1l0_dualpath19_10_s": 10, "ssd_vgg16_s1l2": 15,
}  # fmt: skip
"""The smallest prior of each system as published, in pixels of its input."""


@pytest.mark.parametrize("name", ["mobile", "papers", "full"])
def test_the_finest_prior_keeps_its_pixels(name: str) -> None:
    found = load_space(name).papers()
    there = [system for system in PIXELS if system in found]
    assert len(there) >= 6
    for system in there:
        detector = found[system].detector
        [finest, *_] = detector.priors()
        tolerance = 1 / 16 + 1e-9 if system == "mdssd320_r101" else SAME_PIXELS
        assert finest.min_size == pytest.approx(PIXELS[system], rel=tolerance), system


def test_priors_level_by_level() -> None:
    listed = papers["ssdmnetv1_s1l6"].trial.detector.head.priors
    assert [rule.cells for rule in listed.rules()] == [10 / 8, 45 / 16, 90 / 32, 135 / 64, 1.8, 1.5]
    domains = {f"{PRIORS}.kind": Choice("scaled", "levelled")}
    moved = project(papers["ssdmnetv1_s1l6"].trial, domains).detector.head.priors
    assert isinstance(moved, LevelledPriors)
    assert [rule.cells for rule in moved.rules(6)] == [1.25, 2.8, 2.8, 2.0, 2.0, 2.0]
    # By one rule for all levels: the finest one has three quarters of all priors.
    assert listed.read_as(ScaledPriors) == ScaledPriors(cells=10 / 8)
    assert listed.unlike(ScaledPriors(cells=1.25)) < listed.unlike(ScaledPriors(cells=2.0))
    assert moved.read_as(ScaledPriors) == ScaledPriors(cells=1.25)
    assert ScaledPriors(cells=2.0).read_as(LevelledPriors).rules(5) == (
        LevelledPriors().first.changed(cells=2.0),
    ) * 5  # fmt: skip


def test_fewer_than_four_levels_have_one_rule() -> None:
    short = ListedPriors(sizes=(30, 60, 120), steps=(8, 16), ratios=((2,), (2, 3)))
    assert short.read_as(LevelledPriors) is None
    assert short.read_as(ScaledPriors) == ScaledPriors(cells=3.75, ratios=(2,))


def test_a_kind_that_a_space_lacks_becomes_the_one_that_keeps_most() -> None:
    slimmed = papers["mfssd_pruned"].trial
    space = Space("s", {
        "compress.pruning.kind": Choice("none", "importance"),
        "compress.pruning.importance.target": Choice("channels", "params"),
    })  # fmt: skip
    pruning = space.nearest(slimmed).compress.pruning
    assert (pruning.kind, pruning.target, pruning.ratio) == ("importance", "params", 0.324)
    unpruned = slimmed.changed(compress={})
    assert space.nearest(unpruned).compress.pruning.kind == "none"


# ---- Defaults of nested configurations


def classes(cls: type[Config], seen: set[type[Config]]) -> set[type[Config]]:
    """All configurations within one, itself included."""
    if cls not in seen:
        seen.add(cls)
        for entry in entries(cls, {}, ""):
            for inner in [*entry.members.values(), *([entry.model] if entry.model else [])]:
                classes(inner, seen)
    return seen


def with_own_defaults() -> list[tuple[type[Config], str]]:
    """Fields whose configuration is by default another one than that of its class."""
    return sorted(
        (
            (cls, entry.name)
            for cls in classes(TrialConfig, set())
            for entry in entries(cls, {}, "")
            if isinstance(entry.default, Config) and entry.default != type(entry.default)()
        ),
        key=lambda pair: (pair[0].__name__, pair[1]),
    )


class Firsts:
    """Draws the first option of everything."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return choices[0]

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        return low

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        return low


def test_there_are_nested_defaults() -> None:
    names = {(cls.__name__, name) for cls, name in with_own_defaults()}
    assert names >= {("Points", "postprocess"), ("Distributions", "postprocess")}


@pytest.mark.parametrize(("cls", "name"), with_own_defaults())
def test_nested_configurations_have_their_owners_defaults(cls: type[Config], name: str) -> None:
    default = getattr(cls(), name)
    entry = next(e for e in entries(cls, {}, "") if e.name == name)
    domains = {f"{name}.kind": Fixed(default.kind)} if entry.members else {}
    below = f"{name}.{default.kind}" if entry.members else name
    unsearched = [e.name for e in entries(type(default), {}, below) if not e.domain]
    drawn = getattr(suggest(Firsts(), cls, domains), name)
    assert {n: getattr(drawn, n) for n in unsearched} == {
        n: getattr(default, n) for n in unsearched
    }
    assert getattr(project(cls(), domains), name) == default
    to_params(cls(), domains)


class Leaf(Config):
    x: int = 1


class Left(Config):
    kind: str = "left"
    leaf: Leaf = Leaf(x=2)


class Inner(Config):
    leaf: Leaf = Leaf(x=3)
    side: Left = Left()


class Outer(Config):
    inner: Inner = Inner(leaf=Leaf(x=4), side=Left(leaf=Leaf(x=5)))


def test_the_outermost_owner_has_the_last_word() -> None:
    outer = suggest(Firsts(), Outer)
    assert outer == Outer()
    assert (outer.inner.leaf.x, outer.inner.side.leaf.x) == (4, 5)
    assert project(Outer(inner=Inner()), {}) == Outer()
    assert to_params(Outer()) == {}


def test_heads_are_drawn_with_their_own_postprocessing() -> None:
    drawn = {}
    for name, config in load_space("anchor_free").papers().items():
        drawn[name] = config.detector.head.postprocess
    assert (drawn["yolox_s"].nms_iou, drawn["yolox_s"].candidates) == (0.65, 1000)
    gfl = drawn["gfl_r50"]
    assert (gfl.nms_iou, gfl.candidates, gfl.level_candidates) == (0.6, 5000, 1000)
    assert gfl.score_threshold == 0.05


# ---- Sides and lists


@pytest.mark.parametrize(
    ("domain", "value", "nearest"),
    [
        (Choice(128, 640, 800), (800, 1280), 800),
        (Choice((480, 640), (800, 1216)), (800, 1280), (800, 1216)),
        (Choice(300, (800, 1216), (480, 640)), (800, 1280), (800, 1216)),
        (Choice(300, (480, 640), (320, 320)), 310, (320, 320)),
        (Choice((4, 6), (6,), ()), (0, 6), (6,)),
        (Choice(("a", "b"), ("a", "c", "b")), ("z", "c", "b"), ("a", "c", "b")),
        (Choice("auto", 1, 4), 3, 4),
        (Choice(None, 0.99), None, None),
        (IntRange(128, 1280, step=32), (800, 1280), 1024),
        (IntRange(2, 64, log=True), 2.5, 3),
        (IntRange(1, 64, log=True), 1.45, 2),
        (FloatRange(64.0, 2000.0), (800, 1280), math.sqrt(800 * 1280)),
    ],
)  # fmt: skip
def test_the_nearest_of_values_other_than_numbers(
    domain: Domain, value: object, nearest: object
) -> None:
    found = domain.nearest(value)
    assert found == (pytest.approx(nearest) if isinstance(nearest, float) else nearest)


def test_all_sides_of_gfl_go_to_the_largest_input() -> None:
    for name in ("anchor_free", "full"):
        for system, config in load_space(name).papers().items():
            if system.startswith("gfl"):
                assert config.detector.input_size == 640
