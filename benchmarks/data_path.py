"""Images per second that one CPU core augments: torchvision's transforms against ours, in turns.

    python -m benchmarks.data_path [--data FOLDER] [--size 300] [--rounds 5] [--batch 16]

Both start from decoded images and end with uint8 batches of the network's input. Torchvision's
transforms make one image at a time; ours draw, cut out and sample a batch. Seconds are those of the
process, so that others on the machine count little. With --device cuda, a GPU makes the pixels of
ours; then there is nothing to compare with, and only its rate by the clock is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from detectors.canvas import MEAN_COLOUR, place
from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.samples import TrainingSet
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas, canvas_of
from searchspace.training import TrainConfig

RECIPES = {
    "SSD's own": Augment(photometric=1, crop=1),
    "default": Augment(),
    "flips": Augment(photometric=0, zoom_out=0, crop=0),
}

BATCHES = 4
"""Batches of a turn."""

Call = Callable[[int], Tensor]
"""Makes the batch of a number, from 0."""


class Place(v2.Transform):
    """Images and boxes on the network's input."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__()
        self.canvas = canvas

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        return place(inpt, self.canvas)


def torchvision_transform(augment: Augment, canvas: Canvas) -> v2.Transform:
    """The same augmentation of an `Image` and its `BoundingBoxes` by torchvision's transforms."""
    zoom = v2.RandomZoomOut(MEAN_COLOUR, (1.0, augment.max_zoom), p=augment.zoom_out)
    steps = [
        *([zoom] if augment.zoom_out else []),
        *([v2.RandomApply([v2.RandomIoUCrop()], p=augment.crop)] if augment.crop else []),
        v2.RandomHorizontalFlip(augment.flip),
        Place(canvas),
        v2.SanitizeBoundingBoxes(min_size=1),
        v2.RandomApply([v2.RandomPhotometricDistort()], p=augment.photometric),
    ]
    return v2.Compose(steps)


def theirs(split: Dataset, augment: Augment, canvas: Canvas, batch: int) -> Call:
    """Batches made by torchvision's transforms."""
    samples = TrainingSet(split, TrainConfig(augment=augment), canvas, seed=0)
    transform = torchvision_transform(augment, canvas)
    stored = []
    for record in split.images:
        boxes = torch.tensor([a.box for a in split.annotations[record.id]]).reshape(-1, 4)
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                boxes, format="XYXY", canvas_size=(record.height, record.width)
            ),
            "labels": torch.ones(len(boxes), dtype=torch.long),
        }
        stored.append((tv_tensors.Image(samples.pixels.get(record)), target))

    def make(number: int) -> Tensor:
        chosen = (stored[(number * batch + k) % len(stored)] for k in range(batch))
        return torch.stack([transform(*sample)[0] for sample in chosen])

    return make


def ours(
    split: Dataset, augment: Augment, canvas: Canvas, batch: int, device: torch.device
) -> Call:
    """Batches as training gets them."""
    samples = TrainingSet(split, TrainConfig(augment=augment), canvas, seed=0)
    for record in split.images:
        samples.pixels.get(record)

    def make(number: int) -> Tensor:
        chosen = (number * batch + k for k in range(batch))
        drawn = [samples.drawn(k % len(samples), k // len(samples)) for k in chosen]
        return samples.images(drawn, device)

    return make


def rates(
    calls: dict[str, Call], batch: int, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Images per second of each call, in rounds in which every one has its turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-1, rounds):
        for name, call in calls.items():
            start = clock()
            for k in range(BATCHES):
                made = call(BATCHES * max(0, number) + k)
            made[0, 0, 0, 0].item()  # a GPU has finished
            if number >= 0:
                found[name].append(BATCHES * batch / (clock() - start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/coco_mini"))
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    split, canvas = (
        read_source(DataSource.from_folder(arguments.data))[0],
        canvas_of(arguments.size),
    )
    on_cpu = arguments.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    print(f"images/s of one CPU core at {arguments.size} x {arguments.size}, median (range)")
    for name, augment in RECIPES.items():
        calls = {"ours": ours(split, augment, canvas, arguments.batch, arguments.device)}
        if on_cpu:
            calls = {"torchvision": theirs(split, augment, canvas, arguments.batch)} | calls
        found = rates(calls, arguments.batch, arguments.rounds, clock)
        shown = [
            f"{who} {statistics.median(r):.0f} ({min(r):.0f} to {max(r):.0f})"
            for who, r in found.items()
        ]
        pairs = zip(*found.values(), strict=True) if len(found) == 2 else ()
        ratios = [after / before for before, after in pairs]
        end = f", {statistics.median(ratios):.1f} times as fast" if ratios else ""
        print(f"{name}: {', '.join(shown)}{end}")


if __name__ == "__main__":
    main()
