"""The report of a study: its files, its sentences, its page."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from detectors.evaluate import ClassMetrics, Metrics
from detectors.speed import Cost
from launch.records import TrialRecord
from launch.report import describe_in_words, front_table, load_front, write_report
from launch.report.plot import front_figure
from launch.report.study import StudyView, against_baseline, headline
from launch.report.words import show, show_change, show_seconds
from launch.trial import Outcome, TrialResult
from searchspace import TrialConfig, papers
from searchspace.compression import CompressConfig, Slimming
from searchspace.training import CopyPaste, SmallObjects, TrainConfig

HOSTILE = "<b>x</b></script>"
TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
PRUNED = CompressConfig(pruning=Slimming(ratio=0.4))


def outcome(ap_small: float | None, fps: float, **figures: Any) -> Outcome:
    metrics = {
        "ap": 0.3, "ap50": 0.5, "ap75": 0.25, "ap_small": ap_small, "ap_medium": 0.4,
        "ap_large": None, "ar": 0.45, "ar_small": 0.2, "ar_medium": 0.5, "ar_large": None,
        "small_objects": 143,
        "classes": {"star": ClassMetrics(ap=0.31, ap50=0.52, ap_small=None)},
    }  # fmt: skip
    cost = {
        "fps": fps, "latency_ms": 1000 / fps, "spread": 0.02, "params": 1_234_567,
        "macs": 98_765_432, "device": "some processor", "threads": 1,
    }  # fmt: skip
    metrics.update({k: v for k, v in figures.items() if k in metrics})
    cost.update({k: v for k, v in figures.items() if k in cost})
    return Outcome(metrics=Metrics(**metrics), cost=Cost(**cost))


def record(
    number: int,
    ap_small: float | None = None,
    fps: float = 50.0,
    *,
    dense: tuple[float, float] | None = None,
    **fields: Any,
) -> TrialRecord:
    """A finished trial; a pruned one if `dense` tells its AP_small and FPS before the pruning."""
    config = TrialConfig(seed=number, compress=PRUNED if dense else CompressConfig())
    final = outcome(ap_small, fps, **fields.pop("figures", {}))
    result = TrialResult(
        config=config,
        dense=outcome(*dense) if dense else final,
        compact=final if dense else None,
        removed_share=0.41 if dense else 0.0,
        seconds=60,
    )
    values = {
        "number": number, "folder": f"trials/{number:04}", "origin": "sampler",
        "params": {"detector.width": 0.5}, "config": config, "state": "finished",
        "result": result, "seconds": 75,
    }  # fmt: skip
    return TrialRecord(**{**values, **fields})


def ended(number: int, state: str, **fields: Any) -> TrialRecord:
    """A trial without a result."""
    return record(number, state=state, result=None, **fields)


def baseline(ap_small: float | None, fps: float) -> TrialRecord:
    return record(0, ap_small, fps, origin="baseline")


STUDY = [
    baseline(0.10, 50),
    record(1, 0.20, 55),
    record(2, 0.12, 100, dense=(0.15, 60), params={"compress.pruning.slimming.ratio": 0.4}),
    record(3, 0.05, 70),
    ended(4, "failed", reason="TrainingFailed: not finite"),
    ended(5, "running"),
]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def write(folder: Path, records: list[TrialRecord], **facts: str) -> Page:
    files = write_report(folder, records, title="A study", facts=facts)
    return Page(files.html.read_text(encoding="utf-8"))


# ---- front.json and front.csv


def test_front_json_holds_the_front_and_the_counts(tmp_path):
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    front = json.loads(files.json.read_text())

    assert files.json == tmp_path / "front.json"
    assert front["objectives"] == ["ap_small", "fps"]
    assert front["trials"] == {"finished": 4, "failed": 1, "running": 1}
    assert [member["number"] for member in front["front"]] == [1, 2]
    assert front["front"][1] == {
        "number": 2,
        "folder": "trials/0002",
        "origin": "sampler",
        "figures": {
            "ap": 0.3, "ap50": 0.5, "ap_small": 0.12, "ap_medium": 0.4, "ap_large": None,
            "ar_small": 0.2, "fps": 100, "latency_ms": 10, "params": 1_234_567,
            "macs": 98_765_432,
        },
        "config": STUDY[2].config.model_dump(mode="json"),
    }  # fmt: skip
    # Two rectangles: 0.12 wide up to ln 100, and a further 0.08 up to ln 55.
    expected = 0.12 * math.log(100) + 0.08 * math.log(55)
    assert front["hypervolume"] == pytest.approx(expected)


def test_front_csv_has_figures_and_searched_parameters_as_columns(tmp_path):
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    with files.csv.open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert [row["number"] for row in rows] == ["1", "2"]
    assert float(rows[0]["ap_small"]) == 0.20
    assert rows[0]["ap_large"] == ""
    assert rows[0]["detector.width"] == "0.5"
    assert rows[0]["compress.pruning.slimming.ratio"] == ""
    assert rows[1]["compress.pruning.slimming.ratio"] == "0.4"


def test_load_front_reads_back_what_was_written(tmp_path):
    write_report(tmp_path, STUDY, title="A study", facts={})
    front = load_front(tmp_path)

    assert front.trials == {"finished": 4, "failed": 1, "running": 1}
    unpruned, pruned = front.members
    assert unpruned.folder == tmp_path / "trials/0001"
    assert unpruned.detector == tmp_path / "trials/0001/dense"
    assert pruned.detector == tmp_path / "trials/0002/compact"
    assert pruned.config == STUDY[2].config
    assert (pruned.figures.ap_small, pruned.figures.fps) == (0.12, 100)


def test_load_front_says_where_the_file_should_be(tmp_path):
    with pytest.raises(ValueError, match=r"front\.json: no such file; give the folder of a study"):
        load_front(tmp_path)


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda text: text[: len(text) // 2], "the file"),
        (lambda text: text.replace('"fps": 55.0', '"fps": "fast"'), r"front\.0\.figures\.fps"),
        (lambda text: text.replace('"hypervolume"', '"volume"'), "hypervolume"),
    ],
)
def test_load_front_names_what_is_damaged(tmp_path, damage, place):
    path = write_report(tmp_path, STUDY, title="A study", facts={}).json
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=rf"front\.json: damaged at {place} .*again"):
        load_front(tmp_path)


def test_writing_again_replaces_all_files_and_leaves_nothing_else(tmp_path):
    write_report(tmp_path, STUDY[:1], title="A study", facts={})
    write_report(tmp_path, STUDY, title="A study", facts={})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"front.json", "front.csv", "report.html"}
    assert len(load_front(tmp_path).members) == 2


# ---- sentences


def test_headline_tells_counts_best_and_fastest():
    counts, best, against = headline(StudyView.of(STUDY))
    assert counts == "4 trials finished (1 failed, 1 still running); 2 are on the front."
    assert "best AP_small is 0.200, at 55.0 FPS (trial 1)" in best
    assert "fastest runs at 100.0 FPS with AP_small 0.120 (trial 2)" in best
    assert f"2.00{TIMES} its AP_small at 1.10{TIMES} its FPS (trial 1)" in against
    assert f"2.00{TIMES} its FPS at 1.20{TIMES} its AP_small (trial 2)" in against


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
        ([baseline(0.0, 50), record(1, 0.2, 40)], "No trial as fast as the baseline"),
        (
            [baseline(0.1, 50), record(1, 0.1, 75)],
            f"reaches 1.50{TIMES} its FPS at 1.00{TIMES} its",
        ),
    ],
)
def test_comparison_with_the_baseline(records, expected):
    assert expected in against_baseline(StudyView.of(records))


def test_a_trial_better_in_both_objectives_is_told_once():
    text = against_baseline(StudyView.of([baseline(0.1, 50), record(1, 0.2, 100)]))
    assert text.count("trial 1") == 1


def test_an_accurate_but_slower_trial_is_no_gain_at_the_baselines_speed():
    records = [baseline(0.1, 50), record(1, 0.15, 60), record(2, 0.9, 49)]
    assert f"1.50{TIMES} its AP_small" in against_baseline(StudyView.of(records))


# ---- words


def test_description_names_what_is_particular():
    stock = papers["ssdmnetv1_s1l6"].trial
    assert describe_in_words(stock) == "width 1, 300 px, S1L6, listed priors from 10 px"
    config = TrialConfig.model_validate(
        {
            "detector": {
                "input_size": 160,
                "width": 0.25,
                "backbone": {"kind": "mobilenet_v1", "eliminated_strides": (4, 6)},
                "head": {"priors": {"kind": "scaled", "cells": 2.8}},
            },
            "train": TrainConfig(
                copy_paste=CopyPaste(copies=2), small_objects=SmallObjects(weight=1.5)
            ),
            "compress": PRUNED,
        }
    )
    assert describe_in_words(config) == (
        f"width 0.25, 160 px, S2L4-6, priors of 2.8 cells, copy-paste 2{TIMES}, "
        "small objects weigh 1.5, pruned 40 %"
    )


def test_description_names_what_is_small_by_the_input():
    small = SmallObjects(weight=0.95, offset=0.05, by="input")
    text = describe_in_words(TrialConfig(train=TrainConfig(small_objects=small)))
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
    text = describe_in_words(papers[name].trial)
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


# ---- the page


def test_page_shows_every_trial_in_its_order(tmp_path):
    page = write(tmp_path, STUDY, Data="200 images")
    assert page.count("details") == 2
    rows = [a["class"] for tag, a in page.tags if tag == "tr" and "class" in a]
    assert rows == ["front", "front", "finished", "finished", "running", "failed"]
    for text in ("A study", "200 images", "143", "some processor, 1 thread", "not finite"):
        assert text in page.text
    assert f'Detector.load("{tmp_path}/trials/0001/dense")' in page.text
    assert f'Detector.load("{tmp_path}/trials/0002/compact")' in page.text
    assert "Pruning took 41 % of the prunable channels" in page.text


def test_page_loads_nothing_from_the_network(tmp_path):
    page = write(tmp_path, STUDY)
    assert page.count("script") >= 2
    assert page.count("link") == page.count("iframe") == 0
    addresses = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "data", "srcset")
        if attributes.get(name)
    ]
    assert [a for a in addresses if not a.startswith("#")] == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_everything_a_user_names_is_escaped(tmp_path):
    classes = {HOSTILE: ClassMetrics(ap=0.1, ap50=0.2, ap_small=0.3)}
    fields = {"figures": {"classes": classes, "device": HOSTILE}, "folder": HOSTILE}
    records = [record(1, 0.2, **fields), ended(2, "failed", reason=HOSTILE)]
    safe = write(tmp_path / "safe", [record(1, 0.2), ended(2, "failed", reason="x")], data="x")
    files = write_report(tmp_path / "a", records, title=HOSTILE, facts={HOSTILE: HOSTILE})
    page = Page(files.html.read_text(encoding="utf-8"))

    # The same tags as without, and the markup to be read: title, heading, both of the fact,
    # device, class, reason, folder.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in safe.tags]
    assert page.text.count(HOSTILE) == 8


def test_hover_text_is_escaped_and_tells_the_trial():
    records = [baseline(0.1, 50), record(1, 0.2, 60, dense=(0.25, 40))]
    by_name = {trace.name: trace for trace in front_figure(StudyView.of(records)).data}
    (hover,) = by_name["front"].text
    assert "Trial 1" in hover
    assert "width 1<br>300 px" in hover
    assert "AP_small 0.200<br>AP 0.300<br>FPS 60.0<br>Params 1.23 M" in hover
    assert "before pruning" in by_name["before pruning"].text[0]
    assert "AP_small 0.250" in by_name["before pruning"].text[0]


def test_plot_draws_each_trial_once_and_steps_along_the_front():
    figure = front_figure(StudyView.of(STUDY))
    points = {trace.name: list(trace.x) for trace in figure.data if "markers" in trace.mode}
    assert points == {
        "before pruning": [60],
        "finished": [70],
        "front": [55, 100],
        "baseline": [50],
    }
    line = next(trace for trace in figure.data if trace.line.shape == "vh")
    assert list(zip(line.x, line.y, strict=True)) == [(55, 0.20), (100, 0.12)]
    assert figure.layout.xaxis.type == "log"


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "This study has no trials yet."),
        ([ended(0, "running")], "No trial has finished yet (1 still running)."),
        ([ended(0, "failed", reason="no")], "No trial finished (1 failed)."),
        ([record(1, None)], "the validation split has no small objects"),
    ],
)
def test_studies_without_a_front_say_so(tmp_path, records, sentence):
    page = write(tmp_path, records)
    assert sentence in page.text
    assert "Nothing to draw yet" in page.text
    assert page.count("details") == 0
    assert load_front(tmp_path).members == ()
    assert load_front(tmp_path).hypervolume == 0
    assert (tmp_path / "front.csv").read_text().startswith("number,folder,origin,ap,")


def test_a_trial_without_ap_small_is_no_front_member_and_shows_a_dash(tmp_path):
    page = write(tmp_path, [record(1, 0.2), record(2, None, 500)])
    assert [member.number for member in load_front(tmp_path).members] == [1]
    cells = [a.get("data-value") for tag, a in page.tags if tag == "td"]
    assert "500.0" in cells
    assert "" in cells


def test_a_study_whose_every_ap_small_is_zero_is_drawn(tmp_path):
    page = write(tmp_path, [baseline(0.0, 50), record(1, 0.0, 60)])
    assert "AP_small above 0" in page.text
    assert "Nothing to draw yet" not in page.text


def test_speeds_of_different_devices_are_not_compared_in_silence(tmp_path):
    records = [record(1, 0.2), record(2, 0.1, 90, figures={"device": "other", "threads": None})]
    page = write(tmp_path, records)
    assert "do not compare: some processor, 1 thread; other" in " ".join(page.text.split())


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


def test_front_table_of_an_empty_study_has_its_heading():
    assert "AP_small" in rendered([])


# ---- a real browser

CHROMIUM = """
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --virtual-time-budget=5000
"""


def dom(page: Path, profile: Path) -> str:
    """The document as the browser has it when its scripts have run."""
    arguments = [*CHROMIUM.split(), f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on the PATH")
def test_a_browser_draws_the_plot_and_sorts_the_table(tmp_path):
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    page = Page(dom(files.html, tmp_path / "profile"))
    # Four finished trials, one of them pruned.
    assert sum(a.get("class") == "point" for tag, a in page.tags if tag == "path") == 5
    assert sum(tag == "tr" and "class" in a for tag, a in page.tags) == len(STUDY)

    click = "<script>document.querySelectorAll('#trial-table th button')[4].click()</script></body>"
    html = files.html.read_text(encoding="utf-8")
    sorted_page = tmp_path / "sorted.html"
    sorted_page.write_text(click.join(html.rsplit("</body>", 1)), encoding="utf-8")
    page = Page(dom(sorted_page, tmp_path / "second"))
    headers = [
        a.get("aria-sort") for tag, a in page.tags if tag == "th" and a.get("scope") == "col"
    ]
    assert headers[4] == "descending"
    cells = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    fps = cells[4::9]
    assert fps == ["100.0", "70.0", "55.0", "50.0", "", ""]
