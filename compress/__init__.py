"""Compression of trained detectors: slimming, channel pruning, distillation, quantisation."""

from compress.distillation import check_classes, check_distillation, distillation_term, in_place
from compress.plan import Plan, plan_by_widths, read_plan, replay
from compress.prediction import planned_detector, predict_cost
from compress.pruning import check_pruning, plan_pruning, prune
from compress.quantisation import calibration_images, quantise
from compress.recalibration import recalibrate
from compress.slimming import slimming_scales, sparsity_term

__all__ = [
    "Plan",
    "calibration_images",
    "check_classes",
    "check_distillation",
    "check_pruning",
    "distillation_term",
    "in_place",
    "plan_by_widths",
    "plan_pruning",
    "planned_detector",
    "predict_cost",
    "prune",
    "quantise",
    "read_plan",
    "recalibrate",
    "replay",
    "slimming_scales",
    "sparsity_term",
]
