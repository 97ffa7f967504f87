"""Assignment of objects to priors or points: pure functions over padded batches."""

from detectors.matching.atss import match_atss
from detectors.matching.max_iou import match_max_iou
from detectors.matching.objects import Matched, Objects, matched
from detectors.matching.simota import match_simota

__all__ = ["Matched", "Objects", "match_atss", "match_max_iou", "match_simota", "matched"]
