"""Heads: predictions from maps, and their boxes, scores and losses."""

from __future__ import annotations

from detectors.building import module_for
from detectors.heads.dense import DenseHead
from detectors.heads.distributions import DistributionsHead
from detectors.heads.multibox import MultiboxHead
from detectors.heads.points import PointsHead
from searchspace.detector import DetectorConfig

__all__ = ["DenseHead", "DistributionsHead", "MultiboxHead", "PointsHead", "build_head"]


def build_head(config: DetectorConfig) -> DenseHead:
    """The head of a detector, by the kind in its configuration."""
    return module_for(config.head)(config)
