"""Dense heads: what a map's cells predict."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.features import Predictions
from searchspace.geometry import Level


class MultiboxHead(nn.Module):
    """SSD's head: on each level one 3x3 convolution for boxes and one for classes.

    Args:
        levels: the maps it reads.
        boxes_per_cell: priors of a cell, level by level.
        num_classes: foreground classes; background is added in front.
    """

    def __init__(
        self, levels: tuple[Level, ...], boxes_per_cell: tuple[int, ...], num_classes: int
    ) -> None:
        super().__init__()
        pairs = list(zip(levels, boxes_per_cell, strict=True))
        outputs = 1 + num_classes
        self.boxes = nn.ModuleList(nn.Conv2d(x.channels, 4 * b, 3, padding=1) for x, b in pairs)
        self.classes = nn.ModuleList(
            nn.Conv2d(x.channels, outputs * b, 3, padding=1) for x, b in pairs
        )
        # Small weights: all classes start out equally likely, whatever the scale of the maps.
        for conv in (*self.boxes, *self.classes):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: list[Tensor]) -> Predictions:
        """Maps [N, C, H, W] to predictions ordered by level, row, column, prior."""
        boxes = [_rows(conv(x), 4) for conv, x in zip(self.boxes, maps, strict=True)]
        classes = [
            _rows(conv(x), conv.out_channels * 4 // box.out_channels)
            for conv, box, x in zip(self.classes, self.boxes, maps, strict=True)
        ]
        return Predictions(boxes=torch.cat(boxes, 1), classes=torch.cat(classes, 1))


def _rows(x: Tensor, numbers: int) -> Tensor:
    """[N, B * numbers, H, W] to [N, H * W * B, numbers]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, numbers)
