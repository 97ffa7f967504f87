"""SSD's head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from detectors.blocks import init_dense
from detectors.boxes import decode
from detectors.building import builds
from detectors.features import Predictions
from detectors.heads.dense import DenseHead, head_of, rows, start_small
from detectors.losses import multibox_loss
from detectors.matching import Objects, match_max_iou
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.training import SmallObjects

FEW = 32
"""Up to this many classes, softmax on a CPU is several times faster across rows than along them."""

ROUNDING = 1e-3
"""A tolerance larger than the rounding error of a score's log odds."""


@builds(Multibox)
class MultiboxHead(DenseHead):
    """On each level one 3x3 convolution for boxes and one for classes (SSD, section 2.1)."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        levels, priors = config.levels(), config.priors()
        pairs = [(x, p.boxes_per_cell) for x, p in zip(levels, priors, strict=True)]
        outputs = 1 + config.num_classes
        boxes = [nn.Conv2d(x.channels, 4 * b, 3, padding=1) for x, b in pairs]
        classes = [nn.Conv2d(x.channels, outputs * b, 3, padding=1) for x, b in pairs]
        start = init_dense if head_of(config, Multibox).initial == "xavier" else start_small
        for conv in (*boxes, *classes):
            start(conv)
        self.outputs = outputs
        self.boxes, self.classes = nn.ModuleList(boxes), nn.ModuleList(classes)

    def forward(self, maps: list[Tensor]) -> Predictions:
        boxes = [rows(conv(x), 4) for conv, x in zip(self.boxes, maps, strict=True)]
        classes = [rows(conv(x), self.outputs) for conv, x in zip(self.classes, maps, strict=True)]
        return Predictions(boxes=torch.cat(boxes, 1), classes=torch.cat(classes, 1))

    def decoded(self, predictions: Predictions, priors: Tensor) -> Tensor:
        return decode(predictions.boxes.float(), priors)

    def scores_of(self, predictions: Predictions) -> Tensor:
        return _foreground(predictions.classes.float())

    def best_scores_of(self, predictions: Predictions) -> Tensor:
        logits = predictions.classes.float()
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            # An exported graph should not have shapes that depend on values.
            return _foreground(logits).amax(-1)
        # If a score is above the threshold, so are its odds against the background alone. In a
        # trained network nearly all priors are background, so few need their softmax.
        odds = logits[..., 1:].amax(-1) - logits[..., 0]
        possible = odds > self._least_odds
        best = torch.zeros_like(odds)
        best[possible] = _foreground(logits[possible]).amax(-1)
        return best

    @property
    def _least_odds(self) -> float:
        """Log odds of the score threshold."""
        threshold = self.config.postprocess.score_threshold
        return math.log(threshold / (1 - threshold)) - ROUNDING if threshold else -math.inf

    def predictions_of(self, scores: Tensor) -> Predictions:
        background = (1 - scores.sum(-1, keepdim=True)).clamp(min=0)
        boxes = scores.new_zeros(*scores.shape[:2], 4)
        return Predictions(boxes, torch.cat((background, scores), -1).log())

    def losses(
        self,
        predictions: Predictions,
        objects: Objects,
        small_objects: SmallObjects,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        matches = match_max_iou(self.priors, objects)
        return multibox_loss(predictions, self.priors, matches, objects, small_objects)


def _foreground(logits: Tensor) -> Tensor:
    """Scores [..., K] without background from logits [..., 1 + K]."""
    if logits.shape[-1] > FEW:
        return logits.softmax(-1)[..., 1:]
    across = logits.transpose(-1, -2).contiguous().softmax(-2)
    return across.transpose(-1, -2)[..., 1:]
