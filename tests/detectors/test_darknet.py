from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detectors.backbones import build_backbone
from detectors.darknet import CrossStage, DarknetBlock, Focus, PyramidPooling
from searchspace.backbones import CSPDarknet
from searchspace.geometry import Size


def pixels(x: Tensor, stride: int) -> Tensor:
    """The input of a Focus' convolution."""
    focus = Focus(x.shape[1], 8, stride)
    seen: list[Tensor] = []
    focus.conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    focus.eval()(x)
    return seen[0]


@torch.no_grad()
def test_focus_turns_four_pixels_into_channels() -> None:
    x = torch.arange(2 * 4 * 6, dtype=torch.float32).reshape(1, 2, 4, 6)
    cells = pixels(x, stride=2)
    assert cells.shape == (1, 8, 2, 3)
    for row in range(2):
        for column in range(3):
            window = x[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            order = (window[:, 0, 0], window[:, 1, 0], window[:, 0, 1], window[:, 1, 1])
            assert torch.equal(cells[0, :, row, column], torch.cat(order))


@torch.no_grad()
def test_focus_sees_zeros_beyond_an_odd_border() -> None:
    cells = pixels(torch.ones(1, 1, 3, 4), stride=2)
    assert cells.shape == (1, 4, 2, 2)
    assert cells[0, :, 1].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 48), (31, 33), (2, 2)])
def test_focus_without_its_stride_computes_the_same_at_every_second_cell(size: Size) -> None:
    torch.manual_seed(0)
    strided, dense = Focus(3, 8, 2).eval(), Focus(3, 8, 1).eval()
    dense.load_state_dict(strided.state_dict())
    x = torch.rand(1, 3, *size)
    expected, made = strided(x), dense(x)
    assert made.shape[-2:] == x.shape[-2:]
    assert torch.allclose(made[..., ::2, ::2], expected, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("eliminated", [(0,), (3,), (1, 5)])
@pytest.mark.parametrize("size", [(96, 64), (101, 67)])
def test_the_second_path_is_the_stock_backbone(eliminated: tuple[int, ...], size: Size) -> None:
    torch.manual_seed(0)
    stock = build_backbone(CSPDarknet(), 0.125).eval()
    dual = build_backbone(CSPDarknet(eliminated_strides=eliminated, second_path=True), 0.125).eval()
    dual.load_state_dict(stock.state_dict())
    images = torch.rand(1, 3, *size)
    expected, made = stock(images).maps, dual(images)
    for second, first in zip(made.side, expected[-len(made.side) :], strict=True):
        assert torch.allclose(second, first, atol=1e-5)
    assert made.maps[-1].shape[-1] > expected[-1].shape[-1]


@torch.no_grad()
def test_a_cross_stage_concatenates_both_branches() -> None:
    stage = CrossStage(8, 16, blocks=2, shortcut=True).eval()
    x = torch.rand(1, 8, 5, 5)
    first, *blocks = stage.through
    through = first(x)
    for block in blocks:
        through = through + block.convs(through)
    assert torch.allclose(stage(x), stage.close(torch.cat((through, stage.past(x)), 1)))
    assert [type(block) for block in blocks] == [DarknetBlock, DarknetBlock]


@torch.no_grad()
def test_a_block_without_shortcut_is_its_convolutions() -> None:
    block, x = DarknetBlock(8, shortcut=False).eval(), torch.rand(1, 8, 5, 5)
    assert torch.equal(block(x), block.convs(x))


@torch.no_grad()
def test_pooling_takes_the_maxima_of_three_windows() -> None:
    spp, x = PyramidPooling(8, 12).eval(), torch.rand(1, 8, 9, 7)
    inner = spp.open(x)
    pooled = [nn.functional.max_pool2d(inner, k, 1, k // 2) for k in (5, 9, 13)]
    assert torch.allclose(spp(x), spp.close(torch.cat([inner, *pooled], 1)))


def test_batch_norms_have_yoloxs_constants() -> None:
    backbone = build_backbone(CSPDarknet(), 0.125)
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.parametrize(
    ("depth", "blocks"), [(0.33, [1, 3, 3, 1]), (0.67, [2, 6, 6, 2]), (0.05, [1, 1, 1, 1])]
)
def test_depth_multiplies_the_blocks(depth: float, blocks: list[int]) -> None:
    backbone = build_backbone(CSPDarknet(depth=depth), 0.125)
    stages = [layer for layer in backbone.children() if isinstance(layer, CrossStage)]
    assert [len(stage.through) - 1 for stage in stages] == blocks
