"""A batch computed in parts, so that a large one fits into memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from detectors.detector import Detector
from detectors.features import Outputs, Predictions


def in_parts(detector: Detector, images: Tensor, count: int) -> Outputs:
    """The detector's outputs for images [N, 3, H, W], computed in `count` parts.

    Only a part's activations are in memory at once, in the backward pass too: each part is computed
    once more there. In return, the losses are those of the whole batch, whatever divides them:
    losses of parts would each be divided by the positives of their part. Batch norms see a part,
    which therefore has at least two images.
    """
    count = min(count, len(images) // 2)
    if count <= 1:
        return detector.outputs(images)

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), statistics_kept(detector)

    def outputs(part: Tensor) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor | None]]:
        found = detector.outputs(part)
        raw = found.predictions
        return found.maps, (raw.boxes, raw.classes, raw.objectness)

    parts = [
        checkpoint(outputs, part, use_reentrant=False, context_fn=contexts)
        for part in images.tensor_split(count)
    ]
    maps = [torch.cat(level) for level in zip(*(maps for maps, _ in parts), strict=True)]
    boxes, classes, objectness = zip(*(predictions for _, predictions in parts), strict=True)
    joint = None if objectness[0] is None else torch.cat(objectness)
    return Outputs(maps, Predictions(torch.cat(boxes), torch.cat(classes), joint))


@contextlib.contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the batch, but leave their running statistics as they are."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
