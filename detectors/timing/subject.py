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
from detectors.tiling import BATCH, of_windows
from detectors.timing.blocks import Call
from detectors.timing.fixed_load import fixed_scores
from detectors.timing.paired import Subject
from searchspace.errors import InputError
from searchspace.geometry import Canvas, Size, Window
from searchspace.measuring import MeasureConfig

FRAMES = 4
"""Number of noise images that a detector without images is timed on."""


Inputs = tuple[Tensor, ...]
"""The inputs of a call, in batches."""


def subject(deployed: Deployed, images: Tensor | None, config: MeasureConfig) -> Subject:
    """The timed calls of a deployed detector; each call takes the next images. The inputs of images
    that are cut into tiles go through the network in batches of `BATCH`, and what is found on them
    is merged.

    Args:
        images: float inputs [N, 3, H, W] in 0..1; noise if None.

    Raises:
        InputError: see `windows_of_image`.
    """
    canvas = deployed.canvas
    windows = windows_of_image(canvas, config)
    images = _noise(canvas.size) if images is None else images
    most = config.batch if canvas.tiles is None else BATCH
    batches = _batches(images, config.batch * len(windows), deployed.device)
    calls = [batch.split(most) for batch in batches]
    with threads(config.threads):
        detect = deployed.detect
        if config.candidates is not None:
            detect = _with_fixed_load(deployed, calls[0], config.candidates)

    def whole(inputs: Inputs) -> None:
        found = Detections.joined([detect(batch) for batch in inputs])
        if canvas.tiles is not None:
            for first in range(0, len(found.scores), len(windows)):
                of_windows(found.rows(first, first + len(windows)), windows, canvas)

    def network(inputs: Inputs) -> None:
        for batch in inputs:
            deployed.network(batch)

    return Subject(_in_turn(whole, calls), _in_turn(network, calls))


def windows_of_image(canvas: Canvas, config: MeasureConfig) -> tuple[Window, ...]:
    """The parts of an image that is timed.

    Raises:
        InputError: images are cut into tiles, but their size is not known.
    """
    if canvas.tiles is not None and config.image_size is None:
        raise InputError(
            "measure.image_size: it is not set, but the detector cuts images into tiles, and how "
            "many depends on it: set it to the height and width of the images in pixels"
        )
    return canvas.windows(config.image_size or canvas.size)


def _with_fixed_load(
    deployed: Deployed, inputs: Inputs, candidates: int
) -> Callable[[Tensor], Detections]:
    """Detection whose post-processing gets a fixed load of boxes for each input, instead of the
    network's."""
    head, threshold = deployed.head, deployed.config.head.postprocess.score_threshold
    priors, classes = len(head.priors), deployed.config.num_classes
    loaded = {
        count: head.predictions_of(
            fixed_scores(candidates, (count, priors, classes), threshold).to(deployed.device)
        )
        for count in {len(batch) for batch in inputs}
    }

    def detect(batch: Tensor) -> Detections:
        deployed.network(batch)
        return deployed.finish(loaded[len(batch)])

    return detect


def _in_turn(call: Callable[[Inputs], None], calls: Sequence[Inputs]) -> Call:
    """Call with the next inputs each time."""
    following = itertools.cycle(calls)
    return lambda: call(next(following))


def _noise(size: Size) -> Tensor:
    return torch.rand(FRAMES, 3, *size, generator=torch.Generator().manual_seed(0))


def _batches(images: Tensor, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Images [N, 3, H, W] as batches of one size; the last one is filled up from the first."""
    places = torch.arange(len(images) + -len(images) % size) % len(images)
    return tuple(images[places].to(device).split(size))
