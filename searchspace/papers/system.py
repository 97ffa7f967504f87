"""A paper's system: its configuration, its published figures, and the length of its training."""

from __future__ import annotations

from dataclasses import dataclass

from searchspace.schedules import Steps
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

GTX_1080_TI = "GTX 1080 Ti"

VOC_IMAGES = 16_551
"""Of VOC 2007 and 2012 trainval, on which SSD, FSSD, MFSSD and MDSSD are trained for VOC."""

COCO_IMAGES = 118_287
"""Of COCO's train2017. The trainval35k of these papers are the same images."""


def in_iterations(recipe: TrainConfig, *iterations: int, images: int) -> TrainConfig:
    """A recipe whose length a paper gives in iterations of its batch size.

    Args:
        iterations: after each of these but the last, the rate is divided by 10; the last is the
            end.
        images: of the training data; they turn iterations into the nearest number of epochs.
    """
    *drops, end = iterations
    epochs = round(end * recipe.batch_size / images)
    milestones = tuple(drop / end for drop in drops)
    return recipe.changed(epochs=epochs, schedule=Steps(milestones=milestones))


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
        coco: its recipe for COCO, if that is another one.
        reading_of: the system that this is another reading of, where a paper does not say all.
    """

    trial: TrialConfig
    published: Published
    coco: TrainConfig | None = None
    reading_of: str | None = None

    @property
    def teacher(self) -> str | None:
        """The system whose trained detector is the teacher, in a folder of that name."""
        return getattr(self.trial.train.distillation, "teacher", None)

    @property
    def start(self) -> str | None:
        """The system whose trained detector the training starts from, in a folder of that name."""
        return self.trial.train.start

    @property
    def needs(self) -> tuple[str, ...]:
        """The systems to train before this one."""
        return tuple(name for name in (self.start, self.teacher) if name is not None)
