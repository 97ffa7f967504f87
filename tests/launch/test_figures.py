"""Other objectives than AP_small and FPS: what the sampler sees, what the front is over."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from detectors.timing import energy
from detectors.timing.cost import Cost
from detectors.timing.energy import Energy, EnergyUnreadable
from detectors.timing.latency import Latency
from detectors.timing.memory import Memory
from detectors.timing.paired import Paired, Timing
from launch.constraints import Constraint
from launch.figures import FIGURES, height, scaled
from launch.records import TrialRecord
from launch.report import load_front, write_report
from launch.report.plot import front_figure
from launch.report.study import StudyView
from launch.report.verdict import headline
from launch.searches import search
from launch.study.opening import open_study
from launch.study.settings import StudySettings
from launch.trial.errors import SettingsError
from searchspace import Space, TrialConfig
from tests.launch.decisions.test_pruning_ladder import finished, next_rung, pruned
from tests.launch.made_up import altered, result, told
from tests.launch.report.studies import baseline, outcome, record
from tests.launch.study.test_study import settings

__all__ = ["settings"]

SMALL = ("ap", "params")
"""As accurate and as small as possible."""


def sized(number: int, ap: float, params: int, **fields: object) -> TrialRecord:
    return record(number, 0.1, figures={"ap": ap, "params": params}, **fields)


SIZED = [
    sized(0, 0.20, 4_000_000, origin="baseline"),
    sized(1, 0.30, 8_000_000),
    sized(2, 0.25, 3_000_000),
    sized(3, 0.22, 3_500_000),
    sized(4, 0.10, 1_000_000),
]
"""Trials 1, 2 and 4 are the front."""


def test_accuracy_and_speed_are_to_be_high_and_all_other_costs_low() -> None:
    assert {name for name, row in FIGURES.items() if row.better == "up"} == {
        "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ap_tiny", "ap_very_tiny",
        "ar", "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large",
        "voc_map", "voc_map_07", "fps",
    }  # fmt: skip


def test_a_height_grows_with_what_is_better() -> None:
    assert height("ap", 0.3) == 0.3
    assert height("fps", math.e) == pytest.approx(1)
    assert height("params", math.e) == pytest.approx(-1)
    assert scaled("params", math.e) == pytest.approx(1)
    assert height("memory_mb", 0.0) == 0.0


@pytest.mark.parametrize("names", [(), ("fps", "fps"), ("fps", "speed")])
def test_objectives_are_figures_each_once(settings: StudySettings, names: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="objectives"):
        altered(settings, objectives=names)


# ---- figures


def test_the_99th_percentile_is_normalised_as_the_median_is() -> None:
    latency = Latency(p50=20, p90=24, p99=30, low=None, high=None, calls=9)
    paired = Paired(latency=latency, ratio=1, low=None, high=None, spread=0)
    timing = Timing(
        whole=paired, network=paired, reference=latency, best_ms=1, warm_up_calls=1, settled=True
    )
    cost = outcome(0.1, 100).cost
    assert (cost.latency_p99, cost.memory_mb) == (None, None)
    memory = Memory(megabytes=12.5, how="told")
    cost = cost.model_copy(update={"timing": timing, "memory": memory})
    assert cost.latency_ms == 10
    assert cost.latency_p99 == pytest.approx(15)
    assert cost.memory_mb == 12.5
    assert Constraint(figure="memory_mb", sense="max", bound=10).broken_by(cost.memory_mb)
    assert isinstance(cost, Cost)


def test_a_search_for_energy_begins_where_it_can_be_read_only(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    with pytest.raises(EnergyUnreadable, match="does not count its CPUs' energy"):
        search("quick", shapes_folder, tmp_path / "study", objectives=("ap_small", "energy_mj"))
    assert not (tmp_path / "study").exists()


def joules(millijoules: float) -> Energy:
    return Energy(millijoules=millijoules, how="told")


def test_a_trial_whose_node_cannot_read_the_energy_is_not_trained(
    settings: StudySettings, tmp_path: Path
) -> None:
    frugal = Constraint(figure="energy_mj", sense="max", bound=20)
    with open_study(tmp_path, altered(settings, constraints=(frugal,))) as study:
        states = []
        for read in (Energy(millijoules=None, how="root alone"), joules(30), joules(10)):
            number = study.propose().number
            predicted = outcome(0.1, 100).cost.model_copy(update={"energy": read})
            assert study.note_prediction(number, predicted, seconds=1) == (read == joules(10))
            states.append(study.records[number].state)
        assert states == ["failed", "infeasible", "running"]
        assert study.records[0].reason == "root alone"


# ---- the sampler


def test_the_sampler_sees_directions_and_logarithms(
    settings: StudySettings, tmp_path: Path
) -> None:
    small = altered(settings, objectives=("ap_small", "params", "latency_ms"))
    with open_study(tmp_path, small) as study:
        proposed = study.propose()
        study.end(proposed.number, result(proposed, ap_small=0.25, fps=100.0, params=1))
        asked = study._optuna._study
        assert asked.directions == [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * 2
    [trial] = told(tmp_path)
    assert trial.values == pytest.approx([0.25, 0.0, math.log(10)])
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path):
        assert told(tmp_path)[0].values == pytest.approx(trial.values)


def test_a_trial_without_a_value_of_an_objective_is_reported_as_failed(
    settings: StudySettings, tmp_path: Path
) -> None:
    light = altered(settings, objectives=("ap_small", "memory_mb"))
    with open_study(tmp_path, light) as study:
        proposed = study.propose()
        study.end(proposed.number, result(proposed))
    assert [t.state for t in told(tmp_path)] == [TrialState.FAIL]
    (tmp_path / "optuna.log").unlink()
    with open_study(tmp_path):
        assert [t.state for t in told(tmp_path)] == [TrialState.FAIL]


def test_ladders_are_for_what_is_best_in_the_objectives(space: Space, tiny: TrialConfig) -> None:
    large = tiny.detector.model_copy(update={"input_size": 96})
    second = tiny.changed(detector=large)
    records = [finished(0, pruned(tiny, 0.5), 0.2, 50), finished(1, pruned(second, 0.5), 0.3, 40)]
    assert next_rung(records, space, (0.3,)).detector.input_size == 64
    # Both have as many parameters; the second is the more accurate one.
    by_size = next_rung(records, space, (0.3,), ("ap_small", "params"))
    assert by_size.detector.input_size == 96


# ---- the report


def test_the_front_is_over_the_objectives() -> None:
    view = StudyView.of(SIZED, SMALL)
    assert [r.number for r in view.front] == [1, 2, 4]
    # Above AP 0, and below 1 G parameters by their logarithm.
    room = [math.log(1e9 / params) for params in (8e6, 3e6, 1e6)]
    by_hand = 0.30 * room[0] + 0.25 * (room[1] - room[0]) + 0.10 * (room[2] - room[1])
    assert view.hypervolume == pytest.approx(by_hand)
    both_up = StudyView.of(SIZED, ("ap", "ap50"))
    assert [r.number for r in both_up.front] == [1]
    assert both_up.hypervolume == pytest.approx(0.30 * 0.5)


def test_sentences_are_about_the_objectives() -> None:
    counts, best, against = headline(StudyView.of(SIZED, SMALL))
    assert counts == "5 trials finished; 3 are on the front."
    assert best == (
        "The best AP is 0.300, at Params 8.00 M (trial 1); the best Params is 1.00 M with AP 0.100 "
        "(trial 4)."
    )
    times = "\N{MULTIPLICATION SIGN}"
    assert against == (
        "Compared with the baseline (trial 0, AP 0.200 at Params 4.00 M), the front reaches "
        f"+0.050 AP at 0.75{times} its Params (trial 2)."
    )


def test_sentences_about_three_objectives_and_zeros() -> None:
    three = StudyView.of(SIZED, (*SMALL, "macs"))
    _, best, against = headline(three)
    assert best.startswith("The best AP is 0.300 (trial 1); the best Params is 1.00 M (trial 4);")
    assert "1 trial of the front does better than the baseline (trial 0, AP 0.200" in against
    none = StudyView.of([baseline(0.0, 50), record(1, 0.2, 40)], ("fps", "ap_small"))
    assert "No trial does better than the baseline" in headline(none)[2]


def test_the_files_of_a_report_hold_the_objectives(tmp_path: Path) -> None:
    names = ("memory_mb", "ap")
    records = [
        record(n, 0.1, figures={"ap": ap, "memory": Memory(megabytes=size, how="told")})
        for n, (ap, size) in enumerate([(0.2, 30.0), (0.3, 50.0), (0.1, 40.0)])
    ]
    write_report(tmp_path, records, title="t", facts={}, objectives=names)
    front = load_front(tmp_path)
    assert front.objectives == names
    assert [m.number for m in front.members] == [0, 1]
    assert [m.figures.memory_mb for m in front.members] == [30.0, 50.0]
    area = json.loads((tmp_path / "front.json").read_text())["hypervolume"]
    assert area == pytest.approx(0.2 * (1e4 - 30) + 0.1 * (1e4 - 50))
    assert "macs,memory_mb" in (tmp_path / "front.csv").read_text().splitlines()[0]
    page = (tmp_path / "report.html").read_text()
    assert "Memory, MB against AP" in page
    assert "Down and to the right is better" in page
    assert "Memory 30.00 MB" in page


def test_the_plot_shows_the_first_two_objectives() -> None:
    figure = front_figure(StudyView.of(SIZED, SMALL))
    assert figure.layout.xaxis.title.text == "Params (logarithmic)"
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.yaxis.title.text == "AP"
    [line] = [trace for trace in figure.data if trace.mode == "lines"]
    assert list(line.x) == [8_000_000, 3_000_000, 1_000_000]
    assert list(line.y) == [0.30, 0.25, 0.10]
    three = front_figure(StudyView.of(SIZED, (*SMALL, "macs")))
    assert not [trace for trace in three.data if trace.mode == "lines"]
