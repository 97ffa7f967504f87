"""Train the MobileNetV1 backbones that ship with the package::

    python -m detectors.weights.make_shapes --out detectors/pretrained --minutes 20

One backbone per width, shared by stock and stride-eliminated networks: each step draws one of them,
so that the weights suit any of these strides. Every tap learns to classify, for each of its cells,
the object at the cell's centre; such dense labels train a backbone in minutes, a detection loss
takes hours. The generated images come from a seed that no other command uses by default.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from pycocotools.coco import COCO
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2.functional import normalize

from detectors.backbones import build_backbone
from detectors.data.dataset import Dataset
from detectors.data.loader import evaluation_batches
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import PIXELS
from detectors.weights.shapes import SHAPES_WIDTHS, save_backbone, shapes_file
from searchspace.backbones import MobileNetV1
from searchspace.geometry import both_axes

SHAPES = ShapesConfig(train_images=2500, val_images=1, size=192, seed=1_000_003)
STRIDES = ((), (6,), (4,), (0,))
TAPS = ("layer5", "layer11", "layer13")
INPUT_SIZE = 160
BATCH = 16
LEARNING_RATE = 3e-3
WARM_UP_STEPS = 100
BACKGROUND_WEIGHT = 0.3
"""Weight of a background pixel; an object's pixels have weight 60 / side, at most 3."""


class Trunk(nn.Module):
    """One backbone's tensors under several sets of strides, with a classifier for each tap."""

    def __init__(self, width: float, num_classes: int) -> None:
        super().__init__()
        configs = [MobileNetV1(eliminated_strides=strides, taps=TAPS) for strides in STRIDES]
        self.backbones = nn.ModuleList(build_backbone(config, width) for config in configs)
        for other in self.backbones[1:]:
            _share(self.backbones[0], other)
        maps = configs[0].levels(width, both_axes(INPUT_SIZE)).maps
        self.classifiers = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(level.channels, 1 + num_classes, 1) for level in maps)
            for _ in STRIDES
        )

    def loss(self, variant: int, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Weighted cross-entropy over the cells of all taps.

        Args:
            images: normalised, [N, 3, S, S].
            labels, weights: of each pixel, [N, S, S].
        """
        maps = self.backbones[variant](images).maps
        total = images.new_zeros(())
        for level, features in enumerate(maps):
            classify = self.get_submodule(f"classifiers.{variant}.{level}")
            size = features.shape[-1]
            cell_weights = _at_centres(weights, size)
            losses = functional.cross_entropy(
                classify(features), _at_centres(labels, size), reduction="none"
            )
            total = total + (losses * cell_weights).sum() / cell_weights.sum()
        return total


def _share(source: nn.Module, target: nn.Module) -> None:
    for ours, theirs in zip(source.modules(), target.modules(), strict=True):
        theirs._parameters.update(ours._parameters)
        theirs._buffers.update(ours._buffers)


def _at_centres(pixels: Tensor, size: int) -> Tensor:
    """The values of [N, S, S] under the centres of size x size cells."""
    centres = ((torch.arange(size) + 0.5) / size * pixels.shape[-1]).long()
    return pixels[:, centres][:, :, centres]


def pixel_labels(split: Dataset) -> tuple[Tensor, Tensor]:
    """The label of the smallest object on each pixel and its weight, each [N, S, S]."""
    coco: COCO = split.ground_truth()
    labels, weights = [], []
    for image in split.images:
        label = torch.zeros(image.height, image.width, dtype=torch.long)
        weight = torch.full(label.shape, BACKGROUND_WEIGHT)
        for a in sorted(split.annotations[image.id], key=lambda a: -a.area):
            mask = torch.from_numpy(coco.annToMask(coco.anns[a.id])).bool()
            label[mask] = split.label_of(a.category_id)
            weight[mask] = min(3.0, 60 / math.sqrt(a.area))
        labels.append(label)
        weights.append(weight)
    return torch.stack(labels), torch.stack(weights)


def train(trunk: Trunk, split: Dataset, seconds: float) -> None:
    """Train for a while; the learning rate falls to zero with the time."""
    images = torch.cat([batch for _, batch in evaluation_batches(split, INPUT_SIZE, BATCH)])
    labels, weights = pixel_labels(split)
    mean, std = PIXELS["imagenet"]
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    start, draw, recent, step = time.monotonic(), random.Random(0), [], 0
    while (past := (time.monotonic() - start) / seconds) < 1:
        factor = min(1, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * past))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * factor
        chosen = torch.randint(len(images), (BATCH,))
        sample = _flipped([images[chosen], labels[chosen], weights[chosen]], draw)
        batch = normalize(sample[0].float() / 255, list(mean), list(std))
        loss = trunk.loss(draw.randrange(len(STRIDES)), batch, sample[1], sample[2])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        step += 1
        if step % 100 == 0:
            print(f"{past:4.0%} step {step}: loss {statistics.mean(recent):.3f}", flush=True)
            recent.clear()


def _flipped(tensors: list[Tensor], draw: random.Random) -> list[Tensor]:
    """One of the eight symmetries of the square, the same for all tensors."""
    for axis in (-1, -2):
        if draw.random() < 0.5:
            tensors = [t.flip(axis) for t in tensors]
    return [t.transpose(-1, -2) for t in tensors] if draw.random() < 0.5 else tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="for each width")
    parser.add_argument("--widths", type=float, nargs="+", default=SHAPES_WIDTHS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = DataSource.from_folder(generate_shapes(Path(folder) / "shapes", SHAPES))
        split, _ = read_source(source)
        for width in arguments.widths:
            torch.manual_seed(0)
            trunk = Trunk(width, split.num_classes).to(memory_format=torch.channels_last)
            train(trunk, split, 60 * arguments.minutes)
            save_backbone(trunk.backbones[0], arguments.out / shapes_file(width))


if __name__ == "__main__":
    main()
