from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn import functional

from detectors.declared import check_declared
from detectors.features import Features
from detectors.necks.growth import L2NormStep
from searchspace import DetectorConfig, papers
from searchspace.errors import InputError

TINY = DetectorConfig.model_validate(
    {"width": 0.25, "input_size": 96, "num_classes": 3, "head": {"priors": {"kind": "scaled"}}}
)


@pytest.mark.parametrize("name", ["mfssd", "mdssd300", "ssdmnetv1_s1l0_dualpath19_10_s", "gfl_r50"])
def test_published_systems_return_what_they_declare(name: str) -> None:
    check_declared(papers[name].trial.detector)


def halved(self: nn.Module, before: Features) -> Features:
    return Features([functional.max_pool2d(m, 2) for m in before.maps], before.top, before.side)


def without_one(self: nn.Module, before: Features) -> Features:
    return Features(before.maps[1:], before.top, before.side)


def misfit(self: nn.Module, before: Features) -> Features:
    nn.functional.conv2d(before.maps[0], before.top.new_zeros(1, 7, 1, 1))
    return before


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (halved, r"step 'l2norm': levels\(\) declares \d+ channels of 6x6 cells for map 0, but its "
                 r"module returns \d+ channels of 3x3 cells"),
        (without_one, r"neck\.0, step 'l2norm': levels\(\) declares \d maps, .* returns \d"),
        (misfit, r"neck\.0, step 'l2norm': .*channel dim"),
    ],
)  # fmt: skip
def test_a_step_that_returns_other_maps_is_named(
    forward: Callable[[nn.Module, Features], Features],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(L2NormStep, "forward", forward)
    with pytest.raises(InputError, match=message):
        check_declared(TINY)
