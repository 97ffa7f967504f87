"""YOLOX's head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from detectors.blocks import conv_norm_silu
from detectors.boxes import decode_in_cells
from detectors.building import builds
from detectors.features import Predictions
from detectors.heads.dense import DenseHead, head_of, rows, score_conv
from detectors.losses import yolox_losses
from detectors.matching import Objects
from searchspace.detector import DetectorConfig
from searchspace.geometry import scaled
from searchspace.heads import Points
from searchspace.training import SmallObjects


@builds(Points)
class PointsHead(DenseHead):
    """Decoupled towers on each level (Ge et al., YOLOX, 2021, section 2.1).

    A class's score is its probability times the objectness.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        levels, head = config.levels(), head_of(config, Points)
        depth, channels = head.depth, scaled(head.channels, config.width)
        self.stems = nn.ModuleList(
            conv_norm_silu(x.channels, channels, kernel=1, padding=0) for x in levels
        )
        self.class_towers = nn.ModuleList(_tower(channels, depth) for _ in levels)
        self.box_towers = nn.ModuleList(_tower(channels, depth) for _ in levels)
        self.classes = nn.ModuleList(score_conv(channels, config.num_classes, 1) for _ in levels)
        self.boxes = nn.ModuleList(nn.Conv2d(channels, 4, 1) for _ in levels)
        self.objectness = nn.ModuleList(score_conv(channels, 1, 1) for _ in levels)

    def forward(self, maps: list[Tensor]) -> Predictions:
        classes, boxes, objectness = [], [], []
        for level, x in enumerate(maps):
            stem = self.stems[level](x)
            box_map = self.box_towers[level](stem)
            class_map = self.class_towers[level](stem)
            classes.append(rows(self.classes[level](class_map), self.num_classes))
            boxes.append(rows(self.boxes[level](box_map), 4))
            objectness.append(rows(self.objectness[level](box_map), 1)[..., 0])
        return Predictions(torch.cat(boxes, 1), torch.cat(classes, 1), torch.cat(objectness, 1))

    def decoded(self, predictions: Predictions, priors: Tensor) -> Tensor:
        return decode_in_cells(predictions.boxes.float(), priors)

    def scores_of(self, predictions: Predictions) -> Tensor:
        objectness = _objectness(predictions).float().sigmoid()
        return predictions.classes.float().sigmoid() * objectness[..., None]

    def best_scores_of(self, predictions: Predictions) -> Tensor:
        objectness = _objectness(predictions).float().sigmoid()
        return predictions.classes.amax(-1).float().sigmoid() * objectness

    def predictions_of(self, scores: Tensor) -> Predictions:
        boxes = scores.new_zeros(*scores.shape[:2], 4)
        certain = torch.full_like(boxes[..., 0], math.inf)
        return Predictions(boxes, scores.logit(), certain)

    def losses(
        self,
        predictions: Predictions,
        objects: Objects,
        small_objects: SmallObjects,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        return yolox_losses(
            self.boxes_of(predictions) * self.sides,
            predictions.classes,
            _objectness(predictions),
            self.priors * self.sides,
            self._in_pixels(objects),
            small_objects,
            coded=predictions.boxes if plain else None,
        )


def _objectness(predictions: Predictions) -> Tensor:
    if predictions.objectness is None:
        raise ValueError("predictions: this head's have objectness")
    return predictions.objectness


def _tower(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(conv_norm_silu(channels, channels) for _ in range(depth)))
