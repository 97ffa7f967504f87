"""From scores to channels, on numbers alone; and group norms, whose groups lose alike."""

from __future__ import annotations

import random

import pytest
import torch

from compress import plan_pruning, prune
from compress.channels import ChannelGraph
from compress.ranking import Layer, Ranking
from detectors.detector import Detector
from tests.compress.systems import built, by_l2, raw


def test_the_number_removed_is_rounded_down() -> None:
    draw = random.Random(0)
    for _ in range(2_000):
        parts = draw.choice((1, 1, 2, 4))
        multiple = parts * draw.choice((1, 2, 8))
        count = parts * draw.randint(2, 40)
        least = draw.randint(1, count)
        layer = Layer("x", count, least, multiple, parts)
        below = draw.randint(0, count)
        gone = layer.gone(below)
        kept = count - gone
        allowed = [k for k in range(max(count - below, least), count) if k % multiple == 0]
        assert kept == min([*allowed, count])
        assert gone % parts == 0
        assert gone <= layer.gone(min(below + 1, count))


@pytest.mark.parametrize("parts", [1, 4])
def test_the_lowest_scores_are_removed_equally_from_every_part(parts: int) -> None:
    scores = torch.rand(40, generator=torch.Generator().manual_seed(0))
    gone = Layer("x", 40, 8, parts, parts).lowest(scores, 12)
    assert len(set(gone)) == 12
    for part in range(parts):
        size = 40 // parts
        inside = [c for c in gone if c // size == part]
        assert len(inside) == 12 // parts
        left = [c for c in range(part * size, (part + 1) * size) if c not in inside]
        assert scores[inside].max() < scores[left].min()


def test_channels_of_equal_score_are_cut_one_by_one() -> None:
    layers = [Layer("a", 20, 1), Layer("b", 20, 1)]
    ranking = Ranking(layers, {"a": torch.zeros(20), "b": torch.zeros(20)}, by_layer=False)
    for cut in range(20):
        assert sum(map(len, ranking.removed(cut).values())) == cut
    ranking = Ranking(layers, {"a": torch.zeros(20), "b": torch.ones(20)}, by_layer=False)
    assert {root: len(gone) for root, gone in ranking.removed(25).items()} == {"a": 19, "b": 5}


def test_a_share_by_layer_is_each_layers_own() -> None:
    layers = [Layer("a", 10, 1), Layer("b", 30, 1)]
    scores = {"a": torch.arange(10.0), "b": 100 + torch.arange(30.0)}
    removed = Ranking(layers, scores, by_layer=True).removed(20)
    assert {root: len(gone) for root, gone in removed.items()} == {"a": 5, "b": 15}


@pytest.fixture(scope="module")
def gfl() -> Detector:
    return built("gfl_r50", width=0.25)


def test_groups_of_a_group_norm_lose_alike(gfl: Detector) -> None:
    plan = plan_pruning(gfl, by_l2(ratio=0.4, scope="layer"))
    towers = [root for root in plan.channels if "tower" in root]
    assert len(towers) == 8
    for root in towers:
        groups = gfl.get_submodule(root.removesuffix("0") + "1").num_groups
        size = plan.channels[root] // groups
        assert groups > 1
        lost = [sum(c // size == group for c in plan.removed[root]) for group in range(groups)]
        assert len(set(lost)) == 1
        assert lost[0] == int(0.4 * size)


def test_group_norms_and_learned_scales_come_back_as_they_were_saved(
    gfl: Detector, tmp_path
) -> None:
    with torch.no_grad():
        for scale in gfl.head.scales:
            scale.weight.fill_(1.7)
    prune(gfl, by_l2(ratio=0.4, round_to=8))
    loaded = Detector.load(gfl.save(tmp_path))
    assert torch.equal(raw(loaded), raw(gfl))
    for name, norm in gfl.named_modules():
        if isinstance(norm, torch.nn.GroupNorm):
            assert loaded.get_submodule(name).num_channels == norm.num_channels
            assert norm.num_channels % norm.num_groups == 0


def test_towers_that_all_levels_share_are_one_group_each(gfl: Detector) -> None:
    graph = ChannelGraph(gfl)
    makers = {graph.names[m] for m in graph.makers("neck.pyramid1.smooth.0.0")}
    assert len(makers) > 2  # every level feeds the same towers
    assert graph.makers("head.box_tower.0.0") == [gfl.head.box_tower[0][0]]
    assert graph.fixed == {
        "head.classes": "its outputs are the predictions",
        "head.boxes": "its outputs are the predictions",
    }
