"""The inputs that a deployed detector is timed on: batches of images, and a fixed number of boxes
for its post-processing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from detectors.postprocess import Detections
from detectors.quiet import threads
from detectors.runtimes import Deployed
from detectors.tiling import BATCH, of_windows, one_by_one, worth_a_look
from detectors.timing.blocks import Call
from detectors.timing.fixed_load import fixed_scores
from detectors.timing.paired import Subject
from searchspace.errors import InputError
from searchspace.geometry import Canvas, Size, Window
from searchspace.measuring import MeasureConfig

FRAMES = 4
"""Number of noise images that a detector without images is timed on."""


FIRST_LOOKS = 20
"""Calls with different numbers of tiles, where these follow from a first look."""


@dataclass(frozen=True)
class Inputs:
    """What a call gets.

    Attributes:
        first: the images of a first look, if there is one.
        batches: the other inputs.
        windows: of each image that is cut, those of `batches` that lie on it.
    """

    first: Tensor | None
    batches: tuple[Tensor, ...]
    windows: tuple[tuple[Window, ...], ...] = ()

    @property
    def all(self) -> tuple[Tensor, ...]:
        return self.batches if self.first is None else (self.first, *self.batches)


def subject(deployed: Deployed, images: Tensor | None, config: MeasureConfig) -> Subject:
    """The timed calls of a deployed detector; each call takes the next images. The inputs of images
    that are cut into tiles go through the network in batches of `BATCH`, and what is found on them
    is merged; after a first look, with so many tiles as the configuration says.

    Args:
        images: float inputs [N, 3, H, W] in 0..1; noise if None.

    Raises:
        InputError: see `windows_of_image`.
    """
    canvas = deployed.canvas
    windows = windows_of_image(canvas, config)
    images = _noise(canvas.size) if images is None else images
    calls = list(_calls(canvas, windows, images.to(deployed.device), config))
    with threads(config.threads):
        detect = deployed.detect
        if config.candidates is not None:
            counts = {len(batch) for inputs in calls for batch in inputs.all}
            detect = _with_fixed_load(deployed, counts, config.candidates)

    def whole(inputs: Inputs) -> None:
        firsts = _first_look(inputs, windows, canvas, detect)
        found = [detect(batch) for batch in inputs.batches]
        rows = one_by_one(found)
        for number, own in enumerate(inputs.windows):
            parts = list(itertools.islice(rows, len(own)))
            of_windows(parts, own, canvas, firsts[number] if firsts else None)

    def network(inputs: Inputs) -> None:
        for batch in inputs.all:
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


def inputs_of_image(canvas: Canvas, config: MeasureConfig) -> float:
    """The mean number of inputs of an image that is timed."""
    windows = windows_of_image(canvas, config)
    if not _looks_first(canvas, windows) or config.tiles is None:
        return len(windows)
    return 1 + min(len(windows) - 1, config.tiles)


def _looks_first(canvas: Canvas, windows: Sequence[Window]) -> bool:
    return canvas.tiles is not None and canvas.tiles.threshold is not None and len(windows) > 1


def _calls(
    canvas: Canvas, windows: tuple[Window, ...], images: Tensor, config: MeasureConfig
) -> Iterator[Inputs]:
    """The calls, from the images [N, 3, H, W] in turn."""
    if canvas.tiles is None:
        for batch in _batches(images, config.batch):
            yield Inputs(None, (batch,))
    elif not _looks_first(canvas, windows):
        for batch in _batches(images, config.batch * len(windows)):
            yield Inputs(None, batch.split(BATCH), (windows,) * config.batch)
    else:
        mean = inputs_of_image(canvas, config) - 1
        for k in range(FIRST_LOOKS):
            # Whole numbers of tiles with that mean.
            ends = [int(mean * (k * config.batch + image)) for image in range(config.batch + 1)]
            own = tuple(windows[: after - before] for before, after in itertools.pairwise(ends))
            tiles = _taken(images, ends[-1] - ends[0])
            batches = tiles.split(BATCH) if len(tiles) else ()
            yield Inputs(_taken(images, config.batch), batches, own)


def _first_look(
    inputs: Inputs,
    windows: tuple[Window, ...],
    canvas: Canvas,
    detect: Callable[[Tensor], Detections],
) -> list[dict[str, Tensor]]:
    """What is found on the whole images, of which tiles are chosen; empty without a first look."""
    if inputs.first is None or canvas.tiles is None or canvas.tiles.threshold is None:
        return []
    *tiles, whole = windows
    firsts = [
        row.of_image(0, whole.width, whole.height, replace(canvas, tiles=None))
        for row in one_by_one([detect(inputs.first)])
    ]
    for first in firsts:
        worth_a_look(first, tiles, canvas.tiles.threshold)
    return firsts


def _with_fixed_load(
    deployed: Deployed, counts: Iterable[int], candidates: int
) -> Callable[[Tensor], Detections]:
    """Detection whose post-processing gets a fixed load of boxes for each input, instead of the
    network's.

    Args:
        counts: the sizes of batches that there are.
    """
    head, threshold = deployed.head, deployed.config.head.postprocess.score_threshold
    priors, classes = len(head.priors), deployed.config.num_classes
    loaded = {
        count: head.predictions_of(
            fixed_scores(candidates, (count, priors, classes), threshold).to(deployed.device)
        )
        for count in counts
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


def _batches(images: Tensor, size: int) -> tuple[Tensor, ...]:
    """Images [N, 3, H, W] as batches of one size; the last one is filled up from the first."""
    return _taken(images, len(images) + -len(images) % size).split(size)


def _taken(images: Tensor, count: int) -> Tensor:
    """So many of the images, in turn."""
    return images[torch.arange(count) % len(images)]
