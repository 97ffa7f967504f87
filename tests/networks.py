"""Helpers for tests with networks."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.features import Predictions

M = TypeVar("M", bound=nn.Module)


def with_statistics(module: M) -> M:
    """The module in eval mode, its batch norms as training might leave them."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module.eval()


def raw(predictions: Predictions) -> list[Tensor]:
    """All that a head predicts, by whatever name."""
    made = [predictions.boxes, predictions.classes, predictions.objectness]
    return [x for x in made if x is not None]


def without_gradient(detector: Detector, batch: Tensor) -> list[str]:
    """The parameters that a loss on all predictions gives no, or no finite, gradient."""
    predictions = detector.train().predict(batch)
    sum((x * torch.randn_like(x)).sum() for x in raw(predictions)).backward()
    return [
        name
        for name, p in detector.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
