"""The pixels of an annotated object."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from scipy import ndimage
from torch import Tensor

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
    _, regions = ndimage.label(mask.numpy(), structure=np.ones((3, 3)))
    return regions <= 1
