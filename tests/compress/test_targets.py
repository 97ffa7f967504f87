from __future__ import annotations

import copy
import itertools
import random

import pytest

from compress import prune
from compress.targets import nearest_cut
from detectors.describe import count_macs, count_params, describe_layers
from detectors.detector import Detector
from searchspace.compression import Slimming
from tests.compress.systems import built, by_l2, widths

pytestmark = pytest.mark.slow

WIDE = 0.5


def fake_fps(detector: Detector) -> float:
    """Frames per second of a machine that takes time for multiply-accumulates and for layers."""
    return 1 / (1e-3 + count_macs(detector) * 1e-9)


@pytest.mark.parametrize("name", ["ssdmnetv1", "mfssd_bn", "mdssd512"])
@pytest.mark.parametrize(("what", "count"), [("params", count_params), ("macs", count_macs)])
def test_a_share_is_met(name: str, what: str, count) -> None:
    detector = built(name, width=WIDE)
    whole = count(detector)
    plan = prune(detector, Slimming(), **{f"target_{what}": 0.676})
    assert count(detector) == getattr(plan.after, what)
    assert count(detector) / whole == pytest.approx(0.676, rel=0.005)


@pytest.mark.parametrize("what", ["params", "macs"])
def test_a_configured_share_is_removed(what: str) -> None:
    detector = built("ssdmnetv1", width=WIDE)
    named, configured = copy.deepcopy(detector), copy.deepcopy(detector)
    plan = prune(named, by_l2(), **{f"target_{what}": 0.7})
    config = by_l2(target=what, ratio=0.3)
    again = prune(configured, config)
    assert again == plan
    assert widths(named) == widths(configured)


def test_a_count_is_met() -> None:
    detector = built("ssdmnetv1", width=WIDE)
    goal = count_params(detector) // 2
    prune(detector, Slimming(), target_params=goal)
    assert count_params(detector) == pytest.approx(goal, rel=0.005)


@pytest.mark.parametrize("config", [Slimming(), by_l2(steps=3, scope="layer")])
def test_frames_per_second_are_met(config) -> None:
    detector = built("ssdmnetv1", width=WIDE)
    goal = 1.4 * fake_fps(detector)
    prune(detector, config, target_fps=goal, fps=fake_fps)
    assert fake_fps(detector) == pytest.approx(goal, rel=0.005)


def test_a_configured_share_of_the_latency_is_removed() -> None:
    detector = built("ssdmnetv1", width=WIDE)
    before = fake_fps(detector)
    prune(detector, Slimming(target="latency", ratio=0.25), fps=fake_fps)
    assert before / fake_fps(detector) == pytest.approx(0.75, rel=0.005)


def test_measurements_that_waver_are_met_as_far_as_they_agree() -> None:
    detector, noise = built("ssdmnetv1", width=WIDE), random.Random(0)
    goal = 1.3 * fake_fps(detector)
    prune(
        detector,
        Slimming(),
        target_fps=goal,
        fps=lambda pruned: fake_fps(pruned) * noise.uniform(0.97, 1.03),
    )
    assert fake_fps(detector) == pytest.approx(goal, rel=0.1)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            {"target_params": 0.01},
            r"target_params: .* parameters cannot be reached; .*closest possible is .*\d",
        ),
        ({"target_macs": 100}, r"target_macs: 100 multiply-accumulates cannot be reached"),
        ({"target_fps": 1e6}, r"target_fps: 1e\+06 frames per second cannot be reached"),
        ({"target_params": 1e12}, r"target_params is 1000000000000\.0: the detector already has"),
        (
            {"target_fps": 1.0},
            r"target_fps is 1\.0: the detector already has [\d.]+ frames per second",
        ),
        ({"target_macs": 0.0}, r"target_macs is 0\.0: give a value above 0"),
        ({"target_macs": 0.5, "target_fps": 9.0}, r"target_macs and target_fps: give only one"),
    ],
)
def test_a_target_out_of_reach_says_what_is_not(targets: dict[str, float], message: str) -> None:
    detector = built("ssdmnetv1", width=0.25)
    before = widths(detector)
    with pytest.raises(ValueError, match=message):
        prune(detector, Slimming(), fps=fake_fps, **targets)
    assert widths(detector) == before


def test_a_step_too_coarse_for_the_target_is_refused() -> None:
    detector = built("ssdmnetv1", width=0.25)
    with pytest.raises(ValueError, match=r"closest possible .*lower floor or round_to"):
        prune(detector, by_l2(round_to=8, floor=0.9), target_params=0.93)


def test_nearest_cut_agrees_with_looking_everywhere() -> None:
    draw = random.Random(0)
    for _ in range(200):
        steps = [draw.choice((0, 1, 1, 5)) for _ in range(draw.randint(1, 40))]
        figures = [100 - total for total in itertools.accumulate(steps, initial=0)]
        goal = draw.uniform(figures[-1] - 3, 103)
        cut, reached = nearest_cut(figures.__getitem__, 0, len(steps), goal)
        assert reached == figures[cut]
        assert abs(reached - goal) == min(abs(figure - goal) for figure in figures)


def test_layers_of_a_pruned_detector_add_up() -> None:
    detector = built("ssdmnetv1", width=0.25)
    plan = prune(detector, by_l2(ratio=0.4))
    layers = describe_layers(detector)
    assert sum(layer.params for layer in layers) == plan.after.params
    assert sum(layer.macs for layer in layers) == plan.after.macs
    row = next(layer for layer in layers if layer.name == "layer7")
    assert row.outputs == ((detector.backbone.layer7[1][0].out_channels, 4, 4),)
