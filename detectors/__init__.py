"""Detectors built from configurations, their data, training, evaluation and measurement."""

from detectors.cost import Cost
from detectors.data.coco import DataSource, Split
from detectors.describe import Description, describe
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.speed import measure
from detectors.train import fit
from detectors.weights import Placement, inherit

__all__ = [
    "Cost",
    "DataSource",
    "Description",
    "Detector",
    "Metrics",
    "Placement",
    "Split",
    "describe",
    "evaluate",
    "fit",
    "inherit",
    "measure",
]
