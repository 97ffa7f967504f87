"""Dense heads: what a map's cells predict, and what that means as boxes, scores and losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.boxes import decode
from detectors.features import Predictions
from detectors.losses import multibox_loss
from detectors.matching import Objects, match_max_iou
from detectors.priors import default_boxes
from searchspace.detector import DetectorConfig
from searchspace.training import SmallObjects


class MultiboxHead(nn.Module):
    """SSD's head: on each level one 3x3 convolution for boxes and one for classes.

    Attributes:
        priors: [P, 4], default boxes (cx, cy, w, h) as fractions of the input.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
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
        boxes = default_boxes(priors, levels, config.input_size)
        self.register_buffer("priors", boxes, persistent=False)

    def forward(self, maps: list[Tensor]) -> Predictions:
        """Maps [N, C, H, W] to predictions ordered by level, row, column, prior."""
        boxes = [_rows(conv(x), 4) for conv, x in zip(self.boxes, maps, strict=True)]
        classes = [
            _rows(conv(x), conv.out_channels * 4 // box.out_channels)
            for conv, box, x in zip(self.classes, self.boxes, maps, strict=True)
        ]
        return Predictions(boxes=torch.cat(boxes, 1), classes=torch.cat(classes, 1))

    def boxes_of(self, predictions: Predictions) -> Tensor:
        """[N, P, 4], xyxy in fractions of the input."""
        return decode(predictions.boxes.float(), self.priors)

    def scores_of(self, predictions: Predictions) -> Tensor:
        """[N, P, num_classes], each in 0..1; background is left out."""
        return predictions.classes.float().softmax(-1)[..., 1:]

    def losses(
        self, predictions: Predictions, objects: Objects, small_objects: SmallObjects
    ) -> dict[str, Tensor]:
        """Named loss terms of a batch."""
        matches = match_max_iou(self.priors, objects)
        return multibox_loss(predictions, self.priors, matches, objects, small_objects)


def _rows(x: Tensor, numbers: int) -> Tensor:
    """[N, B * numbers, H, W] to [N, H * W * B, numbers]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, numbers)


HEADS: dict[str, type[nn.Module]] = {"multibox": MultiboxHead}


def build_head(config: DetectorConfig) -> nn.Module:
    """The head of a detector, by the kind that its configuration names."""
    return HEADS[config.head.kind](config)
