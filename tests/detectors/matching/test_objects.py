from __future__ import annotations

import torch

from detectors.matching import Matched, Objects, matched

OBJECTS = Objects(
    boxes=torch.tensor([[[0.0, 0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 0.7]], [[0.0] * 4] * 2]),
    labels=torch.tensor([[300, 1], [0, 0]]),
    small=torch.tensor([[True, False], [True, False]]),
    valid=torch.tensor([[True, True], [False, False]]),
)


def test_what_is_matched_to_each_prior() -> None:
    found: Matched = matched(OBJECTS, torch.tensor([[-1, 1, 0], [-1, -1, -1]]))
    assert found.positive.tolist() == [[False, True, True], [False] * 3]
    assert found.labels.tolist() == [[0, 1, 300], [0, 0, 0]]
    assert found.small.tolist() == [[False, False, True], [False] * 3]
    assert found.boxes[0, 1:].equal(OBJECTS.boxes[0].flip(0))
    assert found.boxes.isfinite().all()
    assert found.count == 2
    assert found.sum(torch.tensor([[torch.nan, 2.0, 3.0], [torch.nan] * 3])) == 5
    assert found.one_hot(300).nonzero().tolist() == [[0, 1, 0], [0, 2, 299]]


def test_objects_move_in_one_transfer(device: torch.device) -> None:
    moved = OBJECTS.to(device)
    assert moved.boxes.device.type == device.type
    # Packed and taken apart, as for a device that is not the CPU.
    meta = OBJECTS.to(torch.device("meta"))
    for name in ("boxes", "labels", "small", "valid"):
        value = getattr(OBJECTS, name)
        there = getattr(moved, name)
        assert there.dtype == value.dtype
        assert there.cpu().equal(value), name
        assert getattr(meta, name).dtype == value.dtype
        assert getattr(meta, name).shape == value.shape
