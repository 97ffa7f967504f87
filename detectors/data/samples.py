"""From a split to augmented training images: what is drawn for each, and their pixels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from detectors.canvas import ground
from detectors.data.colours import UNCHANGED, Colours, coloured
from detectors.data.copy_paste import Paste, cut_outs, plan_pastes
from detectors.data.dataset import Annotation, Dataset, ImageRecord
from detectors.data.mixup import mixup
from detectors.data.mosaic import mosaic
from detectors.data.pixels import Decoded, Pixels
from detectors.data.resampling import Chunk, chunks, sampled
from detectors.data.scene import Scene, Source, Target
from detectors.data.tile_crops import crop_for
from detectors.data.transforms import augmented
from searchspace.augmentation import CopyPaste
from searchspace.errors import InputError
from searchspace.geometry import Canvas, InputSize, Window, both_axes, canvas_of
from searchspace.training import TrainConfig

Sample = tuple[Tensor, dict[str, Tensor]]
"""An image uint8 [3, H, W], and its target: tensors by name, one row per object."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Drawn:
    """A sample before it has pixels.

    Attributes:
        scene: on the network's input.
    """

    scene: Scene
    colours: Colours

    @property
    def target(self) -> Target:
        """Its objects, boxes in float32."""
        return self.scene.target | {"boxes": self.scene.boxes.astype(np.float32)}


@dataclass(frozen=True)
class Cut:
    """All that the pixels of samples are made from.

    Attributes:
        canvas: the input that all of them are on.
    """

    chunks: tuple[Chunk, ...]
    colours: tuple[Colours, ...]
    canvas: Canvas

    def pin_memory(self) -> Cut:
        """The same in memory from which it gets to a GPU without waiting."""
        return replace(self, chunks=tuple(chunk.pin_memory() for chunk in self.chunks))

    def images(self, device: torch.device = CPU) -> Tensor:
        """The pixels, uint8 [N, 3, H, W], made on a device."""
        shape = (len(self.colours), 3, *self.canvas.size)
        images = torch.empty(shape, dtype=torch.uint8, device=device)
        first = 0
        for chunk in self.chunks:
            last = first + chunk.count
            made = sampled(chunk, self.canvas.size, ground(self.canvas), device)
            colours = self.colours[first:last]
            if any(one != UNCHANGED for one in colours):
                made = coloured(made.float(), colours)
            if made.is_floating_point():
                made = made.add_(0.5)  # rounded: they are cut to whole numbers
            images[first:last] = made
            first = last
        return images


class TrainingSet:
    """The samples of a split, followed by the additional images of copy-paste.

    Ignore regions of all classes are filled with the mean colour.

    A sample depends only on seed, epoch and index, not on who asks for it, in which order or with
    which others. Its target has `boxes` [G, 4] (xyxy, pixels of the input), `labels`, `area` (the
    annotation's, in square pixels of the original image) and `pasted` (bool).

    A single image is seen twice per epoch, with different augmentation, unless the batch size is 1:
    batch norm cannot use a single value, which is all that one image gives on a map of 1x1.

    Raises:
        ValueError: `copy_paste.source` is `mask`, but no small object has one.
    """

    def __init__(
        self,
        split: Dataset,
        config: TrainConfig,
        input_size: InputSize | Canvas,
        seed: int,
        pixels: Pixels | None = None,
    ) -> None:
        """
        Args:
            pixels: the source of the images; None decodes their files.
        """
        check_sources(split, config.copy_paste)
        self.split = split
        self.config = config
        self.canvas = canvas_of(input_size)
        self.seed = seed
        self.pixels = Decoded() if pixels is None else pixels
        copies = [(r, c + 1) for c in range(config.copy_paste.copies) for r in split.images]
        # Only the first paste is planned here: an image without any is left out.
        filled = [(r, c) for r, c in copies if next(self._copy(r, c), None) is not None]
        self._entries = [(r, 0) for r in split.images] + filled
        if len(self._entries) == 1 and config.batch_size > 1:
            self._entries *= 2
        self._targets: dict[int, Target] = {}
        scales, own = config.multi_scale, self.canvas.size
        self._sizes = scales.sizes(own) if scales.active else (own,)

    def __len__(self) -> int:
        return len(self._entries)

    def sample(self, index: int, epoch: int = 0) -> Sample:
        """A single sample with its pixels, on the detector's own input."""
        drawn = self.drawn(index, epoch)
        return self.images([drawn])[0], tensors(drawn.target)

    def canvas_at(self, step: int) -> Canvas:
        """The input of a training step, which depends on seed and step only."""
        if len(self._sizes) == 1:
            return self.canvas
        rng = np.random.default_rng((self.seed, step // self.config.multi_scale.every))
        size = self._sizes[int(rng.integers(len(self._sizes)))]
        return replace(self.canvas, size=both_axes(size))

    def drawn(self, index: int, epoch: int = 0, canvas: Canvas | None = None) -> Drawn:
        """What is random of a sample, and its objects.

        Args:
            canvas: the input that it is for; by default the detector's own.
        """
        canvas = canvas or self.canvas
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, epoch, index)))
        augment = self.config.augment
        if self.config.is_plain(epoch) or rng.random() >= augment.mosaic:
            scene = self._stored(index, rng)
        else:
            square = replace(canvas, size=(max(canvas.size),) * 2)
            chosen = (index, *rng.integers(len(self), size=3).tolist())
            four = [self._stored(number, rng) for number in chosen]
            scene = self._mixed(mosaic(four, square, augment, rng), square, rng)
        scene = augmented(scene, augment, canvas, rng)
        changed = rng.random() < augment.photometric
        return Drawn(scene, Colours.drawn(rng) if changed else UNCHANGED)

    def images(self, drawn: Sequence[Drawn], device: torch.device = CPU) -> Tensor:
        """The pixels of samples, uint8 [N, 3, H, W], on a device."""
        return self.cut(drawn, device).images(device)

    def cut(self, drawn: Sequence[Drawn], device: torch.device) -> Cut:
        """What samples on one input need of the stored images, for a device that makes them."""
        scenes = [one.scene for one in drawn]
        canvas = replace(self.canvas, size=scenes[0].size)
        found = tuple(chunks(scenes, self.pixels, device))
        return Cut(found, tuple(one.colours for one in drawn), canvas)

    def _mixed(self, made: Scene, square: Canvas, rng: np.random.Generator) -> Scene:
        """A mosaic, perhaps mixed with another image that has objects."""
        augment = self.config.augment
        if not augment.mixup or rng.random() >= augment.mixup:
            return made
        if not (len(made.boxes) and self._with_objects):
            return made
        other = self._with_objects[int(rng.integers(len(self._with_objects)))]
        return mixup(made, self._stored(other, rng), square, augment.mixup_scale, rng)

    @functools.cached_property
    def _with_objects(self) -> list[int]:
        """The images that have objects."""
        return [k for k, (record, _) in enumerate(self._entries) if self._objects(record)]

    def _stored(self, index: int, rng: np.random.Generator) -> Scene:
        """An image, or a part of it if images are cut into tiles, before any transform, pastes
        included."""
        record, copy = self._entries[index]
        pastes = tuple(self._copy(record, copy)) if copy else ()
        target = _with_pastes(self._target(record), pastes)
        tiles, window = self.canvas.tiles, None
        if tiles is not None:
            window = crop_for(target["boxes"], (record.height, record.width), tiles, rng)
        if not copy and rng.random() < self.config.copy_paste.probability:
            pastes = tuple(self._pastes(record, rng, window))
            target = _with_pastes(target, pastes)
        scene = Scene.of(Source(record, self.split.annotations[record.id], pastes), target)
        if tiles is None or window is None:
            return scene
        return scene.window(*window).visible(tiles.visible)

    def _target(self, record: ImageRecord) -> Target:
        """The annotated objects of an image."""
        found = self._targets.get(record.id)
        if found is None:
            objects = self._objects(record)
            labels = [self.split.label_of(a.category_id) for a in objects]
            found = self._targets[record.id] = {
                "boxes": np.array([a.box for a in objects], float).reshape(-1, 4),
                "labels": np.array(labels, np.int64),
                "area": np.array([a.area for a in objects], np.float32),
                "pasted": np.zeros(len(objects), bool),
            }
        return found

    def _objects(self, record: ImageRecord) -> list[Annotation]:
        return [a for a in self.split.annotations[record.id] if not a.iscrowd]

    def _copy(self, record: ImageRecord, number: int) -> Iterator[Paste]:
        """The pastes of an additional image, numbered from 1; the same in every epoch."""
        return self._pastes(record, np.random.default_rng((self.seed, 0, record.id, number)))

    def _pastes(
        self, record: ImageRecord, rng: np.random.Generator, window: Window | None = None
    ) -> Iterator[Paste]:
        """Pastes anywhere in an image, or within a window of it."""
        size, config = (record.height, record.width), self.config.copy_paste
        cutouts = cut_outs(self._objects(record), *size, config)
        occupied = np.array([a.box for a in self.split.annotations[record.id]]).reshape(-1, 4)
        if window is None:
            return plan_pastes(cutouts, occupied, size, config, rng)
        left, top = window[:2]
        within = plan_pastes(cutouts, occupied - (left, top) * 2, window.size, config, rng)
        return (replace(p, corner=(p.corner[0] + left, p.corner[1] + top)) for p in within)


def tensors(target: Target) -> dict[str, Tensor]:
    """The objects of a sample in torchvision's format."""
    return {name: torch.from_numpy(values) for name, values in target.items()}


def _with_pastes(target: Target, pastes: Sequence[Paste]) -> Target:
    """The objects of an image, followed by those that are pasted into it."""
    if not pastes:
        return target
    added = {
        "boxes": np.array([p.box for p in pastes], float),
        "labels": target["labels"][[p.cutout.index for p in pastes]],
        "area": np.array([p.area for p in pastes], np.float32),
        "pasted": np.ones(len(pastes), bool),
    }
    return {name: np.concatenate((values, added[name])) for name, values in target.items()}


def check_sources(split: Dataset, config: CopyPaste) -> None:
    """Raise `ValueError` if objects are to be pasted by masks, but no small object has one."""
    if config.source != "mask" or not config.active:
        return
    small = [
        item
        for items in split.annotations.values()
        for item in items
        if item.area < config.max_area and not item.iscrowd
    ]
    if small and all(item.segmentation is None for item in small):
        raise InputError(
            f"train.copy_paste.source 'mask': none of the {len(small)} small objects of the "
            "training data has a mask; set it to 'box' or 'mask_or_box', or copies and "
            "probability to 0"
        )
