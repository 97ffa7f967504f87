"""Detectors built from configurations, their data, training, evaluation and measurement."""

from detectors.data.coco import DataSource, Split
from detectors.describe import Description, describe
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.speed import Cost, measure
from detectors.train import fit

__all__ = [
    "Cost",
    "DataSource",
    "Description",
    "Detector",
    "Metrics",
    "Split",
    "describe",
    "evaluate",
    "fit",
    "measure",
]
