"""What reports say of how sure figures are."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from rich.console import Console

from detectors.evaluation.intervals import Interval
from launch.records import Finished, TrialRecord
from launch.report.certainty import certainty, show_bounded
from launch.report.terminal import front_table
from launch.report.write import write_report
from tests.launch.report.studies import record


def scored(number: int, ap_small: float, fps: float, most: int = 100) -> TrialRecord:
    """A trial whose AP_small varies over the images, each in its own way."""
    trial = record(number, ap_small, fps)
    rng = np.random.default_rng(number)
    found = Interval.of(ap_small + rng.normal(0, 0.02, 1000))
    result = trial.finished
    metrics = result.dense.metrics.model_copy(
        update={"intervals": {"ap_small": found}, "max_detections": most}
    )
    outcome = result.dense.model_copy(update={"metrics": metrics})
    ending = Finished(result=result.model_copy(update={"dense": outcome}))
    return trial.model_copy(update={"ending": ending})


STUDY = (scored(1, 0.30, 50), scored(2, 0.29, 60), scored(3, 0.10, 90))


def test_trials_that_differ_by_chance_are_named() -> None:
    [sentence] = certainty(STUDY)
    words = "Trials 1 and 2 do not differ beyond chance in AP_small: on 1,000 draws"
    assert sentence.startswith(words)
    assert certainty([STUDY[0], STUDY[2]]) == []
    assert certainty([record(1, 0.3, 50), record(2, 0.3, 60)]) == []  # of an earlier version


def test_a_number_of_detections_that_is_not_cocos_is_said() -> None:
    dense = [scored(1, 0.3, 50, most=400), scored(3, 0.1, 90, most=400)]
    [sentence] = certainty(dense)
    assert "up to 400 detections" in sentence
    [sentence] = certainty([dense[0], STUDY[2]])
    assert "different numbers of detections on an image (100, 400)" in sentence


def test_intervals_are_in_the_tables_the_files_and_the_report(tmp_path) -> None:
    interval = STUDY[0].finished.dense.metrics.intervals["ap_small"]
    shown = f"0.300 ({interval.low:.3f}-{interval.high:.3f})"
    assert show_bounded(STUDY[0].finished.final, "ap_small") == shown
    assert show_bounded(STUDY[0].finished.final, "fps") == "50.0"
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    page = files.html.read_text()
    assert shown in page
    assert "Trials 1 and 2 do not differ beyond chance in AP_small" in page
    member = json.loads(files.json.read_text())["front"][0]
    assert member["intervals"]["ap_small"] == pytest.approx([interval.low, interval.high])
    with files.csv.open(newline="") as lines:
        row = next(csv.DictReader(lines))
    assert float(row["ap_small_low"]) == pytest.approx(interval.low)
    assert row["ap_high"] == ""
    console = Console(width=200, record=True)
    console.print(front_table(STUDY))
    text = console.export_text()
    assert shown in text
    assert "do not differ beyond chance" in text


def test_what_pycocotools_says_of_a_front_is_in_its_report(tmp_path) -> None:
    said = {1: 0.0, 2: "too many images", 3: 0.125}
    front = []
    for one in STUDY:
        result = one.finished
        metrics = result.dense.metrics.model_copy(update={"referee": said[one.number]})
        dense = result.dense.model_copy(update={"metrics": metrics})
        ending = Finished(result=result.model_copy(update={"dense": dense}))
        front.append(one.model_copy(update={"ending": ending}))
    sentences = [s for s in certainty(front) if "pycocotools" in s]
    assert sentences == [
        "AP and AR by pycocotools, trial 1: confirmed.",
        "AP and AR by pycocotools, trial 2: not checked: too many images.",
        "AP and AR by pycocotools, trial 3: differs by 0.12.",
    ]
    files = write_report(tmp_path, front, title="A study", facts={})
    members = json.loads(files.json.read_text())["front"]
    assert [m["referee"] for m in members] == [s.split(": ", 1)[1][:-1] for s in sentences]
    assert sentences[2] in files.html.read_text()
