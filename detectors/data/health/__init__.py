"""The health of a data set: what a training and its figures have to reckon with.

Figures over two `Dataset`s in numpy; no image is opened, because reading the data has left of each
what is needed (`ImageFile`).
"""

from detectors.data.health.alike import Alike, alike_across, alike_within
from detectors.data.health.boxes import Boxes, boxes_of, doubled_boxes
from detectors.data.health.figures import Health, data_health, split_figures
from detectors.data.health.fit import PriorFit, fit_of_priors, proposed_priors
from detectors.data.health.odd import leaks_in_words, oddities, split_oddities

__all__ = [
    "Alike",
    "Boxes",
    "Health",
    "PriorFit",
    "alike_across",
    "alike_within",
    "boxes_of",
    "data_health",
    "doubled_boxes",
    "fit_of_priors",
    "leaks_in_words",
    "oddities",
    "proposed_priors",
    "split_figures",
    "split_oddities",
]
