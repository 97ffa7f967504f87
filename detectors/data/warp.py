"""Rotation, shear and translation of a mosaic (YOLOX's `random_affine`, without its scale)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from detectors.data.scene import EVERYWHERE, Scene
from searchspace.augmentation import Augment


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

    def moved(self, scene: Scene) -> Scene:
        """A scene under the map, without its clips: it is not yet said what of it is seen."""
        linear, shift = self.matrix[:2, :2], self.matrix[:2, 2]
        layers = []
        for layer in scene.layers:
            matrix = linear @ layer.matrix
            matrix[:, 2] += shift
            layers.append(replace(layer, matrix=matrix, clip=EVERYWHERE))
        return replace(scene, layers=tuple(layers)).with_boxes(self.boxes(scene.boxes))

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """The boxes, [G, 4] xyxy, around the moved corners of boxes [G, 4]."""
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        moved = corners @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return np.concatenate((moved.min(1), moved.max(1)), -1)
