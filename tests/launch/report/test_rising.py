"""Which detectors were still rising when their training ended, by hand-worked values."""

from __future__ import annotations

import pytest
from rich.console import Console

from launch.records import Finished, TrialRecord
from launch.report import front_table
from launch.report.epochs import legend, marked_epochs, slope_in_words, warning
from launch.report.rising import Slope, slope
from launch.report.study import StudyView
from launch.report.verdict import headline
from launch.trial.result import TrialResult
from searchspace import CompressConfig, TrainConfig, TrialConfig
from searchspace.compression import ImportancePruning, Int8, Slimming, Unpruned
from tests.launch.report.studies import ended, outcome

Scores = tuple[float | None, float | None]
"""AP_small and AP."""


def trained(
    scores: Scores,
    more: Scores | None = None,
    *,
    epochs: tuple[int, int] = (4, 2),
    pruning: type[Unpruned | ImportancePruning | Slimming] = Unpruned,
    midway: dict[int, Scores] | None = None,
    small_objects: int = 1000,
    int8: bool = False,
    number: int = 1,
    fps: float = 50.0,
) -> TrialRecord:
    """A finished trial: what it scored after its training, and after what followed."""

    def scored(found: Scores) -> object:
        return outcome(found[0], fps, ap=found[1], small_objects=small_objects)

    compress = {"pruning": pruning(finetune_epochs=epochs[1])}
    if int8:
        compress["quantisation"] = Int8()
    config = TrialConfig(train=TrainConfig(epochs=epochs[0]), compress=CompressConfig(**compress))
    result = TrialResult(
        config=config,
        dense=scored(scores),
        compact=scored(more) if more else None,
        removed_share=0,
        seconds=1,
        predicted=scored(scores).cost,
        trained="",
    )
    return TrialRecord(
        number=number, folder="", origin="sampler", params={}, config=config,
        ending=Finished(result=result),
        midway={at: scored(found).metrics for at, found in (midway or {}).items()},
    )  # fmt: skip


RISEN = Slope(True, "ap_small", pytest.approx(0.03), 4, 6)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # The continued training of an unpruned detector: 2 of 6 epochs may bring 0.02.
        (trained((0.10, 0.3), (0.13, 0.3)), RISEN),
        (trained((0.10, 0.3), (0.119, 0.3)), Slope(False, "ap_small", pytest.approx(0.019), 4, 6)),
        (trained((0.10, 0.3), (0.05, 0.2)), Slope(False, "ap_small", pytest.approx(-0.05), 4, 6)),
        # AP counts as well; the one that gained more is named.
        (trained((0.10, 0.30), (0.11, 0.35)), Slope(True, "ap", pytest.approx(0.05), 4, 6)),
        # Without small objects there is AP alone; without either, nothing.
        (trained((None, 0.30), (None, 0.35)), Slope(True, "ap", pytest.approx(0.05), 4, 6)),
        (trained((None, None), (None, None)), None),
        # 4 of 8 epochs are one and a half thirds, and may bring 0.03.
        (
            trained((0.10, 0.3), (0.128, 0.3), epochs=(4, 4)),
            Slope(False, "ap_small", pytest.approx(0.028), 4, 8),
        ),
        (
            trained((0.10, 0.3), (0.132, 0.3), epochs=(4, 4)),
            Slope(True, "ap_small", pytest.approx(0.032), 4, 8),
        ),
        # One of 25 objects more is 0.04.
        (
            trained((0.10, 0.3), (0.13, 0.3), small_objects=25),
            Slope(False, "ap_small", pytest.approx(0.03), 4, 6),
        ),
    ],
)
def test_the_last_part_of_a_training_tells(record: TrialRecord, expected: Slope | None) -> None:
    assert slope(record) == expected


def test_a_gain_hidden_by_pruning_is_unknown() -> None:
    for pruning in (ImportancePruning, Slimming):
        assert slope(trained((0.10, 0.3), (0.13, 0.3), pruning=pruning)) == RISEN
        assert slope(trained((0.10, 0.3), (0.10, 0.3), pruning=pruning)) is None
    # Before its pruning it gained 0.05 in 1 of 4 epochs, or next to nothing.
    hidden = {"pruning": ImportancePruning, "more": (0.10, 0.3)}
    rising = slope(trained((0.10, 0.3), midway={2: (0.01, 0.1), 3: (0.05, 0.3)}, **hidden))
    assert rising == Slope(True, "ap_small", pytest.approx(0.05), 3, 4)
    flat = slope(trained((0.10, 0.3), midway={3: (0.095, 0.3)}, **hidden))
    assert flat == Slope(False, "ap_small", pytest.approx(0.005), 3, 4)


def test_nothing_is_known_of_a_training_without_a_part_or_an_end() -> None:
    assert slope(trained((0.10, 0.3), epochs=(4, 0))) is None
    assert slope(ended(1, "running")) is None
    # Without fine-tuning, nothing was trained after the pruning.
    pruned = trained((0.10, 0.3), (0.2, 0.3), epochs=(4, 0), pruning=ImportancePruning)
    assert slope(pruned) is None


def test_without_a_second_part_scores_at_rungs_decide() -> None:
    # The last 2 of 4 epochs may bring 0.03, as they are one and a half thirds.
    one = {"epochs": (4, 0)}
    rising = slope(trained((0.10, 0.3), midway={1: (0.0, 0.0), 2: (0.06, 0.3)}, **one))
    assert rising == Slope(True, "ap_small", pytest.approx(0.04), 2, 4)
    settled = slope(trained((0.10, 0.3), midway={2: (0.075, 0.3)}, **one))
    assert settled == Slope(False, "ap_small", pytest.approx(0.025), 2, 4)
    # Eight bits cost some of what was gained.
    assert slope(trained((0.06, 0.3), midway={2: (0.06, 0.3)}, int8=True, **one)) is None
    assert slope(trained((0.06, 0.3), (0.06, 0.3), int8=True)).rising is False


def test_epochs_are_shown_in_parts_and_marked() -> None:
    assert marked_epochs(trained((0.1, 0.3), (0.2, 0.3))) == "4 + 2 \N{NORTH EAST ARROW}"
    assert marked_epochs(trained((0.1, 0.3), (0.1, 0.3))) == "4 + 2"
    assert marked_epochs(trained((0.1, 0.3), epochs=(7, 0))) == "7 ?"
    assert marked_epochs(ended(1, "running")) == "\N{EN DASH}"
    midway = {2: outcome(0.1, 1.0).metrics}
    assert marked_epochs(ended(1, "stopped", midway=midway)) == "2"


def test_slopes_in_words() -> None:
    found = slope_in_words(Slope(True, "ap_small", 0.0312, 4, 6))
    assert found == "still rising: AP_small +0.031 in epochs 5 to 6"
    assert slope_in_words(Slope(False, "ap", -0.01, 3, 4)) == "settled: AP -0.010 in epoch 4"
    assert slope_in_words(None) == "not known whether it was still rising"


RISING, SETTLED = ((0.10, 0.3), (0.14, 0.3)), ((0.10, 0.3), (0.11, 0.3))


def test_a_front_most_of_which_was_rising_says_so_first() -> None:
    rising = [
        trained((0.10, 0.3), (0.2 - n / 100, 0.3), number=n, fps=50.0 + n) for n in range(1, 4)
    ]
    settled = [
        trained((0.09, 0.3), (0.1 - n / 1000, 0.3), number=n, fps=50.0 + n) for n in (4, 5, 6)
    ]
    expected = (
        "3 of the 5 on the front were still rising when training ended (AP_small by up to +0.09 in "
        "the last 2 epochs): train longer before reading small differences."
    )
    view = StudyView.of([*rising, *settled[:2]])
    assert len(view.front) == 5
    assert warning(view.front) == [expected]
    assert expected in headline(view)
    console = Console(width=200)
    with console.capture() as output:
        console.print(front_table(view.records))
    shown = " ".join(output.get().split())
    assert shown.startswith(expected)
    assert legend(view.front)[0] in shown
    # Half of it is not most of it, and an empty one is unknown.
    half = StudyView.of([*rising, *settled])
    assert len(half.front) == 6
    assert warning(half.front) == warning([]) == []


def test_the_legend_explains_what_is_shown_and_no_more() -> None:
    rising, unknown = trained(*RISING), trained((0.1, 0.3), epochs=(4, 0))
    assert legend([trained(*SETTLED), ended(2, "failed")]) == []
    assert [line[0] for line in legend([rising])] == ["\N{NORTH EAST ARROW}"]
    assert [line[0] for line in legend([rising, unknown])] == ["\N{NORTH EAST ARROW}", "?"]
