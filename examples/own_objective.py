"""An objective of your own: the share of small objects that are found, whatever the class.

    sparrow search --data FOLDER --plugin examples/own_objective.py \
        --objective found_small --objective fps

A metric is a function of all detections on the validation split, in COCO's result form, and of the
split itself. From then on it is a bound (`--min-found-small 0.8`) and a column of tables, too.
"""

from launch.figures import Figure, register

SURE, OVERLAP, SMALL = 0.3, 0.5, 32**2


def found_small(detections, split):
    boxes = {}
    for found in detections:
        if found["score"] >= SURE:
            boxes.setdefault(found["image_id"], []).append(found["bbox"])
    small = [
        truth
        for truths in split.annotations.values()
        for truth in truths
        if truth.area < SMALL and not truth.iscrowd
    ]
    if not small:
        return None
    hits = [any(overlap(box, t.box) >= OVERLAP for box in boxes.get(t.image_id, ())) for t in small]
    return sum(hits) / len(small)


def overlap(box, corners):
    """Intersection over union of (x, y, width, height) and (x1, y1, x2, y2)."""
    x, y, width, height = box
    left, top, right, bottom = corners
    across = max(0.0, min(x + width, right) - max(x, left))
    down = max(0.0, min(y + height, bottom) - max(y, top))
    shared = across * down
    return shared / (width * height + (right - left) * (bottom - top) - shared)


register(
    Figure("found_small", "Found small", "metrics", "up", "linear", digits=3, fraction=True),
    found_small,
)
