"""The page of each trial of a front: what its detector is made of, what it finds, how to use it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detectors.describe import describe_layers
from detectors.evaluate import detect_split
from detectors.evaluation.comparison import disagreements, mistakes
from detectors.evaluation.curves import at_thresholds
from detectors.evaluation.errors_by_kind import errors_by_kind
from detectors.evaluation.report import judged_on
from launch.cli.main import COMMANDS
from launch.figures import show
from launch.records import TrialRecord
from launch.report import write_report
from launch.report.looks import _read_found, looks_folder, read_layers, read_look
from launch.report.member import page_of, write_pages
from launch.report.page import About
from launch.report.study import StudyView
from launch.trial.data import TrialData
from searchspace import Space
from tests.launch.report.never_trained import Made, made
from tests.launch.report.studies import record

pytestmark = pytest.mark.xdist_group("looked")

CPU = torch.device("cpu")


@pytest.fixture
def fresh(tmp_path: Path, space: Space, shapes_folder: Path, shapes: TrialData) -> Made:
    return made(tmp_path, space, shapes_folder, shapes)


def test_the_page_has_each_layer_with_its_size_and_time(looked: Made) -> None:
    kept = read_layers(looks_folder(looked.folder, looked.view.records[1]))
    assert kept is not None
    assert kept.layers == describe_layers(looked.detector(1))
    for layer in kept.layers:
        name = f"{layer.part}.{layer.name}"
        row = f'<th scope="row">{name}</th>'
        assert row in looked.page
        cells = looked.page[looked.page.index(row) :].partition("</tr>")[0]
        assert f">{layer.params:,}<" in cells
        assert f">{layer.macs:,}<" in cells
        assert f">{kept.milliseconds[name]:.3f}<" in cells


def test_errors_curves_and_pictures_are_those_of_the_detections(looked: Made) -> None:
    look = read_look(looks_folder(looked.folder, looked.view.records[1]))
    assert look is not None
    val = looked.data.val
    judged = [judged_on(val, detect_split(looked.detector(n), val, CPU)) for n in (0, 1)]
    assert look.errors == errors_by_kind(judged[1])
    assert (look.images, look.of, look.baseline) == (len(val.images), len(val.images), 0)
    shown = [at_thresholds(one) for one in judged]
    differ = [val.images[row.image].path.name for row in disagreements(*shown)][:6]
    assert [one.image for one in look.differs] == differ
    worst = [val.images[row.image].path.name for row in mistakes(shown[1])]
    assert [one.image for one in look.worst] == [n for n in worst if n not in differ][:6]
    assert looked.page.count("data:image/jpeg") == len(look.differs) + len(look.worst) > 0
    for kind, cost in look.errors.kinds.items():
        cells = looked.page[looked.page.index(f'<th scope="row">{kind}</th>') :]
        assert f">{cost.count:,}<" in cells.partition("</tr>")[0]


def test_the_page_has_the_stored_figures_and_commands_that_exist(looked: Made) -> None:
    outcome = looked.view.records[1].finished.final
    for name in ("ap", "ap50", "ap_small", "ar_small"):
        assert f">{show(name, outcome.figure(name))}<" in looked.page
    assert f">{show('ap', outcome.metrics.classes['star'].ap)}<" in looked.page
    known = {name for panel in COMMANDS.values() for name in panel}
    model = f"{looked.folder}:1"
    used = [line.split() for line in looked.page.splitlines() if f" {model} " in line]
    assert len(used) == 6
    assert {words[words.index(model) - 1] for words in used} <= known
    assert f"--data {looked.settings.source.place}" in looked.page


def test_nobody_looks_twice_or_later_than_allowed(fresh: Made) -> None:
    why = fresh.look(seconds=0)
    assert all("sparrow report" in words for words in why.values())
    assert why[1] in fresh.page
    assert fresh.look() == {}
    there = {file: file.stat().st_mtime_ns for file in fresh.folder.glob("members/*/*")}
    assert fresh.look(seconds=0) == {}
    assert {f: f.stat().st_mtime_ns for f in fresh.folder.glob("members/*/*")} == there


def test_a_page_says_what_is_missing(fresh: Made) -> None:
    shutil.rmtree(fresh.folder / fresh.view.records[1].folder)
    assert fresh.look() == {1: "its detector is gone"}
    assert "its detector is gone" in fresh.page
    other = replace(fresh, settings=fresh.settings.model_copy(update={"fingerprint": "a-b"}))
    shutil.rmtree(fresh.folder / "members")
    assert "have changed" in other.look()[0]
    assert read_layers(looks_folder(fresh.folder, fresh.view.records[0])) is not None


def test_what_fails_is_said_and_does_not_end_the_report(
    fresh: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("own code")

    monkeypatch.setattr("launch.report.looks.layer_times", fails)
    assert fresh.look()[1] == "it failed (KeyError: 'own code')"
    assert "it failed (KeyError: 'own code')" in fresh.page


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut off", b"no archive"])
def test_damaged_detections_are_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "found.npz").write_bytes(content)
    assert _read_found(tmp_path / "found.npz", "1 f 8") is None


def test_pages_of_trials_that_left_the_front_are_removed(fresh: Made) -> None:
    fresh.look(seconds=0)
    better: TrialRecord = record(2, 0.3, 60)
    view = StudyView.of([*fresh.view.records, better])
    write_pages(fresh.folder, view, fresh.settings, {})
    assert [file.name for file in fresh.folder.glob("members/*.html")] == ["0002.html"]


def test_the_report_links_to_the_pages(looked: Made, tmp_path: Path) -> None:
    view = looked.view
    pages = {one.number: page_of(one) for one in view.front}
    files = write_report(
        tmp_path, view.records, title="A study", facts={}, about=About(pages=pages)
    )
    text = files.html.read_text(encoding="utf-8")
    for page in pages.values():
        assert text.count(f'href="{page}"') == 2
        assert (looked.folder / page).exists()
