from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork

from detectors.features import Features
from detectors.necks.top_down import AggregateStep, PyramidStep
from searchspace.geometry import Level, Levels, Size
from searchspace.necks.top_down import Aggregate, Pyramid

CHANNELS = (16, 24, 40)
EVEN, ODD = ((8, 12), (4, 6), (2, 3)), ((9, 13), (5, 7), (3, 4))


def given(sizes: tuple[Size, ...]) -> tuple[Levels, Features]:
    levels = tuple(Level(c, *size) for c, size in zip(CHANNELS, sizes, strict=True))
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, x.channels, *x.size, generator=generator) for x in levels]
    return Levels(maps=levels, top=levels[-1]), Features(maps=maps, top=maps[-1])


def shapes(features: Features) -> list[tuple[int, ...]]:
    return [tuple(x.shape[1:]) for x in (*features.maps, features.top)]


@torch.no_grad()
@pytest.mark.parametrize("sizes", [EVEN, ODD])
def test_the_pyramid_is_torchvisions(sizes: tuple[Size, ...]) -> None:
    levels, features = given(sizes)
    ours = PyramidStep(Pyramid(channels=8), levels, width=1.0)
    theirs = FeaturePyramidNetwork(list(CHANNELS), 8)
    for own, inner, layer in zip(
        zip(ours.lateral, ours.smooth, strict=True), theirs.inner_blocks, theirs.layer_blocks,
        strict=True,
    ):  # fmt: skip
        inner[0].load_state_dict(own[0][0].state_dict())
        layer[0].load_state_dict(own[1][0].state_dict())
    expected = theirs({str(level): x for level, x in enumerate(features.maps)})
    made = ours(features)
    for one, other in zip(made.maps, expected.values(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert made.top is made.maps[-1]


@torch.no_grad()
@pytest.mark.parametrize("sizes", [EVEN, ODD])
@pytest.mark.parametrize("step", [Pyramid(channels=32), Aggregate(channels=16, most=32, blocks=2)])
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_declared_levels_are_the_real_maps(
    sizes: tuple[Size, ...], step: Pyramid | Aggregate, width: float
) -> None:
    levels, features = given(sizes)
    module = {"pyramid": PyramidStep, "aggregate": AggregateStep}[step.kind](step, levels, width)
    after = step.levels(levels, width)
    assert shapes(module(features)) == [(x.channels, *x.size) for x in (*after.maps, after.top)]


@torch.no_grad()
def test_aggregation_goes_down_and_up_again() -> None:
    levels, features = given(ODD)
    step = AggregateStep(Aggregate(channels=16), levels, width=1.0).eval()

    def join(*maps: Tensor) -> Tensor:
        return torch.cat(maps, 1)

    def up(x: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(x, like.shape[-2:], mode="nearest")

    fine, middle, coarse = features.maps
    reduced2 = step.reduce[0](coarse)
    middle = step.down[0](join(up(reduced2, middle), middle))
    reduced1 = step.reduce[1](middle)
    out0 = step.down[1](join(up(reduced1, fine), fine))
    out1 = step.up[0](join(step.shrink[0](out0), reduced1))
    out2 = step.up[1](join(step.shrink[1](out1), reduced2))
    made = step(features)
    assert [x.shape[1] for x in made.maps] == [16, 32, 64]
    for one, other in zip(made.maps, (out0, out1, out2), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@torch.no_grad()
def test_maps_of_equal_cells_are_joined_without_a_stride() -> None:
    levels, features = given(((8, 12), (4, 6), (4, 6)))
    step = AggregateStep(Aggregate(channels=16), levels, width=1.0).eval()
    assert [x.shape[-2:] for x in step(features).maps] == [(8, 12), (4, 6), (4, 6)]


def test_top_and_side_maps_are_passed_on() -> None:
    levels, features = given(EVEN)
    side = [torch.rand(2, 8, 2, 3)]
    for module in (
        PyramidStep(Pyramid(), levels, 0.125),
        AggregateStep(Aggregate(), levels, 0.125),
    ):
        assert module(replace(features, side=side)).side is side
