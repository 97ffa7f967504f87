"""The base class of heads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from detectors.features import Predictions
from detectors.matching import Objects
from detectors.postprocess import Detections, Survivors, likely_priors, postprocess
from detectors.priors import default_boxes
from searchspace.detector import DetectorConfig
from searchspace.heads import Head
from searchspace.training import SmallObjects

RARE = 0.01
"""The initial score of every class at every point, for heads with a sigmoid."""


H = TypeVar("H", bound=Head)


class DenseHead(nn.Module, ABC):
    """A head that predicts from every cell of every map.

    Attributes:
        priors: [P, 4], (cx, cy, w, h) as fractions of the input: default boxes, or points with the
            strides of their level as sides. Ordered by level, row, column, box of a cell.
        counts: number of priors of each level.
        num_classes: classes without background.
        sides: (width, height, width, height) of the input in pixels, to convert fractions.
    """

    priors: Tensor
    sides: Tensor

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config.head
        self.size = config.size
        self.num_classes = config.num_classes
        levels, priors = config.levels(), config.priors()
        pairs = zip(levels, priors, strict=True)
        self.counts = tuple(level.cells * p.boxes_per_cell for level, p in pairs)
        boxes = default_boxes(priors, levels, config.input_size)
        self.register_buffer("priors", boxes, persistent=False)
        height, width = config.size
        sides = torch.tensor((width, height, width, height), dtype=torch.float32)
        self.register_buffer("sides", sides, persistent=False)

    @abstractmethod
    def forward(self, maps: list[Tensor]) -> Predictions:
        """Maps [N, C, H, W] to raw predictions over all priors."""

    def boxes_of(self, predictions: Predictions) -> Tensor:
        """[N, P, 4], xyxy in fractions of the input."""
        return self.decoded(predictions, self.priors)

    @abstractmethod
    def decoded(self, predictions: Predictions, priors: Tensor) -> Tensor:
        """Boxes [N, R, 4], xyxy in fractions of the input, predicted from R priors only.

        Args:
            priors: [R, 4] or [N, R, 4].
        """

    @abstractmethod
    def scores_of(self, predictions: Predictions) -> Tensor:
        """[N, P, num_classes], each in 0..1, without background."""

    @abstractmethod
    def best_scores_of(self, predictions: Predictions) -> Tensor:
        """[N, P], the best score of each prior, cheaper than all scores.

        Below the threshold of the post-processing, the value is unspecified (but below it).
        """

    @abstractmethod
    def predictions_of(self, scores: Tensor) -> Predictions:
        """Raw predictions with these scores [N, P, num_classes], and the priors as boxes.

        The inverse of `scores_of`; the scores of one prior sum to at most 1.
        """

    @abstractmethod
    def losses(
        self,
        predictions: Predictions,
        objects: Objects,
        small_objects: SmallObjects,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        """Named loss terms of a batch, each a scalar [].

        Args:
            predictions: raw predictions for N images.
            objects: their objects, with boxes [N, G, 4] in fractions of the input.
            plain: whether the epoch is one of the last, without mosaic (`plain_epochs`), in which
                YOLOX has an additional term.
        """

    def detections(
        self, predictions: Predictions, survivors: Survivors | None = None
    ) -> Detections:
        """The detections of each image: best candidates, decoding, NMS.

        Only priors that can have a candidate are decoded and fully scored.

        Args:
            survivors: see `postprocess`.
        """
        config, best = self.config.postprocess, self.best_scores_of(predictions)
        places, counts = likely_priors(best, config, self.counts, self.num_classes)
        few = predictions.at(places)
        boxes, scores = self.decoded(few, self.priors[places]), self.scores_of(few)
        return postprocess(boxes, scores, config, counts, survivors)

    def _in_pixels(self, objects: Objects) -> Objects:
        height, width = self.size
        return objects.scaled(width, height)


def rows(x: Tensor, numbers: int) -> Tensor:
    """[N, B * numbers, H, W] to [N, H * W * B, numbers]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, numbers)


def score_conv(channels: int, outputs: int, kernel: int, padding: int = 0) -> nn.Conv2d:
    """The convolution before a sigmoid, with an initial score of `RARE` everywhere.

    Objects at a point are about as rare; the loss of initial scores of 0.5 would dominate (Lin et
    al., Focal Loss, 2017, section 4.1).
    """
    conv = nn.Conv2d(channels, outputs, kernel, padding=padding)
    start_small(conv, bias=-math.log((1 - RARE) / RARE))
    return conv


def start_small(conv: nn.Conv2d, bias: float = 0.0) -> None:
    """Give a convolution small random weights, and everywhere the same bias."""
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, bias)


def head_of(config: DetectorConfig, kind: type[H]) -> H:
    """The configuration of a head, which must be of class `kind`; raises `TypeError` otherwise."""
    if isinstance(config.head, kind):
        return config.head
    raise TypeError(f"the head is a {type(config.head).__name__}, not a {kind.__name__}")
