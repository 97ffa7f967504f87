"""From scores to detections, for a whole batch at once: no loop over images or classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from searchspace.heads import Postprocess


@dataclass(frozen=True)
class Detections:
    """The detections of a batch, best first, padded to D an image.

    Attributes:
        boxes: [N, D, 4], xyxy in fractions of the image.
        scores: [N, D]; 0 for padding.
        labels: [N, D], 1..num_classes; 0 for padding.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def of_image(self, index: int, width: float, height: float) -> dict[str, Tensor]:
        """One image's detections in its own pixels, in torchvision's form."""
        real = self.labels[index] > 0
        scale = self.boxes.new_tensor((width, height, width, height))
        return {
            "boxes": self.boxes[index][real] * scale,
            "labels": self.labels[index][real],
            "scores": self.scores[index][real],
        }


def postprocess(
    boxes: Tensor, scores: Tensor, config: Postprocess, counts: Sequence[int] = ()
) -> Detections:
    """Threshold, best candidates, class-wise NMS, best detections.

    Args:
        boxes: [N, P, 4], xyxy in fractions of the image.
        scores: [N, P, K], foreground classes only.
        counts: how many of the P each level has; one level where nothing is said.
    """
    if config.level_candidates:
        scores = _best_of_levels(scores, counts or (scores.shape[1],), config.level_candidates)
    classes = scores.shape[-1]
    top, flat = _best(scores, config.candidates)
    labels = flat % classes
    candidates = boxes.gather(1, (flat // classes)[..., None].expand(-1, -1, 4)).clamp(0, 1)
    alive = top > config.score_threshold
    alive &= _survivors(candidates, top, labels, alive, classes, config.nms_iou)
    top = torch.where(alive, top, 0)
    top, order = top.topk(min(config.detections, top.shape[1]), dim=1)
    labels = torch.where(top > 0, labels.gather(1, order) + 1, 0)
    return Detections(candidates.gather(1, order[..., None].expand(-1, -1, 4)), top, labels)


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best scores of each image and their places in its flattened [P * K].

    They lie in the rows of the `count` best priors, so most rows are looked at once only.
    """
    _, priors, classes = scores.shape
    rows = scores.amax(-1).topk(min(count, priors), dim=1).indices
    near = scores.gather(1, rows[..., None].expand(-1, -1, classes)).flatten(1)
    top, place = near.topk(min(count, near.shape[1]), dim=1)
    return top, rows.gather(1, place // classes) * classes + place % classes


def _best_of_levels(scores: Tensor, counts: Sequence[int], most: int) -> Tensor:
    """Scores [N, P, K] with zeros in place of all but the `most` best of each level."""
    levels = []
    for level in scores.split(list(counts), dim=1):
        best, place = _best(level, most)
        kept = torch.zeros_like(level).flatten(1).scatter(1, place, best)
        levels.append(kept.view_as(level))
    return torch.cat(levels, 1)


def _survivors(
    boxes: Tensor, scores: Tensor, labels: Tensor, alive: Tensor, classes: int, iou: float
) -> Tensor:
    """[N, M] mask of the boxes that NMS keeps within their image and class.

    One call serves all: each pair of image and class has its own place on a plane of doubles.
    """
    place = torch.arange(len(boxes), device=boxes.device)[:, None] * classes + labels
    shifted = boxes[alive].double() + 2.0 * place[alive][:, None]
    kept = nms(shifted, scores[alive].double(), iou)
    chosen = torch.zeros(len(shifted), dtype=torch.bool, device=boxes.device)
    chosen[kept] = True
    return torch.zeros_like(alive).masked_scatter(alive, chosen)
