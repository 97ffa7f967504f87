from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.matching import Objects
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors

MakeDetector = Callable[..., Detector]


@dataclass
class Scene:
    """Predictions of an anchor-free head over a small pyramid, and the objects to be learned.

    The last image has no object, the one before it a single one. Half of the predicted boxes lie
    on some object, more or less.
    """

    boxes: Tensor
    classes: Tensor
    objectness: Tensor
    coded: Tensor
    sides: Tensor
    points: Tensor
    counts: tuple[int, ...]
    objects: Objects

    def leaves(self) -> list[Tensor]:
        """The predictions, now with gradients."""
        leaves = [self.boxes, self.classes, self.objectness, self.coded, self.sides]
        return [leaf.requires_grad_() for leaf in leaves]


def grid_points(side: int, strides: tuple[int, ...]) -> Tensor:
    """Middles and sides of cells, level by level, row by row."""
    return torch.tensor(
        [
            ((column + 0.5) * stride, (row + 0.5) * stride, stride, stride)
            for stride in strides
            for row in range(side // stride)
            for column in range(side // stride)
        ]
    )


def random_scene(seed: int, images: int = 4, count: int = 6, classes: int = 3) -> Scene:
    """On 64 x 64 pixels with levels of 8 x 8, 4 x 4 and 2 x 2 cells."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    points = grid_points(64, (8, 16, 32))
    total = len(points)
    sizes = 4 + 36 * uniform(images, count, 2)
    corners = uniform(images, count, 2) * (64 - sizes)
    valid = torch.ones(images, count, dtype=torch.bool)
    valid[-2, 1:] = False
    valid[-1] = False
    objects = Objects(
        boxes=torch.cat((corners, corners + sizes), -1),
        labels=torch.randint(1, classes + 1, (images, count), generator=generator) * valid,
        small=uniform(images, count) < 0.5,
        valid=valid,
    )
    cells = torch.cat((points[:, :2] - points[:, 2:], points[:, :2] + points[:, 2:]), -1)
    aims = torch.randint(count, (images, total), generator=generator)
    aimed = objects.boxes.gather(1, aims[..., None].expand(-1, -1, 4))
    boxes = torch.where(uniform(images, total, 1) < 0.5, aimed, cells) + noise(images, total, 4)
    return Scene(
        boxes=boxes,
        classes=noise(images, total, classes),
        objectness=noise(images, total),
        coded=noise(images, total, 4),
        sides=noise(images, total, 4, 17),
        points=points,
        counts=(64, 16, 4),
        objects=objects,
    )


@pytest.fixture(scope="session")
def make_points() -> Callable[..., Tensor]:
    return grid_points


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    return random_scene


def with_padding(objects: Objects, pad: int) -> Objects:
    """The same objects followed by garbage."""
    images = len(objects.valid)
    empty = torch.zeros(images, pad, dtype=torch.bool)
    rubbish = torch.tensor([10.0, 10.0, 40.0, 40.0]).expand(images, pad, 4)
    return Objects(
        boxes=torch.cat((objects.boxes, rubbish), 1),
        labels=torch.cat((objects.labels, empty.long()), 1),
        small=torch.cat((objects.small, ~empty), 1),
        valid=torch.cat((objects.valid, empty), 1),
    )


@pytest.fixture(scope="session")
def pad_objects() -> Callable[[Objects, int], Objects]:
    return with_padding


@pytest.fixture(scope="session")
def make_detector() -> MakeDetector:
    """A narrow detector of small inputs; keywords replace fields of its configuration."""

    def make(seed: int = 0, strides: tuple[int, ...] = (), **changes: object) -> Detector:
        fields = {
            "input_size": 64,
            "num_classes": 4,
            "width": 0.25,
            "backbone": MobileNetV1(eliminated_strides=strides),
            "head": Multibox(priors=ScaledPriors()),
        }
        torch.manual_seed(seed)
        return Detector(DetectorConfig(**(fields | changes)))

    return make


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """Eight training and six validation images of generated shapes, 96 pixels a side."""
    config = ShapesConfig(train_images=8, val_images=6, size=96, seed=1)
    folder: Path = generate_shapes(tmp_path_factory.mktemp("shapes") / "set", config)
    return read_source(DataSource.from_folder(folder))
