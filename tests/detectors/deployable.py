"""Small detectors as training might leave them, with scores far enough apart to compare."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compress import prune
from detectors.detector import Detector
from detectors.features import Predictions
from detectors.postprocess import Detections
from detectors.runtimes.libraries import missing
from detectors.weights.shapes import load_shapes_backbone
from searchspace import DetectorConfig
from searchspace.compression import ImportancePruning
from tests.contracts.systems import CONFIGS, EVEN, built, narrow
from tests.networks import raw, with_statistics

CPU = torch.device("cpu")
SYSTEMS = ("ssdmnetv1", "fssd300", "pruned", "yolox_tiny")

needs_extra = pytest.mark.skipif(
    missing("nncf", "onnx", "onnxruntime", "openvino") is not None,
    reason="the extra `deploy` is not installed",
)


@cache
def deployable(system: str, num_classes: int = 3) -> Detector:
    """A paper's system an eighth as wide, or `pruned`: half the channels of a MobileNet SSD."""
    name = "ssdmnetv1" if system == "pruned" else system
    detector = with_statistics(built(narrow(CONFIGS[name], EVEN, num_classes=num_classes)))
    if system == "pruned":
        prune(detector, ImportancePruning(criterion="l2", steps=1, ratio=0.5))
    _speak_up(detector)
    return detector.eval()


@torch.no_grad()
def _speak_up(detector: Detector) -> None:
    """Give logits the spread that training would: neither scores nor boxes are all alike."""
    predictions = detector.predict(images_for(detector, 2))
    for name in ("classes", "boxes"):
        spread = getattr(predictions, name).std()
        for conv in getattr(detector.head, name).modules():
            if isinstance(conv, nn.Conv2d):
                conv.weight *= 2 / spread


def images_for(detector: Detector, count: int, seed: int = 0) -> Tensor:
    """Blurred noise: neighbouring pixels are alike, as in photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 12, 12, generator=generator)
    return functional.interpolate(coarse, detector.config.size, mode="bicubic").clamp(0, 1)


@torch.no_grad()
def attentive(config: DetectorConfig, images: Tensor) -> Detector:
    """A detector of quick's kind whose scores follow what is in an image, as training would leave
    it: trained features, and random layers behind them that tell cells apart.

    Args:
        images: [M, 3, H, W] in 0..1, that its statistics and scores are set by.
    """
    torch.manual_seed(0)
    detector = Detector(config)
    load_shapes_backbone(detector)
    detector.train()
    for _ in range(5):
        detector.predict(images)
    detector.eval()
    for conv, x in zip(detector.head.classes, detector.outputs(images).maps, strict=True):
        logits = conv(x)
        means = logits.mean((0, 2, 3), keepdim=True)
        scale = 2 / (logits - means).std()
        conv.weight *= scale
        conv.bias.copy_(scale * (conv.bias - means.flatten()))
        # Background first: most cells have no object.
        conv.bias[:: 1 + config.num_classes] += 4
    return detector


def relative_error(found: Predictions, expected: Predictions) -> float:
    """The largest difference, as a share of the largest number of its kind."""
    pairs = zip(raw(found), raw(expected), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def assert_same(found: Detections, expected: Detections, tolerance: float = 1e-3) -> None:
    """Hold every detection to one that is expected, and the other way round.

    Two whose scores differ by less than rounding may have changed places.
    """
    assert found.labels.shape == expected.labels.shape
    assert (expected.labels > 0).sum() > 10 * len(expected.labels)
    differences = torch.cat(
        [
            (found.boxes[:, :, None] - expected.boxes[:, None]).abs(),
            (found.scores[:, :, None] - expected.scores[:, None]).abs()[..., None],
            (found.labels[:, :, None] != expected.labels[:, None])[..., None],
        ],
        dim=-1,
    ).amax(-1)
    assert differences.amin(1).max() <= tolerance
    assert differences.amin(2).max() <= tolerance
    assert (found.scores.diff() <= 0).all()
