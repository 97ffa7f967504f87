"""Detection losses: pure functions from predictions and objects to named terms."""

from detectors.losses.gfl import gfl_losses
from detectors.losses.multibox import hard_negatives, multibox_loss
from detectors.losses.quality import distribution_focal_losses, quality_focal_losses
from detectors.losses.small import EVEN, weigh_small
from detectors.losses.yolox import yolox_losses

__all__ = [
    "EVEN",
    "distribution_focal_losses",
    "gfl_losses",
    "hard_negatives",
    "multibox_loss",
    "quality_focal_losses",
    "weigh_small",
    "yolox_losses",
]
