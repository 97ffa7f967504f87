"""Re-estimation of batch-norm statistics after pruning."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from detectors.data.loader import Batch
from detectors.detector import Detector


@torch.no_grad()
def recalibrate(detector: Detector, batches: Iterable[Batch]) -> Detector:
    """Set the running means and variances of batch norms to those over some batches, in place.

    Removed channels shift the sums in the next layer. Fine-tuning corrects that by itself; without
    fine-tuning, this recovers much of the lost accuracy.
    """
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    training, momenta = detector.training, [norm.momentum for norm in norms]
    detector.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, equally weighted
    for batch in batches:
        detector.outputs(batch.images.to(detector.device).float() / 255)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return detector.train(training)
