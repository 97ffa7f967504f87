"""What a detector's maps are computed from is read off the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detectors.composition import Composition, _Watched, composition
from detectors.describe import describe_layers, named_layers
from detectors.detector import Detector
from detectors.features import Features
from detectors.timing.layers import layer_times
from searchspace import papers
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors


def of(name: str) -> tuple[DetectorConfig, Composition]:
    config = papers[name].trial.detector
    return config, composition(config)


def sources(found: Composition, place: int) -> list[tuple[int, int, bool]]:
    """Part, height and path of what a map is computed from."""
    maps = (found.maps[source] for source in found.maps[place].sources)
    return [(m.part, m.height, m.second_path) for m in maps]


def test_a_second_path_is_joined_and_levels_grow_from_each_other() -> None:
    config, found = of("ssdmnetv1_s1l0_dualpath19_10_c")
    assert [step.kind for step in config.neck] == ["l2norm", "join", "extend", "join"]
    assert [(m.height, m.second_path) for m in found.maps if m.part == 0] == [
        (38, False), (19, False), (19, True), (10, True),
    ]  # fmt: skip
    joined = [place for place, m in enumerate(found.maps) if m.part in (2, 4)]
    assert [sources(found, place) for place in joined] == [
        [(0, 19, False), (0, 19, True)],
        [(0, 10, True), (3, 10, False)],
    ]
    grown = [place for place, m in enumerate(found.maps) if m.part == 3]
    assert [sources(found, place) for place in grown[1:]] == [
        [(3, found.maps[place].height, False)] for place in grown[:-1]
    ]


@pytest.mark.parametrize("name", ["fssd300", "mdssd300", "yolox_tiny"])
def test_the_head_reads_the_levels_that_are_declared(name: str) -> None:
    config, found = of(name)
    read = [found.maps[place] for place in found.read]
    assert [(m.channels, m.height, m.width) for m in read] == [
        (level.channels, *level.size) for level in config.levels()
    ]


def test_a_fusion_reads_all_of_its_sources() -> None:
    config, found = of("fssd300")
    [place] = [place for place, m in enumerate(found.maps) if m.part == 2]
    [fuse] = [step for step in config.neck if step.kind == "fuse"]
    assert len(found.maps[place].sources) == len(fuse.sources) == 3


def test_every_layer_has_a_time(tiny: Detector) -> None:
    times = layer_times(tiny, torch.device("cpu"))
    assert list(times) == [name for name, _ in named_layers(tiny)]
    assert list(times) == [f"{layer.part}.{layer.name}" for layer in describe_layers(tiny)]
    assert all(value > 0 for value in times.values())
    assert not any(layer._forward_hooks for layer in tiny.modules())


def test_outputs_of_one_computation_are_told_apart() -> None:
    """Two halves of one map; the third output is computed from the second half alone."""
    image = torch.ones(1, 4, 2, 2)
    watched = _Watched()
    watched.taps(Features(maps=[image], top=image))
    (given,) = watched.enters(nn.Identity(), (Features(maps=[image], top=image),))
    first, second = given.top.chunk(2, dim=1)
    third = second * 2
    watched.leaves(1, given, Features(maps=[first, second, third], top=third))
    assert [seen.sources for seen in watched.maps] == [(), (0,), (0,), (2,)]


TINY = DetectorConfig(input_size=64, width=0.1, head=Multibox(priors=ScaledPriors()))


@pytest.fixture
def tiny() -> Detector:
    return Detector(TINY)


def test_a_map_that_a_step_hands_on_is_not_a_new_one() -> None:
    found = composition(TINY)
    assert [(m.part, m.height) for m in found.maps] == [(0, 4), (0, 2), (1, 4), (2, 1)]
    assert found.maps[2].sources == (0,)
    assert found.read == (2, 1, 3)
