"""From scores to detections, for a whole batch at once: no loop over images or classes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchvision.ops import nms

from detectors.canvas import has_area, in_pixels
from searchspace.geometry import Canvas
from searchspace.heads import Postprocess

Survivors = Callable[[Tensor, Tensor, Tensor, int, float], Tensor]
"""A function that computes what `class_nms` does."""


@dataclass(frozen=True)
class Detections:
    """The detections of a batch, best first, padded to D per image.

    Attributes:
        boxes: [N, D, 4], xyxy in fractions of the network's input; 0 for padding.
        scores: [N, D]; 0 for padding.
        labels: [N, D], 1..num_classes; 0 for padding.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Detections]) -> Detections:
        """The detections of several batches as those of one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat([part.labels for part in parts]),
        )

    def rows(self, first: int, last: int) -> Detections:
        """Those of the images from `first` to before `last`."""
        return Detections(*(part[first:last] for part in (self.boxes, self.scores, self.labels)))

    def cpu(self) -> Detections:
        """The same in the host's memory, in one transfer."""
        parts = (self.boxes, self.scores[..., None], self.labels[..., None])
        host = torch.cat([part.float() for part in parts], -1).cpu()
        boxes, scores, labels = host.split((4, 1, 1), -1)
        return Detections(boxes, scores[..., 0], labels[..., 0].long())

    def of_image(
        self, index: int, width: int, height: int, canvas: Canvas | None = None
    ) -> dict[str, Tensor]:
        """One image's detections in its own pixels, in torchvision's format: `boxes` [M, 4] (xyxy),
        `scores` [M], `labels` [M], without padding.

        Args:
            width, height: of the image.
            canvas: how it was placed on the network's input; by default it was stretched. Boxes
                are clipped to the image, and those that have no area then are left out.
        """
        size, canvas = (height, width), canvas or Canvas((height, width))
        boxes = in_pixels(self.boxes[index], size, canvas)
        real = (self.labels[index] > 0) & has_area(boxes)
        return {
            "boxes": boxes[real],
            "labels": self.labels[index][real],
            "scores": self.scores[index][real],
        }


class Detecting(Protocol):
    """What finds objects: a `Detector`, one in a runtime, an exported file.

    Attributes:
        classes: names of the classes, label 1 first; empty if they have none.
        num_classes: their number.
        canvas: how images are placed on the network's input.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def canvas(self) -> Canvas: ...

    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1, placed on the canvas."""
        ...


def postprocess(
    boxes: Tensor,
    scores: Tensor,
    config: Postprocess,
    counts: Sequence[int] = (),
    survivors: Survivors | None = None,
) -> Detections:
    """Threshold, best candidates, class-wise NMS, best detections. Boxes that have no area on the
    input are none of them.

    Args:
        boxes: [N, P, 4], xyxy in fractions of the network's input.
        scores: [N, P, K], foreground classes only.
        counts: number of priors of each level; by default one level with all P.
        survivors: a replacement of `class_nms`.
    """
    if config.level_candidates:
        scores = _best_of_levels(scores, counts or (scores.shape[1],), config.level_candidates)
    classes = scores.shape[-1]
    top, flat = _candidates(scores, config)
    labels = flat % classes
    candidates = boxes.gather(1, (flat // classes)[..., None].expand(-1, -1, 4)).clamp(0, 1)
    top = torch.where((top > config.score_threshold) & has_area(candidates), top, 0)
    alive = (survivors or class_nms)(candidates, top, labels, classes, config.nms_iou)
    top, order = torch.where(alive, top, 0).topk(min(config.detections, top.shape[1]), dim=1)
    labels = torch.where(top > 0, labels.gather(1, order) + 1, 0)
    found = candidates.gather(1, order[..., None].expand(-1, -1, 4))
    return Detections(torch.where(top[..., None] > 0, found, 0), top, labels)


def likely_priors(
    best: Tensor, config: Postprocess, counts: Sequence[int], classes: int
) -> tuple[Tensor, tuple[int, ...]]:
    """The priors that can have candidates.

    The top-k scores of an image come from at most k priors, so the k priors with the highest best
    score suffice. With a limit of each class, or none, these are all above the threshold.

    Args:
        best: [N, P], the best score of each prior, exact where it is above the threshold.
        counts: number of priors of each level.
        classes: number of classes.

    Returns:
        Their indices [N, R] among the P, level by level, and the number of them on each level.
    """
    most = config.level_candidates
    if most is None:
        limit = _most_priors(best, config, classes)
        return _top_places(best, limit), (min(limit, best.shape[1]),)
    levels = best.split(list(counts), dim=1)
    starts = itertools.accumulate((0, *counts[:-1]))
    pairs = zip(starts, levels, strict=True)
    places = torch.cat([start + _top_places(level, most) for start, level in pairs], 1)
    return places, tuple(min(most, count) for count in counts)


def _most_priors(best: Tensor, config: Postprocess, classes: int) -> int:
    """How many priors have the candidates of an image, at most."""
    if config.class_candidates is None and config.candidates is not None:
        return config.candidates
    # The best of a class may be worse than many of another class. In a trained network nearly all
    # priors are background; as many as the detections need are there in any case.
    return _passing(best, config, math.ceil(config.detections / classes))


def _top_places(best: Tensor, most: int) -> Tensor:
    return best.topk(min(most, best.shape[1]), dim=1).indices


def _candidates(scores: Tensor, config: Postprocess) -> tuple[Tensor, Tensor]:
    """The scores [N, M] that enter NMS, of [N, P, K], and their indices in [P * K]."""
    if config.class_candidates is None or config.class_candidates >= scores.shape[1]:
        return _best(scores, _most(scores, config))
    classes = scores.shape[-1]
    top, place = scores.topk(config.class_candidates, dim=1)
    flat = (place * classes + torch.arange(classes, device=scores.device)).flatten(1)
    top, order = _best(top, _most(top, config))
    return top, flat.gather(1, order)


def _most(scores: Tensor, config: Postprocess) -> int:
    """How many of scores [N, P, K] enter NMS, at most."""
    if config.candidates is not None:
        return config.candidates
    return _passing(scores.flatten(1), config, config.detections)


def _passing(scores: Tensor, config: Postprocess, least: int) -> int:
    """How many of scores [N, M] of an image pass the threshold, at most; `least` or more.

    In an exported graph, whose shapes should not depend on values, all M.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return scores.shape[1]
    found = int((scores > config.score_threshold).sum(1).max())
    return min(scores.shape[1], max(found, least))


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of the scores [N, P, K] of each image, and their indices in [P * K]."""
    flat = scores.flatten(1)
    return flat.topk(min(count, flat.shape[1]), dim=1)


def _best_of_levels(scores: Tensor, counts: Sequence[int], most: int) -> Tensor:
    """Scores [N, P, K] with all but the `most` best of each level set to zero."""
    levels = []
    for level in scores.split(list(counts), dim=1):
        best, place = _best(level, most)
        levels.append(torch.zeros_like(level).flatten(1).scatter(1, place, best).view_as(level))
    return torch.cat(levels, 1)


def class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, classes: int, iou: float) -> Tensor:
    """[N, M] mask of the boxes that NMS keeps within their image and class.

    One call serves all: each pair of image and class is shifted to its own place on a plane of
    doubles.

    Args:
        boxes: [N, M, 4], xyxy within 0..1.
        scores: [N, M]; 0 for padding.
        labels: [N, M], 0..classes - 1.
        iou: of two boxes with a higher IoU, the one of lower score is removed.
    """
    alive = scores > 0
    place = torch.arange(boxes.shape[0], device=boxes.device)[:, None] * classes + labels
    found, shifted = scores[alive], boxes[alive].double() + 2.0 * place[alive][:, None]
    kept = nms(shifted, found.double(), iou)
    chosen = torch.zeros_like(found, dtype=torch.bool)
    chosen[kept] = True
    return torch.zeros_like(alive).masked_scatter(alive, chosen)
