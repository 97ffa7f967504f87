"""Batches of a split, for training and for evaluation."""

from __future__ import annotations

import functools
import itertools
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from detectors.canvas import place_read
from detectors.data.dataset import Dataset, ImageRecord
from detectors.data.node_cache import NO_CACHE, NodeCache
from detectors.data.pixels import WHOLE, Pixels, Placed
from detectors.data.samples import CPU, Cut, TrainingSet, tensors
from detectors.data.scene import Target
from detectors.group import ALONE, Share
from detectors.tiling import Look, looks_at
from searchspace.geometry import Canvas, InputSize, canvas_of
from searchspace.training import TrainConfig

A = TypeVar("A")
B = TypeVar("B")

FEW_CPUS, MOST_WORKERS = 2, 8
"""CPUs with which the training's own process prepares batches best, and the most processes that do
it ahead on more of them."""

STEP_CPUS = 3
"""CPUs that compute steps, where no GPU does, for each that prepares batches."""


def workers_for(device: torch.device) -> int:
    """Processes that prepare batches ahead, on the CPUs of this trial: as many as PyTorch has
    threads."""
    cpus = torch.get_num_threads()
    if cpus <= FEW_CPUS:
        return 0
    spare = cpus - 1 if device.type == "cuda" else max(1, cpus // (STEP_CPUS + 1))
    return min(MOST_WORKERS, spare)


@dataclass(frozen=True)
class Batch:
    """The input of a training step.

    Attributes:
        images: uint8 [N, 3, H, W], on the loader's device.
        targets: in torchvision's format, with boxes [M, 4] in pixels of the input; on the CPU.
    """

    images: Tensor
    targets: list[dict[str, Tensor]]


class Key(NamedTuple):
    """What a batch is made of: samples of an epoch, on an input."""

    epoch: int
    samples: list[int]
    canvas: Canvas


Prepared = tuple[list[Target], Cut | Tensor]
"""The objects of a batch, and its pixels, or what a GPU makes them from."""


class TrainingLoader:
    """Shuffled batches, the same for the same seed and epoch, whatever prepares them.

    With `multi_scale`, they are on the input that is drawn for their step.

    Args:
        workers: processes that prepare batches ahead, from one epoch into the next; with none, a
            batch is prepared when it is asked for. They live as long as the loader. They are
            forks, so the split is in memory once; as PyTorch's, they end within seconds if this
            process is killed, and their errors are raised here with their traceback.
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
        self._order = _Order(self.samples, self.batch_size)
        self._batches = DataLoader(
            _Batches(self.samples, device),
            sampler=self._order,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_leave_interrupts,
            collate_fn=_as_it_is,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # it would take numbers from the global one
        )
        self._ahead: Iterator[Prepared] | None = None

    def __len__(self) -> int:
        return len(self._order)

    def divide(self, share: Share) -> None:
        """Prepare only one worker's share of each batch; before the first epoch."""
        self._order.share = share

    def epoch(self, number: int, skipped: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, without an incomplete last one; one epoch at a time.

        Args:
            skipped: of its batches, those that were taken before.
        """
        ahead = self._ahead if self._order.first == number and not skipped else None
        if ahead is None:
            self._order.first, self._order.skipped = number, skipped
            ahead = iter(self._batches)
        self._ahead = None  # until all of this epoch is taken
        for _ in range(skipped, len(self)):
            targets, pixels = next(ahead)
            yield Batch(self._made(pixels), [tensors(target) for target in targets])
        self._ahead, self._order.first = ahead, number + 1

    def _made(self, pixels: Cut | Tensor) -> Tensor:
        """The pixels of a batch; a GPU makes them while it still computes the previous step."""
        if isinstance(pixels, Tensor):
            return pixels
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            images = pixels.images(self.device)
        current.wait_stream(self._stream)
        images.record_stream(current)
        return images

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)


class _Order(Sampler[Key]):
    """The batches of all epochs from the first, without end, and without the first ones of that."""

    def __init__(self, samples: TrainingSet, batch_size: int) -> None:
        self.samples, self.batch_size, self.first, self.skipped = samples, batch_size, 0, 0
        self.share = ALONE

    def __len__(self) -> int:
        return len(self.samples) // self.batch_size

    def __iter__(self) -> Iterator[Key]:
        return self._keys(self.first, self.skipped)  # both change while it goes on

    def _keys(self, first: int, skipped: int) -> Iterator[Key]:
        for epoch in itertools.count(first):
            generator = torch.Generator().manual_seed(self.samples.seed * 100_003 + epoch)
            order = torch.randperm(len(self.samples), generator=generator)
            batches = order[: len(self) * self.batch_size].view(-1, self.batch_size).tolist()
            taken = enumerate(batches, start=epoch * len(self))
            for step, chosen in itertools.islice(taken, skipped if epoch == first else 0, None):
                yield Key(epoch, list(self.share.of(chosen)), self.samples.canvas_at(step))


@dataclass(frozen=True)
class _Batches(TorchDataset[Prepared]):
    samples: TrainingSet
    device: torch.device

    def __getitem__(self, index: Key) -> Prepared:
        drawn = [self.samples.drawn(k, index.epoch, index.canvas) for k in index.samples]
        cut = self.samples.cut(drawn, self.device)
        made = cut if self.device.type == "cuda" else cut.images(self.device)
        return [one.target for one in drawn], made


def _as_it_is(prepared: Any) -> Any:
    return prepared


def _leave_interrupts(worker: int) -> None:
    """A worker leaves it to the training's process what an interrupt from the keyboard ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
    looks: Sequence[Look] | None = None,
) -> Iterator[tuple[list[ImageRecord], Tensor]]:
    """The split's images in order, on the network's input, as uint8 batches [N, 3, H, W], with the
    record of each. An image that is cut into tiles is several inputs, see `looks_at`.

    The next batches are prepared while the caller works on one.

    Args:
        batch_size: number of inputs in a batch.
        cache: keeps the images for further evaluations of the split: as placed on the input, or,
            if they are cut, as stored.
        looks: the inputs; by default those of all images.
    """
    canvas = canvas_of(input_size)
    if looks is None:
        looks = looks_at(split.sizes, canvas)
    if canvas.tiles is None:
        pixels = cache.pixels(split, Placed(canvas), memory=0)
    else:
        pixels = cache.pixels(split, WHOLE, memory=0)

    def seen_on(look: Look) -> Tensor:
        record = split.images[look.image]
        if canvas.tiles is None:
            return pixels.get(record)
        return place_read(functools.partial(pixels.get, record), look.window, canvas)

    def prepared(start: int) -> tuple[list[ImageRecord], Tensor]:
        chosen = looks[start : start + batch_size]
        records = [split.images[look.image] for look in chosen]
        return records, torch.stack([seen_on(look) for look in chosen])

    with ThreadPoolExecutor(1, "evaluation") as pool:
        yield from in_order(pool, prepared, range(0, len(looks), batch_size))
