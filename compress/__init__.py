"""Compression of trained detectors: sparsity, channel pruning, distillation."""

from compress.distillation import check_classes, check_distillation, distillation_term
from compress.pruning import Plan, plan_pruning, prune, replay
from compress.slimming import gates, sparsity_term

__all__ = [
    "Plan",
    "check_classes",
    "check_distillation",
    "distillation_term",
    "gates",
    "plan_pruning",
    "prune",
    "replay",
    "sparsity_term",
]
