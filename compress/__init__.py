"""Compression of trained detectors: sparsity, channel pruning."""

from compress.pruning import Plan, plan_pruning, prune, replay
from compress.slimming import gates, sparsity_term

__all__ = ["Plan", "gates", "plan_pruning", "prune", "replay", "sparsity_term"]
