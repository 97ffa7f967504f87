"""The report and the pages of a front's trials as a real browser has them: numbers, widths,
colours, keyboard, console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.figures import columns, show
from launch.records import EARLY, TrialRecord
from launch.report import write_report
from launch.report.certainty import show_bounded
from launch.report.member import page_of
from launch.report.page import MOST_FINISHED, MOST_OTHERS, About
from tests.browser import Browser, browser, needs_chromium
from tests.launch.report.never_trained import Made
from tests.launch.report.studies import many

pytestmark = [needs_chromium, pytest.mark.xdist_group("looked")]

STUDY = many(40)
COLUMNS = columns(("ap_small", "fps"))

OVERFLOW = "document.documentElement.scrollWidth - innerWidth"

ROWS = """[...document.querySelectorAll('#trial-table tbody tr')].map(
    (row) => [...row.cells].map((cell) => [cell.innerText.trim(), cell.dataset.value]))"""

DRAWN = """document.getElementById('front-plot').data
    .filter((trace) => trace.customdata && trace.name !== 'before pruning' && trace.yaxis !== 'y2')
    .flatMap((trace) => trace.customdata.map((n, i) => [n, trace.x[i], trace.y[i]]))"""

CONTRAST = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
    }
  };
  const found = [];
  for (const element of document.querySelectorAll('main *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || element.closest('.modebar, .hoverlayer, script, style, title')) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const pair = [light(numbers(ink)), light(ground(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4) found.push(`${element.tagName} ${element.textContent.trim()} ${ratio}`);
  }
  return found;
})()"""

FOCUSED = """(() => {
  const e = document.activeElement;
  return e === document.body ? '' : `${e.tagName} ${e.className?.baseVal ?? e.className} ${e.id}`;
})()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(looked: Made) -> Path:
    """A report of made-up trials, whose front has links to the pages of others."""
    about = About(pages={one.number: page_of(one) for one in looked.view.front})
    return write_report(
        looked.folder, STUDY, title="A study", facts={"Data": "200 images"}, about=about
    ).html


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_pages_fit_and_can_be_read(
    chromium: Browser, looked: Made, report: Path, width: int, dark: bool
) -> None:
    for page in (report, looked.folder / page_of(looked.view.records[1])):
        chromium.open(page, width, dark=dark)
        assert chromium.complaints == []
        assert chromium.run(OVERFLOW) <= 0
        assert chromium.run(CONTRAST) == []
        plots = "[...document.querySelectorAll('.js-plotly-plot')].map((p) => p.clientWidth)"
        room = "[...document.querySelectorAll('.js-plotly-plot .main-svg')].map("
        room += "(s) => s.clientWidth - s.closest('.js-plotly-plot').clientWidth)"
        assert all(chromium.run(plots))
        assert max(chromium.run(room), default=0) <= 0


def test_every_number_of_the_table_and_of_the_plot_is_the_stored_one(
    chromium: Browser, report: Path
) -> None:
    chromium.open(report)
    by_number = {one.number: one for one in STUDY}
    rows = chromium.run(ROWS)
    assert sorted(int(cells[0][1]) for cells in rows) == sorted(by_number)
    for cells in rows:
        record = by_number[int(cells[0][1])]
        for name, (text, value) in zip(COLUMNS, cells[2 : 2 + len(COLUMNS)], strict=True):
            stored = record.figure(name)
            assert (float(value) if value else None) == stored
            assert text == shown(record, name)
    drawn: list[list[Any]] = chromium.run(DRAWN)
    scored = [one for one in STUDY if one.figure("ap_small") is not None]
    assert sorted(drawn) == sorted(
        [o.number, o.figure("fps"), o.figure("ap_small")] for o in scored
    )


def shown(record: TrialRecord, name: str) -> str:
    if record.result is None:
        return show(name, record.figure(name))
    return show_bounded(record.finished.final, name)


def test_the_keyboard_reaches_plots_tables_and_links(chromium: Browser, report: Path) -> None:
    chromium.open(report)
    reached = []
    for _ in range(200):
        chromium.press("Tab", 9)
        if not (focus := chromium.run(FOCUSED)):
            break
        reached.append(focus)
    plots = [one for one in reached if one.startswith("DIV plot")]
    assert [one.split()[2:] for one in plots] == [[], ["small"], ["small"], ["parallel"]]
    assert any(one.startswith("DIV scroll") for one in reached)
    assert sum(one.startswith("SUMMARY") for one in reached) == chromium.run(
        "document.querySelectorAll('summary').length"
    )
    links = "[...document.querySelectorAll('a[href]')].filter((a) => a.checkVisibility()).length"
    assert sum(one.startswith("A ") for one in reached) == chromium.run(links)


def test_arrow_keys_go_along_the_front(chromium: Browser, report: Path) -> None:
    chromium.open(report)
    front = chromium.run(ROWS)[:2]
    chromium.run("document.querySelector('.plot').focus()")
    for cells in front:
        chromium.press("ArrowRight", 39)
        words = chromium.run("document.getElementById('chosen').textContent")
        assert words.startswith(f"Trial {cells[0][0]}, front, {cells[2][0]}")
        marked = "document.querySelector('#trial-table .chosen').cells[0].dataset.value"
        assert chromium.run(marked) == cells[0][1]
    assert chromium.complaints == []


@pytest.mark.slow
def test_a_report_of_5000_trials_is_below_5_mb_and_opens(chromium: Browser, tmp_path: Path) -> None:
    study = many(5000)
    files = write_report(tmp_path, study, title="A study", facts={})
    assert files.html.stat().st_size < 5e6
    chromium.open(files.html, 400)
    assert chromium.complaints == []
    assert chromium.run(OVERFLOW) <= 0
    rows = chromium.run(ROWS)
    states = Counter(cells[1][0] for cells in rows)
    assert states["finished"] == MOST_FINISHED
    assert set(states) == {"front", "finished", *EARLY, "failed"}
    assert all(states[state] == MOST_OTHERS for state in (*EARLY, "failed"))
    # The others are drawn all the same, and can be looked up.
    assert len(chromium.run(DRAWN)) > 4000
    left_out = next(one.number for one in study if str(one.number) not in {r[0][0] for r in rows})
    chromium.run(f"chosen({left_out})")
    assert chromium.run("document.getElementById('chosen').textContent") == f"Trial {left_out}"
    assert f"{5000 - len(rows):,} more trials are left out" in chromium.run(
        "document.body.innerText"
    )
