"""How priors fit objects: equal to all pairs, and proposals that fit better."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert, box_iou

from detectors.data.health import fit_of_priors, proposed_priors
from detectors.data.health.fit import best_iou, clusters, typical_ratios
from detectors.priors import default_boxes
from searchspace import DetectorConfig, papers
from searchspace.heads import Multibox
from searchspace.priors import LevelPriors, ScaledPriors


def objects(seed: int, count: int, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
    """[count, 4], xyxy on an input of a height and a width."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(low, high, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(size)[::-1] - sides)
    return np.concatenate((corners, corners + sides), 1)


@pytest.mark.parametrize("size", [(160, 160), (96, 224)])
def test_the_best_iou_is_that_of_all_pairs(size: tuple[int, int]) -> None:
    config = DetectorConfig(
        input_size=size, num_classes=2, width=0.25, head=Multibox(priors=ScaledPriors(cells=2.0))
    )
    corners = objects(0, 300, 3, 90, size)
    priors = [p for p in config.priors() if isinstance(p, LevelPriors)]
    ours = best_iou(corners, priors, config.levels(), config.size)
    boxes = default_boxes(config.priors(), config.levels(), size).double()
    scale = torch.tensor((size[1], size[0]) * 2)
    every = box_iou(torch.tensor(corners), box_convert(boxes, "cxcywh", "xyxy") * scale)
    assert np.allclose(ours, every.amax(1).numpy(), atol=1e-5)


def test_the_fit_of_a_detector_is_summed_up() -> None:
    config = papers["ssdmnetv1"].trial.detector
    corners = objects(1, 500, 4, 12, config.size)
    fit = fit_of_priors(corners, config)
    assert fit is not None
    # Its smallest priors have 45 pixels.
    assert fit.mean < 0.1
    assert fit.unmatched == 1
    assert sum(fit.histogram) == 500
    assert fit.proposed > fit.mean
    assert all(3 < side < 13 for pair in fit.clusters for side in pair)


def test_heads_without_priors_have_no_fit() -> None:
    config = papers["yolox_tiny"].trial.detector
    assert fit_of_priors(objects(0, 5, 10, 20, config.size), config) is None
    assert fit_of_priors(np.zeros((0, 4)), papers["ssdmnetv1"].trial.detector) is None


def test_a_proposal_finds_the_rule_that_the_objects_were_made_with() -> None:
    config = DetectorConfig(
        input_size=160, num_classes=2, width=0.25, head=Multibox(priors=ScaledPriors())
    )
    rule = ScaledPriors(cells=1.5, ratios=(2.0,))
    boxes = default_boxes(rule.for_levels(config.levels(), (160, 160)), config.levels(), 160)
    corners = box_convert(boxes, "cxcywh", "xyxy").double().numpy() * 160
    inside = corners[((corners > 0) & (corners < 160)).all(1)]
    found, mean = proposed_priors(inside, config.levels(), (160, 160))
    assert found == rule
    assert mean > 0.97


def test_typical_ratios_are_those_of_long_objects() -> None:
    sides = np.array([[40, 10], [10, 40]] * 5 + [[20, 10]] * 10 + [[10, 11]] * 50, float)
    assert typical_ratios(sides) == (2.0, 4.0)
    assert typical_ratios(np.ones((4, 2))) == (2.0,)


def test_clusters_are_the_groups_that_there_are() -> None:
    groups = [(4.0, 4.0), (8.0, 30.0), (60.0, 60.0)]
    sides = np.repeat(np.array(groups), 30, axis=0)
    assert clusters(sides, 3) == tuple(groups)
    assert clusters(sides[:1], 6) == ((4.0, 4.0),)
