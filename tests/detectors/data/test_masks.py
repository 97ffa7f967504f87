from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from detectors.data.masks import is_connected, read_mask, tight_box
from detectors.data.records import Annotation

HEIGHT, WIDTH = 12, 17
PIXELS = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
PIXELS[2:9, 3:8] = 1
PIXELS[4, 5] = 0


def runs(mask: np.ndarray) -> dict[str, object]:
    """COCO's uncompressed run lengths of a mask that begins with 0."""
    changes = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
    counts = np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()
    return {"counts": counts, "size": list(mask.shape)}


def compressed(mask: np.ndarray) -> dict[str, object]:
    found = coco_mask.encode(np.asfortranarray(mask))
    return {"counts": found["counts"].decode(), "size": list(mask.shape)}


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 9.5, 2, 8, 10.25, 2, 7]],
        [[1, 1, 5, 1, 5, 5], [8, 4, 15, 4, 15, 11, 8, 11]],
        runs(PIXELS),
        compressed(PIXELS),
    ],
)
def test_masks_are_those_of_pycocotools(segmentation: list | dict) -> None:
    coco = COCO()
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    coco.dataset = {
        "images": [{"id": 1, "height": HEIGHT, "width": WIDTH}],
        "annotations": [entry],
        "categories": [],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    annotation = Annotation(1, 1, 1, (0, 0, 9, 9), 9.0, False, segmentation)
    mask = read_mask(annotation, HEIGHT, WIDTH)
    assert mask.dtype == torch.bool
    assert np.array_equal(mask.numpy(), coco.annToMask(entry))
    if isinstance(segmentation, dict):
        assert np.array_equal(mask.numpy(), PIXELS)


def test_without_a_segmentation_there_is_no_mask() -> None:
    assert read_mask(Annotation(1, 1, 1, (0, 0, 9, 9), 81.0, False, None), 9, 9) is None


def pieces(mask: np.ndarray) -> int:
    """The connected regions of a mask, found cell by cell."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    count = 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
    return count


masks = st.builds(
    lambda seed, height, width, share: np.random.default_rng(seed).random((height, width)) < share,
    st.integers(0, 10_000),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.02, 0.2, 0.4, 0.6, 0.9]),
)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_boxes_and_regions_of_any_mask(mask: np.ndarray) -> None:
    given_mask = torch.from_numpy(mask)
    box = tight_box(given_mask)
    if not mask.any():
        assert box is None
        return
    x1, y1, x2, y2 = box
    assert mask[y1:y2, x1:x2].sum() == mask.sum()
    assert all(edge.any() for edge in (mask[y1], mask[y2 - 1], mask[:, x1], mask[:, x2 - 1]))
    assert is_connected(given_mask) == (pieces(mask) == 1)
