"""YOLOX's loss: objectness of every point, class and box of positive points."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from detectors.boxes import aligned_iou, encode_in_cells
from detectors.losses.small import EVEN, weigh_small
from detectors.matching import Objects, match_simota, matched
from searchspace.training import SmallObjects

BOX_WEIGHT = 5.0


def yolox_losses(
    boxes: Tensor,
    classes: Tensor,
    objectness: Tensor,
    points: Tensor,
    objects: Objects,
    small_objects: SmallObjects = EVEN,
    coded: Tensor | None = None,
) -> dict[str, Tensor]:
    """SimOTA assignment, then 5 * (1 - IoU^2) and binary cross-entropies (Ge et al., YOLOX, 2021).

    The class target of a positive is the IoU instead of 1 at its object's class. All terms are sums
    divided by the number of positives of the batch (at least 1).

    Args:
        boxes: [N, P, 4], decoded predictions, xyxy in pixels of the input.
        classes: [N, P, C], logits without background.
        objectness: [N, P], logits.
        points: [P, 4], (cx, cy, w, h) in pixels; the sides are the point's stride.
        objects: boxes in pixels (`Objects.scaled`).
        small_objects: acts on 1 - IoU^2 only, as published, not on scores or `coded`.
        coded: [N, P, 4], the predictions before decoding (`boxes.encode_in_cells`). If given, their
            L1 distance to the encoded objects is a fourth term, `coded`, which the recipe adds in
            its last epochs.

    Returns:
        The scalar terms `boxes`, `objectness` and `classes`; `coded` if it was given.
    """
    found = matched(objects, match_simota(boxes, classes, objectness, points, objects))
    iou = aligned_iou(boxes.float(), found.boxes)
    quality = found.one_hot(classes.shape[-1]) * iou.detach()[..., None]
    sums = {
        "boxes": BOX_WEIGHT * found.sum(weigh_small(1 - iou**2, found.small, small_objects)),
        "objectness": _entropies(objectness, found.positive.float()).sum(),
        "classes": found.sum(_entropies(classes, quality).sum(-1)),
    }
    if coded is not None:
        wanted = encode_in_cells(found.boxes, points)
        distances = functional.l1_loss(coded.float(), wanted, reduction="none")
        sums["coded"] = found.sum(distances.sum(-1))
    return {name: total / found.count for name, total in sums.items()}


def _entropies(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
