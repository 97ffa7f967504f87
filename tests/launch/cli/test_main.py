"""The commands as a user types them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from compress import prune
from detectors.describe import count_params, describe
from detectors.detector import Detector
from launch.cli import main as cli
from launch.cli.describe import description
from launch.cli.terminal import PlainConsole
from searchspace import TrialConfig, papers
from searchspace.compression import Slimming
from searchspace.words import TIMES

TABLES = {(): cli.COMMANDS, ("data",): cli.DATA, ("cache",): cli.CACHE}
COMMANDS = {
    (*group, name): entry
    for group, table in TABLES.items()
    for entries in table.values()
    for name, entry in entries.items()
}
"""Every command, by its words."""

GROUPS = {group for group in TABLES if group}

WITHOUT_TABLE = {
    ("submit",), ("bundle",), ("dashboard",), ("clean",), ("cache", "clear"),
    *(("data", name) for name in ("shapes", "convert", "subset", "preview")),
}  # fmt: skip
"""Commands that print no more than a few lines."""

Run = Callable[..., tuple[int, str]]


def options(command: tuple[str, ...]) -> set[str]:
    """The options that a command knows."""
    found = COMMANDS[command]
    group = cli.app if len(command) == 1 else getattr(cli, command[0])
    loaded = typer.main.get_command(group).get_command(None, command[-1])
    assert loaded.entry == found
    return {o for p in loaded.load().params for o in (*p.opts, *p.secondary_opts)} | {"--plugin"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples_that_it_understands(command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(cli.app, [*command, "--help"])
    assert answer.exit_code == 0
    text, examples = " ".join(answer.output.split()), COMMANDS[command].examples
    assert "Usage" in text
    assert examples or command in GROUPS
    for example in examples:
        if command not in GROUPS:
            assert " ".join(example.split()) in text
        assert example.split()[1 : 1 + len(command)] == list(command)
    if command in GROUPS or COMMANDS[command].passes_on:
        return
    used = {word.split("=")[0] for e in examples for word in e.split() if word.startswith("--")}
    assert used <= options(command)


def test_every_table_can_be_had_as_json() -> None:
    without = {command for command in COMMANDS.keys() - GROUPS if "--json" not in options(command)}
    assert without == WITHOUT_TABLE


def test_describe_shows_layers_levels_and_what_the_paper_reports(run: Run) -> None:
    code, text = run("describe", "mfssd_bn")
    assert code == 0
    for words in (
        "33,713,888", "39,516,012,032", "11,620", "conv1_1", "fuse1.transforms.0",
        "extend1.blocks.5", "classes.0", f"1024{TIMES}38{TIMES}38", "30 to 60", "voc_map 0.812",
    ):  # fmt: skip
        assert words in text
    code, text = run("describe", "ssdmnetv1_s1l0_dualpath19_c")
    assert code == 0
    assert f"1536{TIMES}19{TIMES}19" in text
    assert f"1024{TIMES}19{TIMES}19, 1024{TIMES}10{TIMES}10" in text


@pytest.mark.parametrize(
    "name", ["mdssd512_readingA", "mdssd320_r101", "ssd_vgg16_s1l2_dualpath", "gfl_r50"]
)
def test_no_number_of_a_description_is_cut_in_a_terminal_of_80_columns(name: str) -> None:
    config, written = papers[name].trial.detector, io.StringIO()
    PlainConsole(width=80, file=written).print(description(config, None))
    text, counted = written.getvalue(), describe(config)
    assert "…" not in text
    totals = [line.split() for line in text.splitlines() if " total " in line]
    numbers = (counted.params, counted.macs, sum(counted.priors_per_level))
    assert [word for line in totals for word in line if word[0].isdigit()] == [
        f"{number:,}" for number in numbers
    ]


def test_space_shows_the_tree_and_its_size(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[detector]\ninput_size = { choice = [160, 300] }\nwidth = 0.5\n"
        "[detector.backbone.mobilenet_v1]\neliminated_strides = { choice = [[], [6], [0]] }\n"
        "[detector.head.multibox.priors.scaled]\ncells = 2.0\n"
        "[train.small_objects]\nweight = { low = 0.5, high = 4.0 }\n"
        "[train.copy_paste]\ncopies = 0\n"
        '[compress.pruning]\nkind = { choice = ["none", "slimming"] }\n'
        "[compress.pruning.slimming]\nsparsity = 1e-4\nratio = { choice = [0.3, 0.5] }\n"
        'scope = "global"\nround_to = 1\n[compress.pruning.slimming.distillation]\nkind = "none"\n'
    )
    code, text = run("space", file)
    assert code == 0
    # Two sizes, three sets of strides; unpruned or one of two ratios.
    assert "mine: 18 configurations, not counting 1 real-valued range\n" in text
    for words in ("mobilenet_v1", "eliminated_strides  {[], [6], [0]}", "ratio  {0.3, 0.5}"):
        assert words in text
    assert "width" not in text
    code, text = run("space", "quik")
    assert code == 2
    assert "neither a named space (" in text
    assert "did you mean 'quick'?" in text


def test_describe_reads_a_trial_and_names_near_systems(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "trial.json"
    file.write_text(papers["mdssd300"].trial.model_dump_json())
    code, text = run("describe", file)
    assert code == 0
    assert "44,677,650" in text
    assert "Published" not in text
    code, text = run("describe", "mfsd_bn")
    assert code == 2
    assert "mfssd_bn" in text
    file.write_text("{")
    code, text = run("describe", file)
    assert code == 1
    assert "trial.json" in text


def test_describe_reads_a_pruned_detector(run: Run, tiny: TrialConfig, tmp_path: Path) -> None:
    detector = Detector(tiny.detector)
    prune(detector, Slimming(ratio=0.5))
    detector.save(tmp_path / "compact")
    code, text = run("describe", tmp_path / "compact")
    assert code == 0
    assert f"{count_params(detector):,}" in text
    assert f"{detector.backbone.layer13[1][0].out_channels}{TIMES}2{TIMES}2" in text
    code, text = run("describe", tmp_path)
    assert code == 1
    assert f"give its detector {tmp_path / 'compact'}" in text


def test_check_accepts_a_good_set(run: Run, shapes_folder: Path) -> None:
    code, text = run(
        "data", "check", "--images", shapes_folder / "val",
        "--annotations", shapes_folder / "annotations/instances_val.json",
    )  # fmt: skip
    assert code == 0
    assert "8 images" in text


def cut(text: str) -> str:
    return text[: len(text) // 2]


def reach_outside(text: str) -> str:
    tree = json.loads(text)
    tree["images"][0]["file_name"] = "../secret.jpg"
    return json.dumps(tree)


def negative_and_unknown(text: str) -> str:
    tree = json.loads(text)
    tree["annotations"][0]["bbox"][2] = -4
    tree["annotations"][1]["category_id"] = 77
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (cut, ["instances_val.json", "line"]),
        (reach_outside, ["../secret.jpg"]),
        (negative_and_unknown, ["annotations[0]", "-4", "annotations[1]", "77"]),
        (lambda text: "[]", ["instances_val.json"]),
        (lambda text: "", ["instances_val.json"]),
    ],
)
def test_check_refuses_a_bad_set_without_a_traceback(
    run: Run, shapes_folder: Path, tmp_path: Path,
    damage: Callable[[str], str], expected: list[str],
) -> None:  # fmt: skip
    data = tmp_path / "data"
    shutil.copytree(shapes_folder, data)
    file = data / "annotations" / "instances_val.json"
    file.write_text(damage(file.read_text()))
    code, text = run("data", "check", "--images", data / "val", "--annotations", file)
    assert code == 1
    assert "Traceback" not in text
    for part in expected:
        assert part in text


def test_check_can_drop_bad_entries_and_counts_them(
    run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes_folder, data)
    file = data / "annotations" / "instances_val.json"
    file.write_text(negative_and_unknown(file.read_text()))
    code, text = run("data", "check", "--images", data / "val", "--annotations", file, "--skip-bad")
    assert code == 0
    assert "2 bad entries dropped" in text


def test_check_of_nothing_names_the_folder(run: Run, tmp_path: Path) -> None:
    code, text = run(
        "data", "check", "--images", tmp_path / "gone", "--annotations", tmp_path / "gone.json"
    )
    assert code == 1
    assert "gone.json" in text
    assert "Traceback" not in text


def test_trial_runs_from_a_file(
    run: Run, tiny: TrialConfig, shapes_folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "tiny.json"
    config.write_text(tiny.model_dump_json())
    code, text = run("trial", config, "--data", shapes_folder, "--out", tmp_path / "out")
    assert code == 0
    assert "AP_small" in text
    assert (tmp_path / "out" / "result.json").exists()


@pytest.mark.slow
def test_ladder_prints_a_row_for_each_ratio(
    run: Run, tiny: TrialConfig, shapes_folder: Path, tmp_path: Path
) -> None:
    config, out = tmp_path / "slim.json", tmp_path / "out"
    tree = tiny.model_dump(mode="json")
    tree["compress"]["pruning"] = {"kind": "slimming", "finetune_epochs": 1}
    config.write_text(json.dumps(tree))
    arguments = ("ladder", config, "--data", shapes_folder, "--out", out, "--ratios")
    code, text = run(*arguments, "0.3,0.6")
    assert code == 0
    assert all(words in text for words in ("parent", "30 %", "60 %", "AP_small", str(out)))
    assert (out / "ratio-0.6" / "result.json").exists()
    for ratios in ("0.3,half", "0.3,1.5"):
        code, text = run(*arguments, ratios)
        assert code == 2
        assert f"--ratios: '{ratios}'" in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "config.json"),
        ('{"detectr": {}}', "detectr"),
        ('{"detector": {"backbone": {"kind": "mobilenet_v1", "taps": ["layer99"]}}}', "layer99"),
        ('{"train": {"epochs": "many"}}', "train.epochs"),
    ],
)
def test_trial_refuses_a_bad_configuration(
    run: Run, shapes_folder: Path, tmp_path: Path, text: str, expected: str
) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    code, printed = run("trial", config, "--data", shapes_folder, "--out", tmp_path / "out")
    assert code == 1
    assert expected in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()


def test_search_and_report_end_with_the_front(
    run: Run, space_file: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    code, text = run(
        "search", "--data", shapes_folder, "--space", space_file, "--trials", 2,
        "--driver", "local", "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert code == 0
    assert "AP_small" in text
    assert str(out / "report.html") in text
    before = (out / "front.json").read_text()
    for name in ("front.json", "front.csv", "report.html"):
        (out / name).unlink()
    code, text = run("report", out, "--json")
    assert code == 0
    tree, end = json.JSONDecoder().raw_decode(text)
    assert text[end:].strip() == f"Report: {out / 'report.html'}"  # on standard error
    assert (out / "front.json").read_text() == before
    assert (out / "report.html").exists()
    written = json.loads(before)
    assert [m["figures"] for m in tree["front"]] == [m["figures"] for m in written["front"]]
    assert tree["front"][0]["folder"] == str(out / written["front"][0]["folder"])
    code, text = run("search", "--resume", out, "--driver", "local", "--json")
    assert code == 0
    assert json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0] == tree


@pytest.mark.parametrize(
    ("arguments", "expected", "status"),
    [
        (("search", "--data", "gone", "--out", "x"), "gone", 1),
        (("search", "--space", "gone", "--data", "gone"), "gone", 1),
        (("describe", "gone.json"), "gone.json: neither a file nor", 1),
        (("describe", "mfsd"), "the nearest one is mfssd", 2),
        (("search", "--resume", "gone"), "there is no study", 1),
        (("search", "--resume", "gone", "--data", "gone"), "there is no study", 1),
        (("search", "--resume", "gone", "--val-share", "0.2"), "--val-share was set when", 2),
        (("reproduce", "fssd-2", "--resume", "gone"), "the study knows its table; leave it out", 2),
        (("search", "--resume", "gone", "--sampler", "tpe"), "--sampler was set when", 2),
        (("search", "--resume", "gone", "--no-papers"), "--papers was set when", 2),
        (("search", "--resume", "gone", "--max-params", "1M"), "--max-params was set when", 2),
        (("search", "--resume", "gone", "--seed", "0"), "--seed was set when", 2),
        (("search", "--train-images", "gone"), "--val-annotations", 2),
        (("trial", "gone.json", "--data", "gone"), "gone.json", 1),
        (("report", "gone"), "there is no study", 1),
    ],
)
def test_what_a_user_can_get_wrong_ends_in_a_message(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], expected: str, status: int,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, text = run(*arguments)
    assert code == status
    assert expected in text
    assert "Traceback" not in text


def test_an_unknown_objective_is_refused_with_the_nearest(run: Run, shapes_folder: Path) -> None:
    code, text = run("search", "--data", shapes_folder, "--objective", "ap-small")
    assert code == 2
    assert "'ap-small': the nearest one is ap_small" in text


def test_describe_as_json(run: Run) -> None:
    code, text = run("describe", "mfssd", "--json")
    tree = json.loads(text)
    assert (code, tree["input_size"]) == (0, [300, 300])
    assert sum(layer["params"] for layer in tree["layers"]) == tree["params"]


def test_the_version_is_shown_and_every_command_completes_in_a_shell() -> None:
    runner = CliRunner()
    assert runner.invoke(cli.app, ["--version"]).output.startswith("sparrow ")

    def completed(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(["sparrow", *words]), "COMP_CWORD": str(len(words))}
        environment = {"_SPARROW_COMPLETE": "complete_bash", **asked}
        return runner.invoke(cli.app, prog_name="sparrow", env=environment).output.split()

    assert completed("trials", "--o") == ["--out"]
    assert set(completed("data", "")) == {name for *group, name in COMMANDS if group == ["data"]}
    for command in COMMANDS.keys() - GROUPS:
        assert completed(*command[:-1], command[-1][:-1])
        assert {o for o in options(command) if o.startswith("--")} - {"--plugin"} <= {
            "--help", *completed(*command, "--")
        }, command  # fmt: skip
