"""Our post-processing against torchvision's own, on the same raw predictions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import _utils
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_convert

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.features import Predictions
from detectors.quiet import threads
from detectors.timing.fixed_load import fixed_scores
from searchspace import TrainConfig
from searchspace.augmentation import Augment
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors

SIDE = 64


def by_torchvision(detector: Detector, predictions: Predictions) -> list[dict[str, Tensor]]:
    """torchvision's detections, in pixels of the input."""
    config = detector.config.head.postprocess
    ssd = SimpleNamespace(
        box_coder=_utils.BoxCoder(weights=(10.0, 10.0, 5.0, 5.0)),
        score_thresh=config.score_threshold,
        topk_candidates=config.class_candidates or config.candidates,
        nms_thresh=config.nms_iou,
        detections_per_img=config.detections,
    )
    outputs = {"bbox_regression": predictions.boxes, "cls_logits": predictions.classes}
    anchors = box_convert(detector.head.priors, "cxcywh", "xyxy") * SIDE
    images = len(predictions.boxes)
    return SSD.postprocess_detections(ssd, outputs, [anchors] * images, [(SIDE, SIDE)] * images)


def assert_equal(detector: Detector, predictions: Predictions) -> int:
    """Hold ours to torchvision's; says how many detections there were."""
    ours = detector.head.detections(predictions)
    expected = by_torchvision(detector, predictions)
    for index, theirs in enumerate(expected):
        found = ours.of_image(index, SIDE, SIDE)
        assert found["labels"].tolist() == theirs["labels"].tolist()
        torch.testing.assert_close(found["scores"], theirs["scores"])
        torch.testing.assert_close(found["boxes"], theirs["boxes"], atol=1e-3, rtol=1e-4)
    return sum(len(theirs["labels"]) for theirs in expected)


def all_candidates(**changes: float) -> Multibox:
    """torchvision caps the candidates of each class, we those of an image: here no cap binds."""
    config = Postprocess(candidates=100_000, **changes)
    return Multibox(priors=ScaledPriors(), postprocess=config)


def per_class(most: int, **changes: float) -> Multibox:
    """The cap of torchvision, and of SSD."""
    config = Postprocess(candidates=None, class_candidates=most, **changes)
    return Multibox(priors=ScaledPriors(), postprocess=config)


CONFIGS = [
    all_candidates(),
    all_candidates(score_threshold=0.3, nms_iou=0.6),
    all_candidates(score_threshold=0.05, nms_iou=0.2, detections=20),
    per_class(30),
    per_class(400),
    per_class(7, score_threshold=0.0, nms_iou=0.9, detections=1000),
]


@torch.no_grad()
@pytest.mark.parametrize("head", CONFIGS, ids=lambda head: str(head.postprocess))
@pytest.mark.parametrize("seed", range(3))
def test_on_random_predictions(
    make_detector: Callable[..., Detector], head: Multibox, seed: int
) -> None:
    detector = make_detector(head=head)
    count, random = len(detector.head.priors), torch.Generator().manual_seed(seed)
    boxes = torch.randn(2, count, 4, generator=random)
    classes = 2 * torch.randn(2, count, 5, generator=random)
    assert assert_equal(detector, Predictions(boxes=boxes, classes=classes)) > 20


@pytest.fixture(scope="module")
def trained(
    make_detector: Callable[..., Detector], shapes: tuple[Dataset, Dataset]
) -> tuple[Detector, Tensor]:
    """A detector after some steps on generated shapes, and images that it has learnt."""
    plain = Augment(photometric=0, zoom_out=0, crop=0, flip=0)
    recipe = TrainConfig(batch_size=8, augment=plain)
    batch = next(TrainingLoader(shapes[0], recipe, SIDE, seed=0).epoch(1))
    images = batch.images.float() / 255
    detector = make_detector(head=all_candidates()).train()
    optimiser = torch.optim.AdamW(detector.parameters(), 3e-3)
    with threads(1):
        for _ in range(30):
            optimiser.zero_grad()
            sum(detector(images, batch.targets).values()).backward()
            optimiser.step()
    return detector.eval(), images


@torch.no_grad()
def test_on_what_a_trained_detector_predicts(trained: tuple[Detector, Tensor]) -> None:
    detector, images = trained
    assert assert_equal(detector, detector.predict(images)) > 20


@pytest.mark.parametrize("candidates", [0, 1, 300])
@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.5])
def test_the_fixed_load_has_the_requested_number_of_candidates(
    candidates: int, threshold: float
) -> None:
    scores = fixed_scores(candidates, (3, 500, 20), threshold)
    assert (scores > threshold).sum((1, 2)).tolist() == [candidates] * 3
    assert (scores > threshold).sum(2).max() <= 1
    assert scores.max() <= 1


def test_the_fixed_load_of_few_priors_is_all_of_them() -> None:
    scores = fixed_scores(300, (1, 10, 4), 0.01)
    assert (scores > 0.01).sum(2).tolist() == [[1] * 10]
