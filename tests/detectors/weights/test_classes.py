"""Rows of a head that belong to classes, taken over by name."""

from __future__ import annotations

import pytest
import torch

from detectors.detector import Detector
from detectors.weights.classes import shared_classes
from detectors.weights.place import inherit
from searchspace import DetectorConfig, papers

THREE, FIVE = ("boat", "aeroplane", "dining table"), ("person", "airplane", "cat", "Boat", "dog")


def narrow(name: str, classes: tuple[str, ...]) -> Detector:
    config = papers[name].trial.detector
    fields = dict(config) | {"width": 0.125, "num_classes": len(classes)}
    return Detector(DetectorConfig.model_validate(fields), classes)


@pytest.mark.parametrize(
    ("name", "layer", "background"),
    [("ssdmnetv1", "head.classes.2", 1), ("yolox_tiny", "head.classes.1", 0)],
)
def test_the_rows_of_classes_of_the_same_name_are_taken(
    name: str, layer: str, background: int
) -> None:
    torch.manual_seed(0)
    source, target = narrow(name, FIVE), narrow(name, THREE)
    for tensor in (source.get_parameter(f"{layer}.bias"), target.get_parameter(f"{layer}.bias")):
        torch.nn.init.normal_(tensor)
    before = target.state_dict()[f"{layer}.weight"].unflatten(0, (-1, 3 + background)).clone()
    placement = inherit(target, source)
    assert placement.classes == ("boat", "aeroplane")
    assert placement.untouched == placement.unplaced == ()
    for part in ("weight", "bias"):
        ours = target.state_dict()[f"{layer}.{part}"].unflatten(0, (-1, 3 + background))
        theirs = source.state_dict()[f"{layer}.{part}"].unflatten(0, (-1, 5 + background))
        assert torch.equal(ours[:, background], theirs[:, background + 3])  # boat
        assert torch.equal(ours[:, background + 1], theirs[:, background + 1])  # aeroplane
        if background:
            assert torch.equal(ours[:, 0], theirs[:, 0])
    left = target.state_dict()[f"{layer}.weight"].unflatten(0, (-1, 3 + background))
    assert torch.equal(left[:, background + 2], before[:, background + 2])  # dining table


def test_classes_in_another_order_are_put_in_order() -> None:
    torch.manual_seed(0)
    source, target = narrow("ssdmnetv1", THREE), narrow("ssdmnetv1", THREE[::-1])
    assert inherit(target, source).classes == THREE[::-1]
    ours, theirs = (d.head.classes[0].weight.unflatten(0, (-1, 4)) for d in (target, source))
    assert torch.equal(ours[:, 1:], theirs[:, 1:].flip(1))


def test_vocs_names_of_classes_are_cocos() -> None:
    voc = ("aeroplane", "diningtable", "motorbike", "pottedplant", "sofa", "tvmonitor", "unicorn")
    coco = ("airplane", "dining table", "motorcycle", "potted plant", "couch", "tv", "zebra")
    assert shared_classes(narrow("ssdmnetv1", voc), narrow("ssdmnetv1", coco)) == voc[:-1]


def test_detectors_without_a_common_class_share_no_rows() -> None:
    source, target = narrow("ssdmnetv1", FIVE), narrow("ssdmnetv1", ("plate",))
    placement = inherit(target, source)
    assert placement.classes == ()
    assert all(name.startswith("head.classes.") for name in placement.untouched)
    assert len(placement.untouched) == 12
