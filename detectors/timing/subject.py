"""The inputs that a deployed detector is timed on: batches of images, and a fixed number of boxes
for its post-processing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from detectors.postprocess import Detections
from detectors.quiet import threads
from detectors.runtimes import Deployed
from detectors.timing.blocks import Call
from detectors.timing.fixed_load import fixed_scores
from detectors.timing.paired import Subject
from searchspace.geometry import Size
from searchspace.measuring import MeasureConfig

FRAMES = 4
"""Number of noise images that a detector without images is timed on."""


def subject(deployed: Deployed, images: Tensor | None, config: MeasureConfig) -> Subject:
    """The timed calls of a deployed detector; each call takes the next batch.

    Args:
        images: float [N, 3, H, W] in 0..1; noise if None.
    """
    images = _noise(deployed.config.size) if images is None else images
    batches = _batches(images, config.batch, deployed.device)
    with threads(config.threads):
        whole = deployed.detect
        if config.candidates is not None:
            whole = _with_fixed_load(deployed, batches[0], config.candidates)
    return Subject(_in_turn(whole, batches), _in_turn(deployed.network, batches))


def _with_fixed_load(
    deployed: Deployed, batch: Tensor, candidates: int
) -> Callable[[Tensor], Detections]:
    """Detection whose post-processing gets a fixed load of boxes instead of the network's."""
    head, threshold = deployed.head, deployed.config.head.postprocess.score_threshold
    shape = (len(batch), len(head.priors), deployed.config.num_classes)
    loaded = head.predictions_of(fixed_scores(candidates, shape, threshold).to(batch.device))

    def detect(batch: Tensor) -> Detections:
        deployed.network(batch)
        return deployed.finish(loaded)

    return detect


def _in_turn(call: Callable[[Tensor], object], batches: Sequence[Tensor]) -> Call:
    """Call with the next batch each time."""
    following = itertools.cycle(batches)
    return lambda: call(next(following))


def _noise(size: Size) -> Tensor:
    return torch.rand(FRAMES, 3, *size, generator=torch.Generator().manual_seed(0))


def _batches(images: Tensor, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Images [N, 3, H, W] as batches of one size; the last one is filled up from the first."""
    places = torch.arange(len(images) + -len(images) % size) % len(images)
    return tuple(images[places].to(device).split(size))
