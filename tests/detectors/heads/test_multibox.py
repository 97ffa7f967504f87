from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from detectors.detector import Detector
from detectors.postprocess import likely_priors
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors


def test_weights_start_small_or_as_in_ssd(make_detector: Callable[..., Detector]) -> None:
    for initial in ("small", "xavier"):
        head = make_detector(head=Multibox(priors=ScaledPriors(), initial=initial)).head
        for conv in (*head.boxes, *head.classes):
            weight = conv.weight
            inputs, outputs = weight[0].numel(), 9 * len(weight)
            # The deviation of a uniform distribution up to sqrt(6 / (inputs + outputs)).
            xavier = (2 / (inputs + outputs)) ** 0.5
            expected = 0.01 if initial == "small" else xavier
            assert float(weight.detach().std()) == pytest.approx(expected, rel=0.1)
            assert not conv.bias.any()


def test_only_priors_above_the_threshold_are_looked_at_where_classes_have_a_limit() -> None:
    best = torch.zeros(2, 500)
    best[0, 30:60], best[1, 7] = 0.5, 0.9
    config = Postprocess(candidates=None, class_candidates=400, detections=40)
    places, counts = likely_priors(best, config, (500,), classes=4)
    assert counts == (30,)
    assert set(places[0].tolist()) == set(range(30, 60))
    assert 7 in places[1]
    # As many detections as there may be fit, though hardly any prior has an object.
    _, counts = likely_priors(best[1:], config, (500,), classes=4)
    assert counts == (10,)
    _, counts = likely_priors(best + 1, config, (500,), classes=4)
    assert counts == (500,)
