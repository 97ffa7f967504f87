"""`sparrow papers`, and the tables that systems are rows of."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from searchspace import papers
from searchspace.errors import InputError
from searchspace.papers import on_coco, system_named
from searchspace.papers.tables import TABLES, tables_of, with_needed

Run = Callable[..., tuple[int, str]]


def test_papers_lists_every_system_with_its_figures_and_source(run: Run) -> None:
    code, text = run("papers")
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert set(papers) <= set(lines)
    assert lines["mfssd"].split()[1:6] == ["0.294", "0.121", "0.804", "59.5", "33.7"]
    assert "MFSSD paper: VOC07 test; COCO test-dev with its 81-class model; FPS on GTX" in text
    code, text = run("papers", "--json")
    listed = {entry["name"]: entry for entry in json.loads(text)}
    assert list(listed) == list(papers)
    assert listed["mfssd"]["published"]["voc_map"] == 0.804
    assert listed["ssdmnetv1"]["published"]["ap_small"] == 0.018
    assert listed["mfssd_bn"]["tables"] == ["mfssd-1", "mfssd-2"]
    assert listed["gfl_r50_distil_1"]["needs"] == ["gfl_r101_teacher"]


def test_papers_shows_one_system_or_names_the_nearest(run: Run) -> None:
    code, text = run("papers", "mfssd@coco")
    assert code == 0
    for words in ("listed priors from 21 px", "300 epochs, batch 32", "Classes: 80", "ap 0.294",
                  "Row of mfssd-3", "sparrow trial mfssd@coco"):  # fmt: skip
        assert words in text
    code, text = run("papers", "mfssd@coco", "--json")
    assert json.loads(text)["config"]["detector"]["num_classes"] == 80
    code, text = run("papers", "mfsd@coco")
    assert (code, "the nearest one is mfssd@coco" in text) == (2, True)


def test_every_row_of_a_table_is_a_system_with_a_figure_of_it() -> None:
    assert {"fssd-1", "fssd-2", "mfssd-2", "stride-2", "thesis-6"} <= set(TABLES)
    for name, table in TABLES.items():
        assert len(set(table.systems)) == len(table.rows), name
        for row in table.rows:
            assert system_named(row.system) is not None, row
            figures = [row.published(figure) for figure in table.figures]
            assert any(figure is not None for figure in figures), (name, row)
    assert tables_of("mfssd") == ("mfssd-1", "mfssd-2", "mfssd-3", "mfssd-4")


def test_a_row_may_give_another_figure_than_the_systems_own_paper() -> None:
    row = TABLES["mfssd-4"].row("ssd300_vgg16")
    assert (row.published("fps"), papers["ssd300_vgg16"].published.fps) == (72, 85)


def test_a_system_is_named_in_its_form_for_coco() -> None:
    assert system_named("mdssd512@coco").trial == on_coco("mdssd512")
    assert system_named("mdssd512@coco").published == papers["mdssd512"].published
    assert system_named("mdssd512@voc") is None


def test_teachers_come_before_their_students_and_once() -> None:
    asked = ("gfl_r50_distil_1", "gfl_r50_distil_3", "gfl_r101_teacher", "gfl_r50_baseline")
    found = list(with_needed(asked))
    assert found == ["gfl_r101_teacher", "gfl_r50_distil_1", "gfl_r50_distil_3", "gfl_r50_baseline"]
    with pytest.raises(InputError, match="the nearest one is"):
        with_needed(("gfl",))


def test_a_trained_ssd_comes_before_what_starts_from_it() -> None:
    assert list(with_needed(("fssd300_from_ssd@coco", "fssd300_from_coco"))) == [
        "ssd300_vgg16@coco", "fssd300_from_ssd@coco", "fssd300@coco", "fssd300_from_coco"
    ]  # fmt: skip


def test_papers_says_where_a_system_starts(run: Run) -> None:
    code, text = run("papers", "fssd300_abl_c3c7_concat_bn_b_from_ssd")
    assert code == 0
    for words in ("Starts from: ssd300_vgg16", "116 epochs", "voc_map 0.786", "Row of fssd-2",
                  "new parts at 2"):  # fmt: skip
        assert words in text
