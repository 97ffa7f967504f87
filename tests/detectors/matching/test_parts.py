"""Matching in parts: bounded memory however many objects an image has, and the same result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from detectors.detector import Detector, padded_objects
from detectors.matching import Objects, match_atss, match_max_iou, match_simota
from searchspace import papers
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors

Match = Callable[[Any, Objects], Tensor]

MATCHERS: dict[str, Match] = {
    "max_iou": lambda scene, objects: match_max_iou(scene.points, objects),
    "atss": lambda scene, objects: match_atss(scene.points, scene.counts, objects),
    "simota": lambda scene, objects: match_simota(
        scene.boxes, scene.classes, scene.objectness, scene.points, objects
    ),
}
PAIRS = "detectors.matching.objects.MOST_PAIRS"


class Largest(TorchDispatchMode):
    """Notes the number of values of the largest tensor that is made."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and value.untyped_storage().nbytes():
                held = value.untyped_storage().nbytes() // value.element_size()
                self.numel = max(self.numel, held)
        return out


def counted(objects: Objects) -> Objects:
    """The same objects, whose numbers are known."""
    return replace(objects, counts=tuple(objects.valid.sum(1).tolist()))


@pytest.mark.parametrize("name", MATCHERS)
@pytest.mark.parametrize("pairs", [1, 84 * 2, 84 * 7, 84 * 13])
def test_parts_give_the_same_matches(
    name: str, pairs: int, make_scene: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(3, images=5, count=11)
    # Equal boxes: the first, or for claims the last, of equal ones is taken across parts.
    boxes = scene.objects.boxes.clone()
    boxes[:, 7:] = boxes[:, :4]
    objects = replace(scene.objects, boxes=boxes)
    whole = MATCHERS[name](scene, objects)
    monkeypatch.setattr(PAIRS, pairs)
    assert MATCHERS[name](scene, objects).equal(whole)
    assert MATCHERS[name](scene, counted(objects)).equal(whole)
    assert len(whole.unique()) > 3


@pytest.mark.parametrize("name", MATCHERS)
def test_memory_is_bounded_with_thousands_of_objects(
    name: str, make_scene: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = 2**16
    monkeypatch.setattr(PAIRS, pairs)
    scene = make_scene(0, images=3, count=3000)
    assert scene.objects.valid.numel() * len(scene.points) > 10 * pairs
    with Largest() as made:
        matches = MATCHERS[name](scene, counted(scene.objects))
    # Two coordinates of each pair, or nine candidates on each of three levels of each object.
    assert made.numel <= 4 * pairs
    assert (matches[0] >= 0).any()


def test_padding_of_images_with_few_objects_is_skipped(
    make_scene: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = counted(make_scene(0, images=6, count=40).objects)
    monkeypatch.setattr(PAIRS, 84 * 40 * 2)
    parts = [(part.start, part.stop, some.valid.shape) for part, some in objects.some_images(84)]
    # The last image is empty, and the one before it has one object.
    assert parts == [(0, 2, (2, 40)), (2, 4, (2, 40)), (4, 6, (2, 1))]


@pytest.mark.parametrize("name", ["ssdmnetv1", "yolox_tiny", "gfl_r50"])
def test_losses_are_finite_with_thousands_of_objects_with_none_and_below_a_pixel(
    name: str,
) -> None:
    config = papers[name].trial.detector
    small = {"input_size": 64, "width": 0.125, "num_classes": 2}
    if name != "ssdmnetv1":
        small["head"] = config.head.model_copy(update={"strides": None})
    else:
        small["head"] = Multibox(priors=ScaledPriors())
    detector = Detector(config.model_copy(update=small)).train()
    corners = torch.rand(3000, 2) * 60
    crowd = torch.cat((corners, corners + 0.5), 1)
    speck = torch.tensor([[10.0, 10.0, 10.01, 10.02], [64.0, 64.0, 64.0, 64.0]])
    targets = [
        {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.long)}
        for boxes in (crowd, speck, torch.zeros(0, 4))
    ]
    images = torch.rand(3, 3, 64, 64)
    assert padded_objects(targets, [(64, 64)] * 3, 64).counts == (3000, 2, 0)
    for batch in (targets, targets[2:] * 3):
        losses = detector(images, batch)
        sum(losses.values()).backward()
        assert all(value.isfinite() for value in losses.values())
        gradients = [p.grad for p in detector.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)
