"""SSD's head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.boxes import decode
from detectors.features import Predictions
from detectors.heads.dense import DenseHead, rows
from detectors.losses import multibox_loss
from detectors.matching import Objects, match_max_iou
from searchspace.detector import DetectorConfig
from searchspace.training import SmallObjects

FEW = 32
"""Classes up to which a CPU takes a softmax several times faster across rows than along them."""


class MultiboxHead(DenseHead):
    """On each level one 3x3 convolution for boxes and one for classes (SSD, section 2.1)."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        levels, priors = config.levels(), config.priors()
        pairs = [(x, p.boxes_per_cell) for x, p in zip(levels, priors, strict=True)]
        outputs = 1 + config.num_classes
        self.boxes = nn.ModuleList(nn.Conv2d(x.channels, 4 * b, 3, padding=1) for x, b in pairs)
        self.classes = nn.ModuleList(
            nn.Conv2d(x.channels, outputs * b, 3, padding=1) for x, b in pairs
        )
        # Small weights: all classes start out equally likely, whatever the scale of the maps.
        for conv in (*self.boxes, *self.classes):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: list[Tensor]) -> Predictions:
        boxes = [rows(conv(x), 4) for conv, x in zip(self.boxes, maps, strict=True)]
        classes = [
            rows(conv(x), conv.out_channels * 4 // box.out_channels)
            for conv, box, x in zip(self.classes, self.boxes, maps, strict=True)
        ]
        return Predictions(boxes=torch.cat(boxes, 1), classes=torch.cat(classes, 1))

    def boxes_of(self, predictions: Predictions) -> Tensor:
        return decode(predictions.boxes.float(), self.priors)

    def scores_of(self, predictions: Predictions) -> Tensor:
        logits = predictions.classes.float()
        if logits.shape[-1] > FEW:
            return logits.softmax(-1)[..., 1:]
        return logits.transpose(1, 2).contiguous().softmax(1)[:, 1:].transpose(1, 2)

    def losses(
        self,
        predictions: Predictions,
        objects: Objects,
        small_objects: SmallObjects,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        matches = match_max_iou(self.priors, objects)
        return multibox_loss(predictions, self.priors, matches, objects, small_objects)
