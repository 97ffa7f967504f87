"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np

from detectors.evaluation.judged import IOU, Judged


def confusion(judged: Judged) -> np.ndarray:
    """[K + 1, K + 1], numbers of objects by class (rows) and detected class (columns).

    The last row counts detections where there is no object, the last column objects that nothing
    detects. Right detections have their objects first; then the detections and objects that are
    left, of whatever classes, are paired by descending IoU of 0.5 or more.

    Args:
        judged: detections of the scores that are shown; see `Judged.above`.
    """
    classes = len(judged.names)
    table = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    taken, placed = np.zeros(len(judged.item_labels), dtype=bool), judged.right.copy()
    taken[judged.items[judged.right]] = True
    np.add.at(table, (judged.labels[judged.right],) * 2, 1)
    for found, items, overlaps in judged.by_image():
        rows, columns = np.nonzero(overlaps >= IOU)
        for pair in np.argsort(-overlaps[rows, columns], kind="stable"):
            detection, item = found[rows[pair]], items[columns[pair]]
            if not placed[detection] and not taken[item]:
                placed[detection] = taken[item] = True
                table[judged.item_labels[item], judged.labels[detection]] += 1
    table[classes] += np.bincount(judged.labels[~placed], minlength=classes + 1)
    table[:, classes] += np.bincount(judged.item_labels[~taken], minlength=classes + 1)
    return table
