"""The pixels of an annotated object."""

from __future__ import annotations

import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional

from detectors.data.records import Annotation


def read_mask(annotation: Annotation, height: int, width: int) -> Tensor | None:
    """The mask of an annotation as bool [height, width]; None if it has no segmentation."""
    segmentation = annotation.segmentation
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return torch.from_numpy(coco_mask.decode(runs)).bool()


def tight_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """(x1, y1, x2, y2) around the True pixels of [H, W], ends excluded; None if there are none."""
    rows, columns = (mask.any(dim).nonzero().flatten() for dim in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def is_connected(mask: Tensor) -> bool:
    """Whether the True pixels of [H, W] are connected (8-neighbourhood)."""
    region = torch.zeros_like(mask)
    region[tuple(mask.nonzero()[:1].T)] = True
    while True:
        grown = functional.max_pool2d(region[None].float(), 3, stride=1, padding=1)[0].bool() & mask
        if torch.equal(grown, region):
            return torch.equal(region, mask)
        region = grown
