from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.describe import describe
from detectors.detector import Detector
from detectors.features import Predictions
from detectors.quiet import threads
from detectors.runtimes import Deployed, Form, RuntimeUnavailable, deploy
from detectors.timing import measure as speed
from detectors.timing.cost import Cost
from detectors.timing.measure import Candidate, hardware_name, measure, measure_together, speed_key
from detectors.timing.store import SpeedStore
from searchspace.errors import InputError
from searchspace.measuring import MeasureConfig
from searchspace.tiles import FirstLook, TileGrid

CPU = torch.device("cpu")
QUICK = MeasureConfig(runs=3, passes=2)
SIX = MeasureConfig(runs=1, passes=6, interval=100)
"""As many passes as give an interval, and no more, however wide that is."""
FREE = MeasureConfig(runs=3, passes=2, candidates=None)
"""Boxes as the network finds them."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine latencies may not settle for long."""
    monkeypatch.setattr("detectors.timing.turns.MOST_CALLS", 11)


@pytest.fixture
def detector(make_detector: Callable[..., Detector]) -> Detector:
    return make_detector()


@pytest.mark.parametrize("config", [QUICK, FREE], ids=["crowd", "free"])
def test_a_measurement_is_whole_and_consistent(detector: Detector, config: MeasureConfig) -> None:
    cost = measure(detector, config, CPU)
    described = describe(detector.config)
    assert (cost.params, cost.macs) == (described.params, described.macs)
    assert cost.fps > 0
    assert cost.latency_ms == pytest.approx(1000 / cost.fps)
    assert cost.spread >= 0
    assert cost.device == hardware_name(CPU) != ""
    assert (cost.threads, cost.batch, cost.input_size) == (1, 1, (64, 64))
    assert cost.candidates == config.candidates
    assert Cost.model_validate_json(cost.model_dump_json()) == cost


def test_frames_per_second_rest_on_the_reference(detector: Detector) -> None:
    cost = measure(detector, QUICK, CPU)
    timing = cost.timing
    assert cost.nominal_ms == timing.best_ms
    assert cost.latency_ms == pytest.approx(timing.whole.ratio * cost.nominal_ms)
    assert cost.network_fps == pytest.approx(1000 / (timing.network.ratio * cost.nominal_ms))
    assert cost.raw_fps == pytest.approx(1000 / timing.whole.latency.p50)
    assert timing.whole.latency.calls == 6


def test_a_measurement_that_others_did_not_wait_for_is_not_trusted(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detectors.quiet.Alone.doubt", lambda _: "others went on")
    cost = measure(detector, SIX, CPU)
    assert not cost.trusted
    assert cost.doubt.endswith("others went on")


def test_two_passes_are_too_few_to_trust(detector: Detector) -> None:
    cost = measure(detector, QUICK, CPU)
    assert not cost.trusted
    assert "fewer than 6 passes" in cost.doubt
    assert (cost.fps_low, cost.fps_high) == (None, None)


def test_six_passes_have_an_interval(detector: Detector) -> None:
    cost = measure(detector, SIX, CPU)
    assert cost.fps_low <= cost.fps <= cost.fps_high
    assert "fewer than" not in (cost.doubt or "")


def test_a_batch_counts_every_image(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = seen_batches(monkeypatch)
    config = MeasureConfig(runs=2, passes=1, batch=3)
    cost = measure(detector, config, CPU, torch.rand(4, 3, 64, 64))
    assert {x.shape[0] for x in sizes} == {3}
    assert cost.fps == pytest.approx(3000 / cost.latency_ms)
    assert cost.raw_fps == pytest.approx(3000 / cost.timing.whole.latency.p50)


def test_an_image_in_tiles_counts_once(
    make_detector: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = TileGrid(rows=3, columns=3, overlap=0, whole=True)
    cut = make_detector(tiles=tiles)
    with pytest.raises(InputError, match=r"measure\.image_size: it is not set"):
        measure(cut, QUICK, CPU)
    config = QUICK.changed(image_size=(300, 400))
    sizes = seen_batches(monkeypatch)
    cost = measure(cut, config, CPU, torch.rand(4, 3, 64, 64))
    assert {len(x) for x in sizes} - {1} == {10}
    assert (cost.image_size, cost.inputs) == ((300, 400), 10)
    assert cost.macs == 10 * describe(cut.config).macs
    assert cost.raw_fps == pytest.approx(1000 / cost.timing.whole.latency.p50)
    other = config.changed(image_size=(600, 400))
    assert speed_key(cut, config, CPU) != speed_key(cut, other, CPU)


@pytest.mark.slow
def test_after_a_first_look_an_image_has_the_mean_number_of_tiles(
    make_detector: Callable[..., Detector], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = make_detector(tiles=TileGrid(rows=3, columns=3, first_look=FirstLook()))
    sizes = seen_batches(monkeypatch)
    config = MeasureConfig(runs=20, passes=1, image_size=(300, 300), tiles=2.5)
    cost = measure(cut, config, CPU)
    assert {len(x) for x in sizes} == {1, 2, 3}
    assert cost.inputs == 3.5
    assert measure(cut, config.changed(tiles=20), CPU).inputs == 10
    none = measure(cut, config.changed(tiles=0), CPU)
    assert none.inputs == 1
    assert none.macs == describe(cut.config).macs


def test_the_form_is_the_one_that_the_configuration_names(detector: Detector) -> None:
    named = QUICK.model_copy(update={"runtime": "eager"})
    cost = measure(detector, named, CPU)
    assert (cost.runtime, cost.precision) == ("eager", "float32")


def test_a_deployed_form_is_timed_as_given(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = deploy(detector, "channels_last", "float32", CPU)
    monkeypatch.setattr(
        "detectors.runtimes.deployment.deploy", lambda *_: pytest.fail("deployed again")
    )
    cost = measure(detector, QUICK, CPU, deployed=deployed)
    assert (cost.runtime, cost.precision) == ("channels_last", "float32")
    assert deployed.detect(torch.rand(1, 3, 64, 64)).boxes.shape[0] == 1


def test_a_runtime_that_is_missing_is_never_replaced(detector: Detector) -> None:
    named = QUICK.model_copy(update={"runtime": "cudagraphs"})
    with pytest.raises(RuntimeUnavailable, match="cudagraphs"):
        measure(detector, named, CPU)


@pytest.fixture
def two_threads() -> Iterator[None]:
    with threads(2):
        yield


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_no_trace(detector: Detector, training: bool) -> None:
    detector.train(training)
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    measure(detector, QUICK, CPU)
    assert torch.get_num_threads() == 2
    assert detector.training == training
    assert all(torch.equal(t, before[name]) for name, t in detector.state_dict().items())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.usefixtures("two_threads")
def test_threads_are_set_and_restored_when_a_measurement_fails(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"with {torch.get_num_threads()} threads")

    monkeypatch.setattr(Deployed, "detect", fail)
    with pytest.raises(RuntimeError, match="with 1 threads"):
        measure(detector, FREE, CPU)
    assert torch.get_num_threads() == 2


def seen_batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every batch that a network is given from now on."""
    seen = []
    init = Deployed.__init__

    def watched(self: Deployed, *rest: object) -> None:
        init(self, *rest)
        network = self._network
        self._network = lambda x: seen.append(x.clone()) or network(x)

    monkeypatch.setattr(Deployed, "__init__", watched)
    return seen


@pytest.mark.parametrize("config", [QUICK, FREE], ids=["crowd", "free"])
def test_given_images_are_what_is_timed(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, config: MeasureConfig
) -> None:
    images = torch.rand(3, 3, 64, 64)
    seen = seen_batches(monkeypatch)
    measure(detector, config, CPU, images)
    assert len(seen) > 15
    assert all(x.shape == (1, 3, 64, 64) for x in seen)
    assert {next(k for k in range(3) if torch.equal(x[0], images[k])) for x in seen[-8:]} == {
        0,
        1,
        2,
    }


def test_post_processing_gets_the_fixed_load(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    finish = Deployed.finish

    def count(self: Deployed, predictions: Predictions) -> object:
        scores = self.head.scores_of(predictions)
        counts.append(int((scores > self.config.head.postprocess.score_threshold).sum()))
        return finish(self, predictions)

    monkeypatch.setattr(Deployed, "finish", count)
    measure(detector, MeasureConfig(runs=2, passes=1, candidates=123), CPU)
    assert set(counts) == {123}


def test_a_narrow_detector_costs_less(make_detector: Callable[..., Detector]) -> None:
    both = [Candidate(make_detector(width=w)) for w in (0.25, 0.5)]
    narrow, wide = measure_together(both, QUICK, CPU)
    assert narrow.params < wide.params
    assert narrow.macs < wide.macs
    assert narrow.nominal_ms == wide.nominal_ms


# ---- known speeds


@pytest.fixture
def store(tmp_path: Path) -> SpeedStore:
    return SpeedStore(tmp_path / "speed")


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "doubt", lambda *_: None)


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many detectors each timing was about."""
    counts, time_together = [], speed.time_together

    def count(subjects: list, *rest: object) -> list:
        counts.append(len(subjects))
        return time_together(subjects, *rest)

    monkeypatch.setattr(speed, "time_together", count)
    return counts


@pytest.mark.usefixtures("trusting")
def test_the_same_architecture_is_measured_once_whatever_its_weights(
    make_detector: Callable[..., Detector], store: SpeedStore, timings: list[int]
) -> None:
    first, second = make_detector(seed=0), make_detector(seed=1)
    cost = measure(first, QUICK, CPU, store=store)
    assert measure(second, QUICK, CPU, store=store) == cost
    assert timings == [1]


def test_whatever_changes_the_speed_changes_the_key(
    make_detector: Callable[..., Detector],
) -> None:
    detector, narrower = make_detector(), make_detector()
    narrower.backbone.layer0[0] = torch.nn.Conv2d(3, 7, 3, stride=2, padding=1, bias=False)
    changes = [{"candidates": 10}, {"threads": 2}, {"batch": 2}, {"runtime": "eager"}]
    keys = [
        speed_key(detector, QUICK, CPU),
        *(speed_key(detector, QUICK.model_copy(update=change), CPU) for change in changes),
        speed_key(detector, QUICK, CPU, Form("channels_last", "bfloat16")),
        speed_key(make_detector(strides=(6,)), QUICK, CPU),
        speed_key(narrower, QUICK, CPU),
    ]
    assert all(a != b for a, b in itertools.combinations(keys, 2))
    assert speed_key(make_detector(seed=3), QUICK, CPU) == keys[0]


@pytest.mark.usefixtures("trusting")
def test_boxes_that_depend_on_the_weights_are_timed_each_time(
    detector: Detector, store: SpeedStore, timings: list[int]
) -> None:
    for _ in range(2):
        measure(detector, FREE, CPU, store=store)
    assert timings == [1, 1]


def test_a_measurement_that_is_not_trusted_is_repeated_once_and_the_narrower_stands(
    detector: Detector, store: SpeedStore, timings: list[int]
) -> None:
    costs = [measure(detector, QUICK, CPU, store=store) for _ in range(4)]
    assert timings == [1, 1]
    assert not any(cost.trusted for cost in costs)
    narrower = min(costs[:2], key=lambda cost: cost.width)
    assert costs[1:] == [narrower] * 3


def test_a_trusted_measurement_stands_whatever_was_measured_before(
    detector: Detector, store: SpeedStore, timings: list[int], request: pytest.FixtureRequest
) -> None:
    doubted = measure(detector, QUICK, CPU, store=store)
    request.getfixturevalue("trusting")
    trusted = measure(detector, QUICK, CPU, store=store)
    assert (doubted.trusted, trusted.trusted) == (False, True)
    assert measure(detector, QUICK, CPU, store=store) == trusted
    assert timings == [1, 1]


@pytest.mark.usefixtures("trusting")
def test_only_the_unknown_are_measured_together(
    make_detector: Callable[..., Detector], store: SpeedStore, timings: list[int]
) -> None:
    family = [Candidate(make_detector(strides=strides)) for strides in ((), (4,), (6,))]
    known = measure(family[1].detector, QUICK, CPU, store=store)
    costs = measure_together(family, QUICK, CPU, store=store)
    assert timings == [1, 2]
    assert costs[1] == known
    assert [c.macs for c in costs] == [describe(c.detector.config).macs for c in family]
