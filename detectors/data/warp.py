"""Rotation, shear and translation of a mosaic (YOLOX's `random_affine`, without its scale)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detectors.features import size_of
from searchspace.training import Augment


@dataclass(frozen=True)
class Warp:
    """An affine map of a square canvas.

    Attributes:
        matrix: float64 [3, 3], from (x, y, 1) in pixels of the canvas to its new place.
    """

    matrix: np.ndarray

    @classmethod
    def drawn(cls, augment: Augment, side: int, rng: np.random.Generator) -> Warp | None:
        """A random map about the centre of a canvas; None if nothing is to be drawn."""
        reach = (augment.mosaic_rotation, augment.mosaic_shear, augment.mosaic_translation)
        if not any(reach):
            return None
        most = np.radians((reach[0], reach[1], reach[1])).tolist()
        turn, along_x, along_y = (rng.uniform(-angle, angle) for angle in most)
        right, down = (rng.uniform(-1, 1) * reach[2] * side for _ in "xy")
        return cls.about_centre(side, turn, (along_x, along_y), (right, down))

    @classmethod
    def about_centre(
        cls, side: int, turn: float, shear: tuple[float, float], shift: tuple[float, float]
    ) -> Warp:
        """A rotation, then a shear along x and y, both about the canvas's centre, then a shift.

        Args:
            turn: in radians, clockwise in an image, whose y points down.
            shear: angles in radians, along x and along y.
            shift: (x, y) in pixels.
        """
        cos, sin = math.cos(turn), math.sin(turn)
        along_x, along_y = map(math.tan, shear)
        linear = np.array([[1, along_x], [along_y, 1]]) @ np.array([[cos, -sin], [sin, cos]])
        centre = np.full(2, side / 2)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = centre + np.array(shift) - linear @ centre
        return cls(matrix)

    def boxes(self, boxes: Tensor) -> Tensor:
        """The boxes, [G, 4] xyxy, around the moved corners of boxes [G, 4]."""
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).double()
        matrix = torch.from_numpy(self.matrix)
        moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
        return torch.cat((moved.amin(1), moved.amax(1)), -1).to(boxes.dtype)

    def paint(self, canvas: Tensor, image: Tensor, x: int, y: int) -> None:
        """Paint an image, uint8 [3, h, w], whose corner was at (x, y) before the map, onto a canvas
        [3, side, side]."""
        side, (height, width) = canvas.shape[-1], size_of(image)
        # Sampling is from -1..1 on the canvas to -1..1 on the image, from edge to edge.
        pixels = np.diag((side / 2, side / 2, 1.0))
        pixels[:2, 2] = side / 2
        onto = np.array([[2 / width, 0, -2 * x / width - 1], [0, 2 / height, -2 * y / height - 1]])
        theta = torch.from_numpy(onto @ np.linalg.inv(self.matrix) @ pixels).float()
        grid = functional.affine_grid(theta[None], [1, 1, side, side], align_corners=False)
        covered = (grid[0].abs() <= 1).all(-1)
        if covered.any():
            layers = image.as_subclass(Tensor)[None].float()
            found = functional.grid_sample(
                layers, grid, mode="bilinear", padding_mode="border", align_corners=False
            )
            canvas.copy_(torch.where(covered, found[0].round().to(canvas.dtype), canvas))
