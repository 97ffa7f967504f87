"""GFL's head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.blocks import Scale, conv_group_norm_relu
from detectors.boxes import decode_from_sides
from detectors.building import builds
from detectors.features import Predictions
from detectors.heads.dense import DenseHead, head_of, rows, score_conv, start_small
from detectors.losses import gfl_losses
from detectors.matching import Objects
from searchspace.detector import DetectorConfig
from searchspace.geometry import scaled
from searchspace.heads import Distributions
from searchspace.training import SmallObjects


@builds(Distributions)
class DistributionsHead(DenseHead):
    """Towers that all levels share (Li et al., Generalized Focal Loss, 2020, section 3).

    A side's distance from its point is the expectation of a distribution over bins that are one
    stride of the level apart. A class's score also predicts the IoU of the box.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        head, levels = head_of(config, Distributions), config.levels()
        self.bins = head.bins
        channels = scaled(head.channels, config.width)
        self.class_tower = _tower(levels[0].channels, channels, head.depth)
        self.box_tower = _tower(levels[0].channels, channels, head.depth)
        self.classes = score_conv(channels, config.num_classes, kernel=3, padding=1)
        self.boxes = nn.Conv2d(channels, 4 * head.bins, 3, padding=1)
        start_small(self.boxes)
        self.scales = nn.ModuleList(Scale() for _ in levels)

    def forward(self, maps: list[Tensor]) -> Predictions:
        classes, boxes = [], []
        for scale, x in zip(self.scales, maps, strict=True):
            sides = scale(self.boxes(self.box_tower(x)))
            classes.append(rows(self.classes(self.class_tower(x)), self.classes.out_channels))
            boxes.append(rows(sides, 4 * self.bins).unflatten(-1, (4, -1)))
        return Predictions(torch.cat(boxes, 1), torch.cat(classes, 1))

    def decoded(self, predictions: Predictions, priors: Tensor) -> Tensor:
        bins = torch.arange(self.bins, dtype=torch.float32, device=priors.device)
        # Not a matrix product: autocast would compute it in half precision and round distances.
        distances = (predictions.boxes.float().softmax(-1) * bins).sum(-1)
        return decode_from_sides(distances, priors)

    def scores_of(self, predictions: Predictions) -> Tensor:
        return predictions.classes.float().sigmoid()

    def best_scores_of(self, predictions: Predictions) -> Tensor:
        return predictions.classes.amax(-1).float().sigmoid()

    def predictions_of(self, scores: Tensor) -> Predictions:
        boxes = scores.new_zeros(*scores.shape[:2], 4, self.bins)
        return Predictions(boxes, scores.logit())

    def losses(
        self,
        predictions: Predictions,
        objects: Objects,
        small_objects: SmallObjects,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        return gfl_losses(
            self.boxes_of(predictions) * self.sides,
            predictions.classes,
            predictions.boxes,
            self.priors * self.sides,
            self.counts,
            self._in_pixels(objects),
            small_objects,
        )


def _tower(channels_in: int, channels: int, depth: int) -> nn.Sequential:
    """Convolutions with group norm, all of `channels` outputs."""
    inputs = (channels_in, *[channels] * (depth - 1))
    tower = nn.Sequential(*(conv_group_norm_relu(count, channels) for count in inputs))
    for layer in tower.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
    return tower
