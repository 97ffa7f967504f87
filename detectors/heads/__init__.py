"""Heads: predictions from maps, and their boxes, scores and losses."""

from __future__ import annotations

from detectors.building import module_for
from detectors.heads.dense import DenseHead
from detectors.heads.distributions import DistributionsHead
from detectors.heads.multibox import MultiboxHead
from detectors.heads.points import PointsHead
from searchspace.detector import DetectorConfig
from searchspace.errors import InputError

__all__ = ["DenseHead", "DistributionsHead", "MultiboxHead", "PointsHead", "build_head"]


def build_head(config: DetectorConfig) -> DenseHead:
    """The head of a detector, by the kind in its configuration.

    Raises:
        InputError: the module that is registered for this kind is not a head.
    """
    head = module_for(config.head)(config)
    if not isinstance(head, DenseHead):
        raise InputError(f"head {config.head.kind}: {type(head).__name__} is not a DenseHead")
    return head
