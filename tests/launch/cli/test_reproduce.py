"""`sparrow reproduce`: tables, shares of epochs, order, and the comparison with the papers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from launch.cli import main as cli
from launch.searches import report
from launch.searches.given import table_systems
from launch.study.failures import Failure
from launch.study.opening import open_study
from launch.study.settings import read_settings
from launch.trial.result import TrialResult
from searchspace import TrialConfig, papers
from searchspace.errors import InputError
from searchspace.given import GivenTrials
from searchspace.papers.tables import TABLES
from tests.launch.made_up import result, settings_for

Run = Callable[..., tuple[int, str]]


def test_without_a_table_all_are_listed_with_their_rows_and_needs(run: Run) -> None:
    code, text = run("reproduce")
    assert code == 0
    for name, table in TABLES.items():
        assert f"{name}: {table.title}" in text
        assert f"rows: {', '.join(table.systems)}" in text
    assert "also trains ssd300_vgg16" in text
    code, text = run("reproduce", "--json")
    listed = {table["name"]: table for table in json.loads(text)}
    assert list(listed) == list(TABLES)
    assert listed["mfssd-2"]["rows"]["mfssd"] == {"voc_map": 0.804}
    assert listed["fssd-2"]["needed"] == ["ssd300_vgg16"]


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("fsd-2",), 2, "no such table of a paper; the nearest one is fssd-2"),
        (("mfssd-2",), 2, "give --data"),
        (("mfssd-2", "--rows", "mfsd"), 2, "--rows: mfsd: mfssd-2 has no such row; the nearest"),
        (("mfssd-2", "--set", "train.epoch=1"), 2, "--set: there is no field train.epoch"),
        (("mfssd-2", "--set", "train.epochs=0"), 2, "1 or more (in ssd300_vgg16_11620)"),
        (("mfssd-2", "--weights", "none", "--set", "train.weights=x"), 2, "--weights: it replaces"),
        (("mfssd-2", "--epochs-share", "0"), 2, "--epochs-share"),
        (("fssd-3", "--rows", "fssd300_from_coco"), 2, "`sparrow trial fssd300@coco --data"),
        (("--retry-failed",), 2, "it needs --resume"),
        (("mfssd-2", "--resume", "runs"), 2, "the study knows its table"),
        (("mfssd-2", "--halving"), 2, "No such option"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_at_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], status: int, expected: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, text = run("reproduce", *arguments)
    assert (code, expected in text) == (status, True), text
    assert list(tmp_path.iterdir()) == []


def test_a_share_of_the_epochs_keeps_every_recipe_valid() -> None:
    for name, system in papers.items():
        for share in (1e-4, 0.01, 0.5):
            short = system.trial.shortened(share)
            assert short.train.epochs == max(1, round(system.trial.train.epochs * share)), name
        assert system.trial.shortened(1.0) == system.trial, name
    train = papers["yolox_tiny"].trial.shortened(0.1).train
    assert (train.epochs, train.plain_epochs) == (30, 2)
    assert train.warmup_epochs == pytest.approx(0.5)
    assert papers["yolox_tiny"].trial.shortened(1e-4).train.plain_epochs == 0
    gfl = papers["gfl_r50"].trial.shortened(0.5).train
    assert (gfl.epochs, gfl.warmup_steps) == (6, 250)
    pruned = papers["mfssd_pruned"].trial.shortened(1e-4).compress.pruning
    assert pruned.finetune_epochs == getattr(pruned, "rounds", 1)


def test_rows_come_with_what_they_need_before_them() -> None:
    names = list(table_systems("thesis-gfl", ("gfl_r50_distil_1",)))
    assert names == ["gfl_r101_teacher", "gfl_r50_distil_1"]
    names = list(table_systems("thesis-6", ()))
    assert names.index("yolox_s_teacher") < names.index("yolox_tiny_distilled")
    with pytest.raises(InputError, match="no such row"):
        table_systems("thesis-6", ("gfl_r50",))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A study of three rows of a table: one finished, one failed, one not begun."""
    names = ("ssd300_vgg16_11620", "mfssd", "mfssd_bn")
    configs = {name: papers[name].trial.shortened(0.01) for name in names}
    given = GivenTrials.of("mfssd-2: a table", configs, "mfssd-2")
    folder = tmp_path / "study"
    with open_study(folder, settings_for(given, trials=3, sampler="random")) as study:
        record = study.propose()
        metrics = result(record).dense.metrics.model_copy(update={"voc_map_07": 0.5})
        dense = result(record).dense.model_copy(update={"metrics": metrics})
        study.end(record.number, result(record).model_copy(update={"dense": dense}))
        failing = study.propose()
        study.end(failing.number, Failure("out of memory", "design"))
    return folder


def test_the_report_shows_published_figures_beside_ours(stored: Path, run: Run) -> None:
    report(stored)
    rows = list(csv.DictReader((stored / "published.csv").read_text().splitlines()))
    assert [(r["system"], r["state"]) for r in rows] == [
        ("ssd300_vgg16_11620", "finished"), ("mfssd", "failed"), ("mfssd_bn", ""),
    ]  # fmt: skip
    assert [r["voc_map_published"] for r in rows] == ["0.777", "0.804", "0.812"]
    assert [r["voc_map_ours"] for r in rows] == ["0.5", "", ""]
    tree = json.loads((stored / "published.json").read_text())
    assert tree["title"] == "mfssd-2: SSD, FSSD and MFSSD on VOC 2007 test"
    assert tree["rows"][0]["ours"] == {"voc_map": 0.5}
    page = (stored / "report.html").read_text()
    for words in ("mfssd-2: SSD, FSSD", "0.777", "trial 1 failed: out of memory", "not begun"):
        assert words in page


def test_a_table_runs_its_rows_and_ends_with_the_comparison(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def attempt(config: TrialConfig, *rest: object, **more: object) -> TrialResult:
        ran.append(config)
        return result(SimpleNamespace(config=config, number=0))

    monkeypatch.setattr("launch.drivers.local.attempt", attempt)
    out = tmp_path / "out"
    answer = CliRunner().invoke(
        cli.app,
        ["reproduce", "thesis-6", "--rows", "yolox_tiny_distilled,yolox_tiny_baseline",
         "--epochs-share", "0.01", "--set", "seed=3", "--data", str(shapes_folder), "--json",
         "--driver", "local", "--device", "cpu", "--out", str(out)],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert [(c.train.epochs, c.seed, c.detector.num_classes) for c in ran] == [(3, 3, 4)] * 3
    tree = json.loads(answer.stdout)
    names = [row["system"] for row in tree["rows"]]
    assert names == ["yolox_tiny_baseline", "yolox_s_teacher", "yolox_tiny_distilled"]
    assert tree["rows"][0]["published"]["ap_small"] == 0.164
    assert tree["rows"][0]["ours"]["ap_small"] == 0.1
    assert "trial 0: AP_small 0.100" in answer.stderr
    assert "yolox_s_teacher: " in answer.stderr
    assert read_settings(out).title.startswith("thesis-6: YOLOX")
    again = CliRunner().invoke(cli.app, ["reproduce", "--resume", str(out), "--driver", "local"])
    assert again.exit_code == 0, again.output
    assert "0.164" in again.stdout
    lines = again.stdout.splitlines()
    assert any(line.startswith("First line: as published") for line in lines), again.stdout
    assert {"AP_", "AR_", "small", "medium", "large"} <= set(again.stdout.split()), again.stdout
    assert len(ran) == 3


def test_an_interrupted_table_is_resumed_by_its_own_command(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.drivers.local.attempt", attempt)
    out = tmp_path / "out"
    command = ("reproduce", "stride-2", "--rows", "ssdmnetv1", "--data", str(shapes_folder))
    more = ("--weights", "none", "--driver", "local", "--device", "cpu", "--json")
    answer = CliRunner().invoke(cli.app, [*command, *more, "--out", str(out)])
    assert (answer.exit_code, answer.stdout) == (130, ""), answer.output
    assert f"Go on with: sparrow reproduce --resume {out}" in answer.stderr
