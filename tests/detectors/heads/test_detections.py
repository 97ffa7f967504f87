"""Detections of every head: only likely priors are decoded, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from detectors.detector import Detector
from detectors.features import Predictions
from detectors.heads import DenseHead
from detectors.postprocess import Detections, postprocess
from searchspace.heads import Distributions, Head, Multibox, Points, Postprocess
from searchspace.necks import Pyramid
from searchspace.priors import ScaledPriors

CLASSES = (3, 40)
"""Softmax takes another way above 32."""


def multibox(config: Postprocess) -> Head:
    return Multibox(priors=ScaledPriors(), postprocess=config)


HEADS = {
    "multibox": multibox,
    "points": lambda config: Points(postprocess=config),
    "distributions": lambda config: Distributions(postprocess=config),
}
CONFIGS = [
    Postprocess(),
    Postprocess(score_threshold=0.0, candidates=50),
    Postprocess(score_threshold=0.2, nms_iou=0.6),
    Postprocess(score_threshold=0.2, level_candidates=20),
    Postprocess(level_candidates=3, candidates=10),
    Postprocess(candidates=None),
    Postprocess(candidates=None, class_candidates=20, detections=200),
    Postprocess(candidates=50, class_candidates=4, score_threshold=0.05),
]


def built(
    make_detector: Callable[..., Detector], kind: str, config: Postprocess, classes: int
) -> DenseHead:
    """On maps of 16x16 and 8x8 cells."""
    changes = {"input_size": 256, "neck": (Pyramid(),), "num_classes": classes}
    return make_detector(head=HEADS[kind](config), **changes).head


def random_predictions(head: DenseHead, classes: int, background: float) -> Predictions:
    """Of two images, mostly background."""
    random = torch.Generator().manual_seed(0)
    scores = torch.rand(2, len(head.priors), classes, generator=random) ** (background * classes)
    made = head.predictions_of(scores / scores.sum(-1, keepdim=True).clamp(min=1))
    offsets = 0.3 * torch.randn(made.boxes.shape, generator=random)
    if offsets.dim() == 4:  # small boxes have short distances
        offsets -= torch.arange(offsets.shape[-1])
    return Predictions(offsets, made.classes, made.objectness)


def plainly(head: DenseHead, predictions: Predictions) -> Detections:
    """With all priors decoded and scored."""
    boxes, scores = head.boxes_of(predictions), head.scores_of(predictions)
    return postprocess(boxes, scores, head.config.postprocess, head.counts)


@torch.no_grad()
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("background", [1.0, 15.0])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("kind", HEADS)
def test_detections_are_those_of_all_priors(
    make_detector: Callable[..., Detector],
    kind: str,
    config: Postprocess,
    background: float,
    classes: int,
) -> None:
    head = built(make_detector, kind, config, classes)
    predictions = random_predictions(head, classes, background)
    found, expected = head.detections(predictions), plainly(head, predictions)
    assert (expected.labels > 0).sum() > 5
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.boxes, expected.boxes)


@torch.no_grad()
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("kind", HEADS)
def test_best_scores_are_true_where_they_are_above_the_threshold(
    make_detector: Callable[..., Detector], kind: str, threshold: float, classes: int
) -> None:
    head = built(make_detector, kind, Postprocess(score_threshold=threshold), classes)
    predictions = random_predictions(head, classes, background=10.0)
    best, expected = head.best_scores_of(predictions), head.scores_of(predictions).amax(-1)
    above = expected > threshold
    assert above.any()
    torch.testing.assert_close(best[above], expected[above])
    assert (best[~above] <= threshold).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", HEADS)
def test_predictions_of_scores_have_these_scores(
    make_detector: Callable[..., Detector], kind: str
) -> None:
    head = built(make_detector, kind, Postprocess(), 4)
    scores = torch.rand(2, len(head.priors), 4, generator=torch.Generator().manual_seed(1)) / 4
    scores[0, :50] = 0
    scores[1, 7] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    made = head.predictions_of(scores)
    torch.testing.assert_close(head.scores_of(made), scores)
    assert head.boxes_of(made).isfinite().all()
