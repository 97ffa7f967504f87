"""Batches of a split, for training and for evaluation."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.node_cache import NO_CACHE, NodeCache
from detectors.data.pixels import Pixels, Placed
from detectors.data.resampling import Chunk
from detectors.data.samples import CPU, Drawn, TrainingSet
from searchspace.geometry import Canvas, InputSize, canvas_of
from searchspace.training import TrainConfig

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Batch:
    """The input of a training step.

    Attributes:
        images: uint8 [N, 3, H, W], on the loader's device.
        targets: in torchvision's format, with boxes [M, 4] in pixels of the input; on the CPU.
    """

    images: Tensor
    targets: list[dict[str, Tensor]]


class TrainingLoader:
    """Shuffled batches, the same for the same seed and epoch.

    Args:
        workers: threads that draw samples, read images and cut out of them what is needed, some
            batches ahead; with none, it is done when a batch is asked for. They live as long as
            the loader, as does what a source of pixels keeps.
        pixels: the source of the images; None decodes their files.
        device: where the pixels of batches are made, and lie.
    """

    def __init__(
        self,
        split: Dataset,
        config: TrainConfig,
        input_size: InputSize | Canvas,
        seed: int,
        workers: int = 0,
        pixels: Pixels | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.samples = TrainingSet(split, config, input_size, seed, pixels)
        self.batch_size = min(config.batch_size, len(self.samples))
        self.workers = workers
        self.device = device

    def __len__(self) -> int:
        return len(self.samples) // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, without an incomplete last one."""
        generator = torch.Generator().manual_seed(self.samples.seed * 100_003 + number)
        order = torch.randperm(len(self.samples), generator=generator)
        batches = order[: len(self) * self.batch_size].view(-1, self.batch_size).tolist()
        prepare = functools.partial(self._prepared, epoch=number)
        ready = in_order(self._pool, prepare, batches) if self._pool else map(prepare, batches)
        for drawn, cut in ready:
            yield Batch(self._made(drawn, cut), [one.target for one in drawn])

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor | None:
        return ThreadPoolExecutor(self.workers, "samples") if self.workers else None

    def _prepared(self, indices: list[int], epoch: int) -> tuple[list[Drawn], list[Chunk]]:
        drawn = [self.samples.drawn(index, epoch) for index in indices]
        return drawn, self.samples.cut(drawn, self.device)

    def _made(self, drawn: list[Drawn], cut: list[Chunk]) -> Tensor:
        """The pixels of a batch; a GPU makes them while it still computes the previous step."""
        if self.device.type != "cuda":
            return self.samples.finished(drawn, cut, self.device)
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            images = self.samples.finished(drawn, cut, self.device)
        current.wait_stream(self._stream)
        images.record_stream(current)
        return images

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)


def in_order(pool: ThreadPoolExecutor, call: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """The results of calls in the order of their arguments, a few of them ahead."""
    left = iter(items)
    waiting = deque(pool.submit(call, item) for item in islice(left, pool._max_workers + 1))
    try:
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(pool.submit(call, item) for item in islice(left, 1))
            yield found
    finally:
        for future in waiting:
            future.cancel()


def evaluation_batches(
    split: Dataset,
    input_size: InputSize | Canvas,
    batch_size: int,
    cache: NodeCache = NO_CACHE,
) -> Iterator[tuple[list[ImageRecord], Tensor]]:
    """The split's images in order, on the network's input, as uint8 batches [N, 3, H, W].

    The next batches are prepared while the caller works on one.

    Args:
        cache: keeps the images as placed on the input, for further evaluations of the split.
    """
    pixels = cache.pixels(split, Placed(canvas_of(input_size)), memory=0)

    def prepared(start: int) -> tuple[list[ImageRecord], Tensor]:
        records = list(split.images[start : start + batch_size])
        return records, torch.stack([pixels.get(record) for record in records])

    with ThreadPoolExecutor(1, "evaluation") as pool:
        yield from in_order(pool, prepared, range(0, len(split.images), batch_size))
