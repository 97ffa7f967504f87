"""Detectors built from configurations, their data, training, evaluation and measurement."""

from detectors.data.readers import DataSource, Split
from detectors.describe import Description, describe
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from detectors.training.train import fit
from detectors.weights.place import Placement, inherit

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
