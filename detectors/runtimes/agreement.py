"""Whether two forms of a detector find the same objects, e.g. before and after its export."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from detectors.boxes import batched_iou
from detectors.canvas import has_area
from detectors.postprocess import Detecting, Detections
from searchspace.runtimes import Precision

SCORE = 0.3
"""The least score of a detection that counts: about where an application would show it."""

IOU = 0.5
"""The least IoU of two boxes of the same object, as for AP50."""

ROUNDED_BOX, ROUNDED_SCORE = 0.01, 1e-5
"""Pixels and a difference of scores up to which two detections are the same."""

LEAST = 0.8
"""The least agreement that rounding explains; below it, the forms find different objects."""


class Agreement(BaseModel):
    """Comparison of the detections of two forms of a detector on the same images.

    Attributes:
        images: number of images.
        score: the least score of the detections that count.
        before, after: number of detections of the first and the second form.
        matched: number of equal ones: the same class, IoU of `IOU` or more.
        box: the largest difference of a coordinate of equal ones, in pixels of the network's input;
            None if there are none, or if an earlier version did not compute it.
        confidence: the same of their scores.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    score: float
    before: int
    after: int
    matched: int
    box: float | None = None
    confidence: float | None = None

    @property
    def share(self) -> float | None:
        """Matched detections as a share of the larger number; None if neither finds anything."""
        most = max(self.before, self.after)
        return self.matched / most if most else None

    @property
    def poor(self) -> bool:
        """Whether the forms find different objects, or nothing was found to compare."""
        return self.share is None or self.share < LEAST

    @property
    def same(self) -> bool:
        """Whether all detections are the same ones but for the last digits. AP may differ all the
        same where scores are equal, as those of a hardly trained detector: their order decides."""
        apart = (self.box, ROUNDED_BOX), (self.confidence, ROUNDED_SCORE)
        return self.share == 1 and not any(_more(value, limit) for value, limit in apart)

    def __str__(self) -> str:
        found = f"{self.before} detections before, {self.after} after, {self.matched} matched"
        share = "" if self.share is None else f" ({100 * self.share:.0f} %)"
        return f"{found}{share}, at scores of {self.score:.2g} or more in {count(self.images)}"


class Limits(NamedTuple):
    """What rounding explains of the difference between a form and PyTorch in float32.

    Attributes:
        share: the least share of equal detections.
        box, confidence: the largest differences, see `Agreement`; None for any.
        ap: the most that AP may be lower.
    """

    share: float
    box: float | None = None
    confidence: float | None = None
    ap: float | None = None


LIMITS: dict[Precision, Limits] = {
    "float32": Limits(share=0.98, box=1.0, confidence=0.01, ap=0.005),
    "float16": Limits(share=0.95, box=2.0, confidence=0.05, ap=0.01),
    "int8": Limits(share=LEAST),
}
"""By the precision of the form."""


class Check(BaseModel):
    """Comparison of an exported detector with the original on the same images.

    Attributes:
        on: the images, in words.
        agreement: of their detections.
        ap_before, ap_after: COCO's AP of the original and of the exported one; None without
            annotations.
    """

    model_config = ConfigDict(frozen=True)

    on: str
    agreement: Agreement
    ap_before: float | None = None
    ap_after: float | None = None

    @property
    def drop(self) -> float | None:
        """How much lower AP is afterwards."""
        if self.ap_before is None or self.ap_after is None:
            return None
        return self.ap_before - self.ap_after

    def objections(self, form: Precision, max_drop: float | None = None) -> list[str]:
        """Why the exported detector is not the original; empty if rounding explains it.

        Args:
            form: what the exported one computes in.
            max_drop: the most that AP may be lower, which then decides alone.
        """
        limits, found, drop = LIMITS[form], self.agreement, self.drop
        most = limits.ap if max_drop is None else max_drop
        if found.same and max_drop is None:
            return []
        if drop is not None and most is not None and drop > most:
            yet = f"AP is {drop:.4f} lower in {form}, more than {most:g}"
        elif max_drop is not None:
            return []
        elif found.share is None:
            yet = f"the detector finds nothing there, so {form} cannot be judged"
        elif found.share < limits.share:
            yet = (
                f"{form} agrees with {100 * found.share:.0f} % of the detections of float32, less "
                f"than {100 * limits.share:.0f} %"
            )
        elif _more(found.box, limits.box):
            yet = f"a box is {found.box:.2f} pixels off, more than {limits.box:g}"
        elif _more(found.confidence, limits.confidence):
            yet = f"a score is {found.confidence:.3f} off, more than {limits.confidence:g}"
        else:
            return []
        return [f"{self.on}: {yet}"]

    def lines(self) -> list[str]:
        """The figures, a line for each kind."""
        found = self.agreement
        said = [f"{found}"]
        if found.box is not None:
            said.append(
                f"largest difference of a box {found.box:.3g} pixels of the input, of a score "
                f"{found.confidence:.2g}"
            )
        if self.ap_before is not None and self.ap_after is not None:
            said.append(f"AP {self.ap_before:.4f} before, {self.ap_after:.4f} after")
        return said


def _more(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def count(images: int) -> str:
    """`1 image`, `24 images`."""
    return f"{images} image{'' if images == 1 else 's'}"


@torch.inference_mode()
def agreement(first: Detecting, second: Detecting, images: Tensor) -> Agreement:
    """Compare the detections of two forms of a detector.

    Detections with a score of `SCORE` or more count. If the first form's highest score is below
    twice that, as for a hardly trained detector, half its highest score is the limit instead.

    Args:
        images: [M, 3, H, W] in 0..1, of the detector's input size.
    """
    pairs = [(first.detect(image[None]), second.detect(image[None])) for image in images]
    highest = max(float(found.scores.max()) for found, _ in pairs)
    score, (height, width) = min(SCORE, highest / 2), images.shape[-2:]
    sides = torch.tensor((width, height, width, height))
    found = [_compared(a, b, score, sides) for a, b in pairs]
    apart = torch.cat([one.apart for one in found])
    return Agreement(
        images=len(images),
        score=score,
        before=sum(one.before for one in found),
        after=sum(one.after for one in found),
        matched=len(apart),
        box=float(apart[:, :4].max()) if len(apart) else None,
        confidence=float(apart[:, 4].max()) if len(apart) else None,
    )


class _Compared(NamedTuple):
    """One image: the number of detections that count of either form, and of each match how far its
    box [:, :4], in pixels, and its score [:, 4] are apart."""

    before: int
    after: int
    apart: Tensor


def _compared(first: Detections, second: Detections, score: float, sides: Tensor) -> _Compared:
    (rows, labels), (others, theirs) = (_counting(found, score, sides) for found in (first, second))
    overlap = batched_iou(rows[:, :4], others[:, :4]) * (labels[:, None] == theirs)
    apart = []
    # Best first, each is matched with the free box that overlaps it most.
    for place, row in enumerate(rows):
        if len(others) and overlap[place].max() >= IOU:
            match = int(overlap[place].argmax())
            overlap[:, match] = 0
            apart.append((row - others[match]).abs())
    return _Compared(len(rows), len(others), torch.stack(apart) if apart else rows[:0])


def _counting(found: Detections, score: float, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes in pixels with scores, [G, 5], and labels [G] of one image, without boxes of zero area
    at the border."""
    boxes, labels, scores = found.boxes[0], found.labels[0], found.scores[0]
    real = (labels > 0) & (scores >= score) & has_area(boxes)
    return torch.cat((boxes * sides, scores[:, None]), 1)[real], labels[real]
