"""The report as a page: its text, its plot, and what a browser makes of it."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from math import log10
from pathlib import Path

import pytest

from detectors.evaluate import ClassMetrics
from detectors.evaluation.intervals import Interval
from launch.records import TrialRecord
from launch.report import load_front, write_report
from launch.report.look import figure_axis
from launch.report.plot import front_figure
from launch.report.points import legend_of
from launch.report.study import StudyView
from tests.launch import made_up
from tests.launch.report.studies import STUDY, baseline, ended, record

HOSTILE = "<b>x</b></script>"


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


# ---- the page


def test_page_shows_every_trial_in_its_order(tmp_path):
    page = write(tmp_path, STUDY, Data="200 images")
    assert page.count("details") == 2
    rows = [a["class"] for tag, a in page.tags if tag == "tr" and "class" in a]
    assert rows == ["front", "front", "finished", "finished", "running", "failed"]
    for text in ("A study", "200 images", "143", "some processor, 1 thread", "not finite"):
        assert text in page.text
    assert f'load_detector("{tmp_path}/trials/0001/dense")' in page.text
    assert f'load_detector("{tmp_path}/trials/0002/compact")' in page.text
    assert "Pruning removed 41 % of the prunable channels" in page.text


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
    # device, class, reason twice, folder.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in safe.tags]
    assert page.text.count(HOSTILE) == 9


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


def test_trials_without_a_result_lie_apart_at_what_is_known_of_them():
    slow = {"predicted": made_up.cost(20.0)}
    records = [
        *STUDY,
        ended(6, "stopped", midway={1: made_up.metrics(0.07)}, **slow),
        ended(7, "gated", **slow),
        ended(8, "failed", **slow),
        record(9, 0.3, 30, broken=("fps >= 40",)),
    ]
    view = StudyView.of(records)
    figure = front_figure(view)
    found = {t.name: (list(t.x), list(t.y), t.yaxis) for t in figure.data if t.name}
    assert found["stopped"] == ([20.0], [0.07], None)
    assert found["gated"] == ([20.0], ["gated"], "y2")
    assert found["failed"] == ([20.0], ["failed"], "y2")
    assert found["violates a constraint"] == ([30], [0.3], None)
    assert [kind.label for kind in legend_of(view)] == [
        "before pruning", "finished", "violates a constraint", "stopped", "front", "baseline",
        "gated", "failed",
    ]  # fmt: skip


def test_intervals_of_speed_and_accuracy_are_bars():
    draws = Interval(low=0.15, high=0.26, draws="")
    figures = {"fps_low": 58.0, "fps_high": 63.0, "intervals": {"ap_small": draws}}
    (front,) = (
        trace
        for trace in front_figure(StudyView.of([record(1, 0.2, 60, figures=figures)])).data
        if trace.name == "front"
    )
    assert (front.error_x.array, front.error_x.arrayminus) == ((3.0,), (2.0,))
    assert front.error_y.array == pytest.approx((0.06,))
    assert front.error_y.arrayminus == pytest.approx((0.05,))


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


def test_a_trial_without_ap_small_is_not_on_the_front_and_shows_a_dash(tmp_path):
    page = write(tmp_path, [record(1, 0.2), record(2, None, 500)])
    assert [member.number for member in load_front(tmp_path).members] == [1]
    cells = [a.get("data-value") for tag, a in page.tags if tag == "td"]
    assert "500.0" in cells
    assert "" in cells


def test_a_study_whose_every_ap_small_is_zero_is_drawn(tmp_path):
    page = write(tmp_path, [baseline(0.0, 50), record(1, 0.0, 60)])
    assert "as fast as it has an AP_small of 0.020 or more" in page.text
    assert "Nothing to draw yet" not in page.text


def test_speeds_of_different_devices_are_not_compared_in_silence(tmp_path):
    records = [record(1, 0.2), record(2, 0.1, 90, figures={"device": "other", "threads": None})]
    page = write(tmp_path, records)
    assert "cannot be compared: some processor, 1 thread; other" in " ".join(page.text.split())


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
    ids = [a.get("id") for _, a in page.tags]
    front = page.tags[ids.index("front-plot") : ids.index("growth-plot")]
    classes = [(a.get("class") or "").split() for tag, a in front if tag == "path"]
    assert sum("point" in names for names in classes) == 5
    assert sum(tag == "tr" and "class" in a for tag, a in page.tags) == len(STUDY)

    click = "<script>document.querySelectorAll('#trial-table th button')[4].click()</script></body>"
    html = files.html.read_text(encoding="utf-8")
    sorted_page = tmp_path / "sorted.html"
    sorted_page.write_text(click.join(html.rsplit("</body>", 1)), encoding="utf-8")
    page = Page(dom(sorted_page, tmp_path / "second"))
    table = page.tags[[a.get("id") for _, a in page.tags].index("trial-table") :]
    headers = [a.get("aria-sort") for tag, a in table if tag == "th" and a.get("scope") == "col"]
    assert headers[4] == "descending"
    cells = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    fps = cells[3::8]
    assert fps == ["100.0", "70.0", "55.0", "50.0", "", ""]


@pytest.mark.parametrize(
    ("low", "high"), [(185.5, 209.3), (1, 1), (0.031, 0.045), (40, 79), (30, 90), (2, 900)]
)
def test_an_axis_of_ratios_has_several_round_ticks(low, high):
    axis = figure_axis("fps", [low, high])
    shown = [
        tick for tick in axis["tickvals"] if axis["range"][0] <= log10(tick) <= axis["range"][1]
    ]
    assert 2 <= len(shown) <= 9
    assert all(len(f"{tick:.10g}".strip("0.").replace(".", "")) <= 3 for tick in shown)
