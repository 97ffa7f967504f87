from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou, generalized_box_iou_loss

from detectors.boxes import (
    aligned_giou,
    aligned_iou,
    batched_iou,
    decode,
    decode_from_sides,
    decode_in_cells,
    encode,
    encode_as_sides,
    encode_in_cells,
)

PRIOR = torch.tensor([0.5, 0.5, 0.2, 0.4])
sides = st.floats(0.01, 1.0)
centres = st.floats(0.0, 1.0)
centred = st.tuples(centres, centres, sides, sides)


def random_boxes(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(*shape, 2, 2, generator=generator).sort(dim=-2).values
    return corners.flatten(-2)


def test_the_coding_by_hand() -> None:
    box = torch.tensor([0.45, 0.30, 0.75, 0.70])
    assert encode(box, PRIOR).tolist() == pytest.approx([5, 0, 2.02733, 0], abs=1e-5)
    assert decode(torch.tensor([5, 0, 2.027326, 0]), PRIOR).tolist() == pytest.approx(
        box.tolist(), abs=1e-6
    )
    assert decode(torch.zeros(4), PRIOR).tolist() == pytest.approx([0.4, 0.3, 0.6, 0.7])


@given(centred, centred)
def test_decoding_undoes_encoding(
    box: tuple[float, float, float, float], prior: tuple[float, float, float, float]
) -> None:
    x, y, w, h = box
    corners = torch.tensor((x - w / 2, y - h / 2, x + w / 2, y + h / 2), dtype=torch.float64)
    priors = torch.tensor(prior, dtype=torch.float64)
    back = decode(encode(corners, priors), priors)
    assert back.tolist() == pytest.approx(corners.tolist(), abs=1e-9)


def test_codings_broadcast_over_batches() -> None:
    boxes, priors = random_boxes(0, 3, 7), torch.rand(7, 4) + 0.1
    coded = encode(boxes, priors)
    assert coded.shape == (3, 7, 4)
    assert torch.allclose(coded[1], encode(boxes[1], priors))
    assert torch.allclose(decode(coded, priors), boxes, atol=1e-5)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_wild_offsets_and_empty_boxes_stay_finite(offset: float, size: float) -> None:
    assert decode(torch.tensor([offset, offset, size, size]), PRIOR).isfinite().all()
    assert encode(torch.full((4,), 0.3), PRIOR).isfinite().all()


POINT = torch.tensor([20.0, 12.0, 8.0, 8.0])
"""The middle of the cell in column 2, row 1 of a map of stride 8."""


def test_the_coding_in_cells_by_hand() -> None:
    box = torch.tensor([18.0, 4.0, 34.0, 12.0])
    coded = encode_in_cells(box, POINT)
    # Decoding as section 7.1 says: centre (code + cell) * stride, sides exp(code) * stride.
    assert ((coded[:2] + torch.tensor([2.0, 1.0])) * 8).tolist() == pytest.approx([26, 8])
    assert (coded[2:].exp() * 8).tolist() == pytest.approx([16, 8])


def test_the_coding_as_sides_by_hand() -> None:
    box = torch.tensor([18.0, 4.0, 34.0, 11.0])
    assert encode_as_sides(box, POINT).tolist() == [0.25, 1.0, 1.75, -0.125]


@given(centred, centred)
def test_decoding_undoes_the_codings_of_points(
    box: tuple[float, float, float, float], point: tuple[float, float, float, float]
) -> None:
    x, y, w, h = box
    corners = torch.tensor((x - w / 2, y - h / 2, x + w / 2, y + h / 2), dtype=torch.float64)
    points = torch.tensor(point, dtype=torch.float64)
    back = decode_in_cells(encode_in_cells(corners, points), points)
    assert back.tolist() == pytest.approx(corners.tolist(), abs=1e-9)
    back = decode_from_sides(encode_as_sides(corners, points), points)
    assert back.tolist() == pytest.approx(corners.tolist(), abs=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_wild_codes_in_cells_stay_finite(offset: float, size: float) -> None:
    assert decode_in_cells(torch.tensor([offset, offset, size, size]), POINT).isfinite().all()


def test_codings_of_points_broadcast() -> None:
    boxes, points = random_boxes(0, 3, 7), torch.rand(7, 4) + 0.1
    for code in (encode_in_cells, encode_as_sides):
        coded = code(boxes, points)
        assert coded.shape == (3, 7, 4)
        assert coded[1].equal(code(boxes[1], points))
    assert encode_in_cells(torch.full((4,), 0.3), POINT).isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_aligned_iou_is_torchvisions(seed: int) -> None:
    boxes, others = random_boxes(seed, 40), random_boxes(seed + 100, 40)
    expected = box_iou(boxes, others).diagonal()
    assert torch.allclose(aligned_iou(boxes, others), expected, atol=1e-6)


def test_iou_of_boxes_apart_or_empty_has_finite_gradients() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [3, 3, 3, 3], [5, 5, 6, 6]], requires_grad=True)
    others = torch.tensor([[2.0, 2, 3, 3], [3, 3, 3, 3], [5, 5, 6, 6]])
    iou = aligned_iou(boxes, others)
    assert iou.tolist() == [0, 0, 1]
    iou.sum().backward()
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize("seed", range(5))
def test_iou_is_torchvisions(seed: int) -> None:
    boxes, others = random_boxes(seed, 9), random_boxes(seed + 100, 4)
    assert torch.allclose(batched_iou(boxes, others), box_iou(boxes, others), atol=1e-6)


def test_iou_of_batches_is_that_of_each() -> None:
    boxes, others = random_boxes(1, 2, 5), random_boxes(2, 2, 3)
    batched = batched_iou(boxes, others)
    assert batched.shape == (2, 5, 3)
    for image in range(2):
        assert torch.equal(batched[image], batched_iou(boxes[image], others[image]))


def test_iou_by_hand() -> None:
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    others = torch.tensor(
        [
            [0.0, 0.0, 2.0, 2.0],
            [1.0, 1.0, 3.0, 3.0],
            [2.0, 0.0, 4.0, 2.0],
            [5.0, 5.0, 6.0, 6.0],
            [1.0, 1.0, 1.0, 1.0],
            [0.5, 0.5, 1.5, 1.5],
        ]
    )
    expected = [1, 1 / 7, 0, 0, 0, 1 / 4]
    assert batched_iou(box, others)[0].tolist() == pytest.approx(expected)
    empty = torch.zeros(1, 4)
    assert batched_iou(empty, empty).tolist() == [[0]]


def test_the_generalised_iou_is_that_of_torchvision() -> None:
    boxes = torch.cat(
        (random_boxes(1, 200), torch.tensor([[0.0, 0, 0.1, 0.1], [0.5, 0.5, 0.5, 0.5]]))
    )
    others = torch.cat((random_boxes(2, 200), torch.tensor([[0.5, 0.5, 1.0, 1.0]] * 2)))
    gradients = []
    for loss in (lambda a, b: 1 - aligned_giou(a, b), generalized_box_iou_loss):
        given = boxes.clone().requires_grad_()
        losses = loss(given, others)
        losses.sum().backward()
        gradients.append((losses.detach(), given.grad))
    (ours, slope), (theirs, their_slope) = gradients
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(slope[:-1], their_slope[:-1], atol=1e-3, rtol=1e-3)
