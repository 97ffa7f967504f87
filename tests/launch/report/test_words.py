"""The report's sentences and figures, and its table in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from detectors.runtimes.agreement import Agreement
from detectors.training.compiling import Choice
from launch.cli.terminal import PlainConsole
from launch.figures import DEFAULT, show, show_change
from launch.records import Finished, TrialRecord
from launch.report import front_table
from launch.report.page import page
from launch.report.rising import Slope
from launch.report.study import StudyView
from launch.report.verdict import against_baseline, headline
from launch.report.words import show_seconds
from launch.trial.memory import Fitted
from searchspace import CompressConfig, DetectorConfig, TrialConfig, papers
from searchspace.augmentation import CopyPaste
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise, Logits
from searchspace.heads import Multibox
from searchspace.measuring import MeasureConfig
from searchspace.priors import LevelledPriors, LevelRule
from searchspace.training import SmallObjects, TrainConfig
from tests.launch.report.studies import PRUNED, STUDY, baseline, ended, record

TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"


# ---- sentences


def test_the_headline_has_counts_best_and_fastest():
    counts, best, against, failed = headline(StudyView.of(STUDY))
    assert counts == "4 trials finished (1 failed, 1 still running); 2 are on the front."
    assert "best AP_small is 0.200, at 55.0 FPS (trial 1)" in best
    assert "fastest runs at 100.0 FPS with AP_small 0.120 (trial 2)" in best
    assert f"+0.100 AP_small at 1.10{TIMES} its FPS (trial 1)" in against
    assert f"2.00{TIMES} its FPS at +0.020 AP_small (trial 2)" in against
    assert failed == "Failed: trial 4: TrainingFailed: not finite."


def test_the_headline_names_trials_whose_batches_did_not_fit_into_memory() -> None:
    def fitted(number: int, parts: int) -> TrialRecord:
        found = Fitted(accumulate=parts, needed=10**9, memory=10**9, device="some processor")
        trial = record(number, 0.1)
        result = trial.result.model_copy(update={"fitted": found})
        return trial.model_copy(update={"ending": Finished(result=result)})

    study = [baseline(0.1, 50), fitted(1, 1), fitted(2, 4), fitted(3, 4), fitted(4, 2)]
    assert [s for s in headline(StudyView.of(study)) if "memory" in s] == [
        "To fit into memory, batches were computed in 2 parts in trial 4.",
        "To fit into memory, batches were computed in 4 parts in trials 2, 3.",
    ]


def test_the_headline_names_trials_that_asked_for_compiled_steps() -> None:
    def asked(number: int, compiled: bool, reason: str) -> TrialRecord:
        steps = {"dense": Choice(compiled=compiled, reason=reason, seconds=number)}
        trial = record(number, 0.1)
        result = trial.result.model_copy(update={"steps": steps})
        return trial.model_copy(update={"ending": Finished(result=result)})

    study = [
        baseline(0.1, 50), asked(1, True, "as that is faster"),
        asked(2, False, "as that is no faster"), asked(3, True, "as that is faster"),
    ]  # fmt: skip
    assert [s for s in headline(StudyView.of(study)) if "compiled" in s] == [
        "Training steps were compiled, as that is faster: trials 1, 3; not compiled, as that is no "
        "faster: trial 2."
    ]


def test_the_headline_names_trials_in_which_int8_decides() -> None:
    def quantised(number: int, after: int) -> TrialRecord:
        found = Agreement(images=24, score=0.3, before=141, after=after, matched=after)
        trial = record(number, 0.1)
        return trial.model_copy(
            update={"ending": Finished(result=trial.result.model_copy(update={"quantised": found}))}
        )

    study = [baseline(0.1, 50), quantised(1, 139), quantised(2, 3), record(3, 0.2)]
    sentences = headline(StudyView.of(study))
    assert [s for s in sentences if "int8" in s] == [
        "Trial 2: the int8 detector finds different objects from the float one (141 detections "
        "before, 3 after, 3 matched (2 %), at scores of 0.3 or more in 24 images), so its accuracy "
        "is not that of the design."
    ]


def test_the_headline_names_trials_that_several_workers_trained() -> None:
    def trained(number: int, workers: int) -> TrialRecord:
        result = record(number, 0.1).result.model_copy(update={"workers": workers})
        return record(number, 0.1, ending=Finished(result=result))

    study = [baseline(0.1, 50), trained(1, 1), trained(2, 4), trained(3, 4), trained(4, 2)]
    assert [s for s in headline(StudyView.of(study)) if "workers" in s] == [
        "Trained by 2 workers together: trial 4.",
        "Trained by 4 workers together: trials 2, 3.",
    ]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(1, 0.2)], "There is no baseline"),
        ([ended(0, "failed", origin="baseline"), record(1, 0.2)], "baseline failed"),
        ([ended(0, "running", origin="baseline"), record(1, 0.2)], "not finished yet"),
        ([baseline(0.1, 50)], "No trial does better than the baseline (trial 0"),
        ([baseline(0.1, 50), record(1, 0.1, 50)], "No trial does better than the baseline"),
        ([baseline(0.1, 50), record(1, 0.2, 40)], "No trial does better than the baseline"),
        ([baseline(0.0, 50), record(1, 0.2, 50)], "trial 1, AP_small 0.200 at 50.0 FPS"),
        (
            [baseline(0.0, 50), record(1, 0.2, 40)],
            "as fast as it has an AP_small of 0.020 or more",
        ),
        (
            [baseline(0.003, 50), record(1, 0.23, 60)],
            "0.003 at 50.0 FPS) has learnt next to noth",
        ),
        ([baseline(0.003, 50), record(1, 0.23, 60)], "reaches trial 1, AP_small 0.230 at 60.0 FPS"),
        (
            [baseline(0.1, 50), record(1, 0.1, 75)],
            f"reaches 1.50{TIMES} its FPS at +0.000 AP_small",
        ),
    ],
)
def test_comparison_with_the_baseline(records, expected):
    assert expected in against_baseline(StudyView.of(records))


def test_a_trial_better_in_both_objectives_is_mentioned_once():
    text = against_baseline(StudyView.of([baseline(0.1, 50), record(1, 0.2, 100)]))
    assert text.count("trial 1") == 1


def test_an_accurate_but_slower_trial_is_not_a_gain_at_the_baselines_speed():
    records = [baseline(0.1, 50), record(1, 0.15, 60), record(2, 0.9, 49)]
    assert "+0.050 AP_small" in against_baseline(StudyView.of(records))


# ---- words


def test_description_names_what_is_particular():
    stock = papers["ssdmnetv1_s1l6"].trial
    assert stock.in_words() == "width 1, 300 px, ReLU6, S1L6, listed priors from 10 px"
    config = TrialConfig.model_validate(
        {
            "detector": {
                "input_size": 160,
                "width": 0.25,
                "backbone": {
                    "kind": "mobilenet_v1",
                    "eliminated_strides": (4, 6),
                    "activation": "relu6",
                },
                "head": {"priors": {"kind": "scaled", "cells": 2.8}},
            },
            "train": TrainConfig(
                copy_paste=CopyPaste(copies=2), small_objects=SmallObjects(weight=1.5)
            ),
            "compress": PRUNED,
        }
    )
    assert config.in_words() == (
        f"width 0.25, 160 px, ReLU6, S2L4-6, priors of 2.8 cells, copy-paste 2{TIMES}, "
        "small objects weigh 1.5, pruned 40 %"
    )


def test_description_names_what_is_small_by_the_input():
    small = SmallObjects(weight=0.95, offset=0.05, by="input")
    text = TrialConfig(train=TrainConfig(small_objects=small)).in_words()
    assert text.endswith(", small objects in the input weigh 0.95")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ssd512_vgg16", ["512 px", "VGG16", "priors from 35.84"]),
        ("fssd300_abl_c3c7_sum_bn_b", ["sum of 256:256:256:256", "taps conv3_3+conv4_3+fc7"]),
        ("mfssd_bn", ["VGG16 with batch norm", "concatenation of 512:256:256 channels"]),
        ("mdssd512_r101", ["ResNet-101", "last stage dilated", "levels 3-0+4-1+5-2"]),
        ("ssd_vgg16_s1l2_dualpath", ["S1L2", "growth from the second path"]),
        ("ssdmnetv1_s1l0_dualpath19_10_c", ["S1L0", "joined at level 1", "joined at level 2"]),
        ("yolox_s", ["640 px", "CSPDarknet of depth 0.33", "two-way pyramid", "YOLOX's head"]),
        ("gfl_r50", [f"800{TIMES}1280 px", "ResNet-50", "pyramid of 256", "GFL's head"]),
    ],
)
def test_description_names_parts_of_other_systems(name, words):
    text = papers[name].trial.in_words()
    assert [w for w in words if w not in text] == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ap", None, DASH),
        ("ap", 0.12345, "0.123"),
        ("fps", 41.26, "41.3"),
        ("params", 999, "999"),
        ("params", 999_996, "1.00 M"),
        ("params", 1_234_567, "1.23 M"),
        ("macs", 98_765_432, "98.8 M"),
        ("macs", 987_654_321, "988 M"),
        ("macs", 34_360_000_000, "34.4 G"),
    ],
)
def test_figures_are_shown_in_three_digits(name, value, text):
    assert show(name, value) == text


def test_changes_are_differences_of_metrics_and_factors_of_costs():
    assert show_change("ap", 0.30, 0.27) == "-0.030"
    assert show_change("params", 2_000_000, 500_000) == f"0.25{TIMES}"
    assert show_change("ap_large", None, None) == DASH


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (3_725, "1 h 02 min")],
)
def test_durations(seconds, text):
    assert show_seconds(seconds) == text


# ---- the terminal


def rendered(records: list[TrialRecord]) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(front_table(records))
    return capture.get()


def test_front_table_marks_the_baseline_below_the_front():
    lines = [line for line in rendered(STUDY).splitlines() if "px" in line]
    assert [line.split()[1] for line in lines] == ["1", "2", "0"]
    assert "0.120" in lines[1]
    assert "100.0" in lines[1]
    assert "98.8 M" in lines[1]
    assert "pruned 40 %" in lines[1]
    assert ["baseline:" in line for line in lines] == [False, False, True]


def test_front_table_has_a_baseline_on_the_front_once():
    assert rendered([baseline(0.1, 50)]).count("baseline") == 1


def test_legend_and_warning_are_lines_of_their_own(monkeypatch):
    """On the console of commands, which shows new lines within strings as `\\n`."""
    rising, unknown = Slope(True, "ap_small", 0.05, 2, 4), None
    found = {1: rising, 2: unknown, 3: rising, 0: unknown}
    monkeypatch.setattr("launch.report.epochs.slope", lambda record: found[record.number])
    records = [baseline(0.2, 40), *(record(n, 0.2 + n / 100, 60.0 - n) for n in (1, 2, 3))]
    text = on_a_terminal(records, 200)
    assert "\\n" not in text
    lines = text.splitlines()
    assert lines[0].startswith("2 of the 3 on the front were still rising")
    assert [line[:2] for line in lines[-2:]] == ["\N{NORTH EAST ARROW} ", "? "]


def test_a_narrow_terminal_shows_each_trial_and_its_whole_design():
    more = (*DEFAULT, "latency_ms", "ap_medium")
    records = [
        record(number, ap_small, fps, **fields)
        for number, ap_small, fps, fields in (
            (0, 0.1, 50.0, {"origin": "baseline"}), (7, 0.3, 60.0, {}), (1234, 0.2, 90.0, {}),
        )
    ]  # fmt: skip
    text = on_a_terminal(records, 80, more)
    assert max(map(len, text.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    table, *designs = re.split(r"^trial ", text, flags=re.MULTILINE)
    assert re.findall(r"^ *(\d+) +0\.", table, flags=re.MULTILINE) == ["7", "1234", "0"]
    assert [" ".join(design.split()) for design in designs] == [
        f"7: {records[1].config.in_words()}",
        f"1234: {records[2].config.in_words()}",
        f"0: baseline: {records[0].config.in_words()}",
    ]
    assert "\ntrial " not in on_a_terminal(records, 200, more)


@pytest.mark.parametrize("runtimes", [("openvino", "openvino"), ("openvino", "onnxruntime")])
def test_how_designs_are_run_is_said_where_it_differs(runtimes: tuple[str, str]):
    records = [
        record(
            number,
            0.1 * number,
            60.0,
            config=TrialConfig(measure=MeasureConfig(runtime=runtime, precision="float32")),
        )
        for number, runtime in enumerate(runtimes, 1)
    ]
    view, differs = StudyView.of(records), len(set(runtimes)) > 1
    assert [("run by" in view.in_words(one)) for one in records] == [differs] * 2
    assert ("run by onnxruntime" in on_a_terminal(records, 200)) == differs
    shown = page(view, Path(), "Search", {}).replace("\n", " ")
    assert ("run by onnxruntime" in shown) == differs
    assert view.in_words(records[0]).startswith("width 1, 300 px")


def on_a_terminal(records: list[TrialRecord], width: int, objectives=DEFAULT) -> str:
    console = PlainConsole(width=width)
    with console.capture() as capture:
        console.print(front_table(records, objectives))
    return capture.get()


def test_front_table_of_an_empty_study_has_its_heading():
    assert "AP_small" in rendered([])


def test_no_teacher_is_not_mentioned() -> None:
    assert "taught" not in TrialConfig().in_words()


def test_words_tell_the_parent_and_what_it_shows() -> None:
    lesson = ChannelWise(location="both", weight=12.345, temperature=2)
    compress = CompressConfig(pruning=Slimming(ratio=0.4, distillation=lesson))
    assert (
        TrialConfig(compress=compress)
        .in_words()
        .endswith(
            "pruned 40 %, taught by its parent (class logits and maps, weight 12, temperature 2)"
        )
    )


def test_words_tell_a_named_teacher_by_the_end_of_its_path() -> None:
    train = TrainConfig(distillation=Logits(teacher="/far/away/r101/dense", weight=0.5))
    assert (
        TrialConfig(train=train)
        .in_words()
        .endswith("taught by r101/dense (class probabilities, weight 0.5, temperature 2)")
    )


def test_description_names_the_priors_of_each_level():
    rules = {"first": LevelRule(cells=1.25), "coarser": LevelRule(cells=3.75)}
    detector = DetectorConfig(head=Multibox(priors=LevelledPriors(**rules)))
    text = TrialConfig(detector=detector).in_words()
    assert text.endswith("priors of 1.25, 2.8, 2.8, 3.75 cells")
