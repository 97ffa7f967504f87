"""The eight choices that the papers explore, choice by choice and space by space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from searchspace import TrialConfig, load_space, papers
from searchspace.choices import CHOICES, PaperChoice
from searchspace.config import Config
from searchspace.domains import Choice, FloatRange, options
from searchspace.fields import entries, paths
from searchspace.priors import ListedPriors

NAMES = [choice.name for choice in CHOICES]


def values_of(config: Config, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path and the value of every field of a configuration, as a space would name them."""
    for entry in entries(type(config), {}, path):
        value = getattr(config, entry.name)
        if entry.members:
            member = entry.member(value, dict(config), entry.members)
            if member is not None:
                yield f"{entry.path}.kind", member.kind
                yield from values_of(member, f"{entry.path}.{member.kind}")
        elif entry.model:
            yield from values_of(value, entry.path)
        else:
            yield entry.path, value


def published(path: str) -> set[object]:
    """The values of a field in all of the papers' systems."""
    found = (dict(values_of(system.trial)).get(path) for system in papers.values())
    return {value for value in found if value is not None}


@pytest.mark.parametrize("space", ["mobile", "papers", "full"])
@pytest.mark.parametrize("choice", CHOICES, ids=NAMES)
def test_the_papers_values_are_in_the_space(choice: PaperChoice, space: str) -> None:
    assert list(choice.missing(load_space(space))) == []
    assert choice.domains(load_space(space))


def test_there_are_eight_and_their_fields_exist() -> None:
    assert len(CHOICES) == 8
    known = set(paths(TrialConfig))
    assert [path for choice in CHOICES for path in choice.values if path not in known] == []


@pytest.mark.parametrize("choice", CHOICES, ids=NAMES)
def test_their_values_are_those_of_the_papers_systems(choice: PaperChoice) -> None:
    for path, values in choice.values.items():
        if path.endswith((".neck.kind", "priors.kind", "pruning.kind", ".cells")):
            continue  # the kinds in question; priors are listed by the papers, see below
        outside = [
            value
            for value in published(path)
            if value not in values and not (path.endswith("temperature") and 1 <= value <= 8)
        ]
        assert not outside, path


def test_prior_sizes_reach_from_the_smallest_to_the_largest_of_the_papers() -> None:
    heads = [system.trial.detector.head for system in papers.values()]
    listed = [h.priors for h in heads if isinstance(getattr(h, "priors", None), ListedPriors)]
    cells = [rule.cells for priors in listed for rule in priors.rules()]
    [sizes] = [choice for choice in CHOICES if choice.name == "prior sizes"]
    ends = sizes.values["detector.head.multibox.priors.scaled.cells"]
    assert (min(cells), max(cells)) == pytest.approx(ends)


def test_what_a_space_lacks_is_named() -> None:
    by_name = {choice.name: choice for choice in CHOICES}
    mobile = load_space("mobile")
    small = mobile.fix("train.small_objects.weight", {"choice": [1.0, 2.0]})
    [weight] = by_name["loss weight of small objects"].missing(small)
    assert weight == "train.small_objects.weight = 0.95"
    ssd = mobile.fix("detector.neck.kind", "ssd")
    lacked = list(by_name["layers fused and their channel ratios"].missing(ssd))
    assert "detector.neck.kind = 'fused'" in lacked
    assert "detector.neck.fused.at = 1" in lacked
    # VGG16 is not among its backbones, so its taps are not missing.
    assert not [words for words in lacked if "vgg16" in words]


def test_the_published_weight_comes_with_its_offset_in_every_space() -> None:
    published = papers["yolox_tiny_weighted"].trial.train.small_objects
    for name in ("quick", "anchor_free", "full"):
        space = load_space(name)
        moved = space.nearest(papers["yolox_tiny_weighted"].trial)
        assert moved.train.small_objects == published
        assert space.holds(moved)
        stock = space.baseline().train.small_objects
        assert (stock.weight, stock.offset) == (1, 0)
    heavy = load_space("quick").fix("train.small_objects.weight", 2.0)
    assert heavy.baseline().train.small_objects.offset == 0
    named = load_space("mobile").fix("train.small_objects.offset", 0.3)
    assert named.nearest(papers["yolox_tiny_weighted"].trial).train.small_objects.offset == 0.3
    assert named.holds(named.baseline())


def test_teachers_of_the_training_are_in_the_named_spaces() -> None:
    for name in ("mobile", "papers", "full", "anchor_free"):
        fields = dict(load_space(name).fields())
        assert options(fields["train.distillation.kind"]) == ("none", "channel_wise")
        assert options(fields["train.distillation.channel_wise.teacher"]) == ("given",)
        assert fields["train.distillation.channel_wise.temperature"] == FloatRange(1, 8)
    quick = dict(load_space("quick").fields())
    assert options(quick["train.distillation.kind"]) == ("none",)
    assert quick["train.small_objects.weight"] == Choice(0.95, 1.0, 2.0)
