"""Samples in memory as scenes, and scenes with their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from detectors.canvas import ground
from detectors.data.records import ImageRecord
from detectors.data.resampling import chunks, sampled
from detectors.data.samples import CPU, Sample
from detectors.data.scene import Scene, Source
from detectors.features import size_of
from searchspace.geometry import Canvas, Window


class Album:
    """Images by the id of their record, as a source of pixels."""

    def __init__(self) -> None:
        self.images: dict[int, Tensor] = {}

    def size(self, record: ImageRecord) -> tuple[int, int]:
        return size_of(self.images[record.id])

    def get(self, record: ImageRecord, window: Window | None = None) -> Tensor:
        image = self.images[record.id]
        return image if window is None else image[:, *window.slices]

    def scene(self, sample: Sample, size: tuple[int, int] | None = None) -> Scene:
        """
        Args:
            size: height and width as stored, if the sample's image is a smaller copy.
        """
        image, target = sample
        height, width = size or (image.shape[1], image.shape[2])
        record = ImageRecord(len(self.images), Path("unused"), width, height)
        self.images[record.id] = image
        arrays = {name: values.numpy() for name, values in target.items()}
        return Scene.of(Source(record), {**arrays, "boxes": target["boxes"].double().numpy()})

    def seen(self, scene: Scene, canvas: Canvas) -> Sample:
        """The pixels of a scene, uint8 [3, H, W], and its objects."""
        (chunk,) = chunks([scene], self, CPU)
        made = sampled(chunk, scene.size, ground(canvas), CPU)[0]
        target = {name: torch.from_numpy(values) for name, values in scene.target.items()}
        return made.round().to(torch.uint8), {**target, "boxes": target["boxes"].float()}


def through(
    call: Callable[[list[Scene]], Scene], samples: Sequence[Sample], canvas: Canvas
) -> Sample:
    """What a function of scenes makes of samples, with pixels."""
    album = Album()
    return album.seen(call([album.scene(sample) for sample in samples]), canvas)
