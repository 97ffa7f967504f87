"""A paper's system: its configuration and its published figures."""

from __future__ import annotations

from dataclasses import dataclass

from searchspace.trial import TrialConfig

GTX_1080_TI = "GTX 1080 Ti"


@dataclass(frozen=True)
class Published:
    """Figures as published in a paper, None if not published; AP and AR are in 0..1.

    Attributes:
        source: the paper and the data sets of its figures.
        ap, ap50, ap75, ap_small, ap_medium, ap_large: COCO average precision.
        ar, ar_small, ar_medium, ar_large: COCO average recall with 100 detections.
        voc_map: mean average precision on VOC 2007.
        tt100k_map: mean average precision on Tsinghua-Tencent 100K.
        fps: frames per second on `hardware`.
        params: trainable parameters.
    """

    source: str
    ap: float | None = None
    ap_small: float | None = None
    fps: float | None = None
    hardware: str | None = None
    ap50: float | None = None
    ap75: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    ar_small: float | None = None
    ar_medium: float | None = None
    ar_large: float | None = None
    voc_map: float | None = None
    tt100k_map: float | None = None
    params: int | None = None
    ar: float | None = None


@dataclass(frozen=True)
class PaperSystem:
    """A system of a paper: how to build and train it, and its published figures.

    Attributes:
        reading_of: the system that this is another reading of, where a paper does not say all.
    """

    trial: TrialConfig
    published: Published
    reading_of: str | None = None

    @property
    def teacher(self) -> str | None:
        """The system whose trained detector is the teacher, in a folder of that name."""
        return getattr(self.trial.train.distillation, "teacher", None)
