"""Every numeric option against numbers that nothing can be done with, every path against what is
no such path: refused at once, with status 2 and the option's name, on the command line; and by the
same bounds from Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
import typer

from detectors.data.readers import DataSource
from detectors.data.shapes import ShapesConfig
from launch.cli import data as cli_data
from launch.cli import main as cli
from launch.cli.eval import eval_command
from launch.cli.export import export_command
from launch.cli.fps import fps_command
from launch.cli.ladder import ladder_command
from launch.cli.predict import predict_command
from launch.cli.preview import preview_command
from launch.cli.reproduce import reproduce_command
from launch.cli.search import search_command
from launch.cli.train import train_command
from launch.cli.trial import trial_command
from launch.constraints import Constraint, bound_fault
from launch.figures import FIGURES
from launch.searches import resume, search
from launch.study.opening import open_study
from launch.study.recovery import check_new
from launch.study.settings import settings_of
from launch.trial import ladder as ladders
from launch.trial.data import TrialData
from launch.trial.errors import SettingsError
from launch.trial.run import run_trial
from searchspace import Space, TrialConfig
from searchspace.errors import InputError
from tests.launch.made_up import result

Run = Callable[..., tuple[int, str]]

COMMANDS = {
    "search": ("search",),
    "trial": ("trial", "t.json"),
    "train": ("train", "t.json"),
    "ladder": ("ladder", "t.json", "--ratios", "0.3"),
    "reproduce": ("reproduce", "fssd-2"),
    "fps": ("fps", "ssdmnetv1"),
    "export": ("export", "detector", "--to", "onnx"),
    "eval": ("eval", "detector", "--data", "d"),
    "predict": ("predict", "detector", "--to", "voc", "--out", "o", "--data", "d"),
    "data shapes": ("data", "shapes", "new"),
    "data check": ("data", "check", "--images", "a", "--annotations", "b"),
    "data subset": ("data", "subset", "--annotations", "b", "--classes", "c", "--out", "o"),
    "data preview": ("data", "preview", "--data", "d"),
}
"""A command line of each command, to which an option is added."""

TEXTS = {"ratios", "rows", "ladder", "rungs", "classes", "to", "precision", "runtime", "objective"}
"""Options whose text is read by the command itself."""


FUNCTIONS = {
    "search": search_command,
    "trial": trial_command,
    "train": train_command,
    "ladder": ladder_command,
    "reproduce": reproduce_command,
    "fps": fps_command,
    "export": export_command,
    "eval": eval_command,
    "predict": predict_command,
    "data shapes": cli_data.shapes_command,
    "data check": cli_data.check_command,
    "data subset": cli_data.subset_command,
    "data preview": preview_command,
}


def options() -> Iterator[tuple[str, str, str]]:
    """Command, option and kind (`number` or `text`) of every option that takes a value."""
    for command, function in FUNCTIONS.items():
        for name, hint in get_type_hints(function, include_extras=True).items():
            info = getattr(hint, "__metadata__", ())
            if not any(isinstance(mark, typer.models.OptionInfo) for mark in info):
                continue
            [mark] = (mark for mark in info if isinstance(mark, typer.models.OptionInfo))
            usual = f"--{name.replace('_', '-')}"
            option = mark.default if isinstance(mark.default, str) else usual
            types = get_args(hint.__origin__) or (hint.__origin__,)
            if bool not in types:
                yield command, option, "number" if {int, float} & set(types) else "text"


OPTIONS = list(options())
NUMBERS = [(command, option) for command, option, kind in OPTIONS if kind == "number"]
OTHERS = [
    (command, option)
    for command, option, kind in OPTIONS
    if kind == "text" and option.lstrip("-") not in TEXTS
]

ZERO_ALLOWED = {
    "--seed", "--gpus-per-trial", "--min-fps", "--copies", "--probability", "--mosaic",
    "--cache-gb", "--threshold",
    *(f"--{row.bound.replace('_', '-')}" for row in FIGURES.values() if row.may_be_zero),
}  # fmt: skip


@pytest.fixture
def parse(capsys: pytest.CaptureFixture[str]) -> Run:
    """As `run`, of one command that is built once: what parses fails later, and not with 2."""
    command = typer.main.get_command(cli.app)

    def parse(*arguments: object) -> tuple[int, str]:
        code = 1
        try:
            command.main(args=[str(argument) for argument in arguments], prog_name="sparrow")
        except SystemExit as end:
            code = int(end.code or 0)
        except (ValueError, OSError):
            pass
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return parse


def test_the_options_are_found() -> None:
    assert ("search", "--minutes") in NUMBERS
    assert ("search", "--max-params") in NUMBERS
    assert ("data shapes", "--size") in NUMBERS
    assert ("data preview", "--mosaic") in NUMBERS
    assert ("search", "--out") in OTHERS
    assert ("trial", "--device") in OTHERS
    assert len(NUMBERS) > 30


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e400", "9" * 400, ""])
def test_no_option_takes_a_number_that_means_nothing(
    parse: Run, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, option in NUMBERS:
        code, text = parse(*COMMANDS[command], f"{option}={value}")
        assert code == 2, (command, option, value, text)
        assert option in text
        assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_zero_is_taken_where_it_means_something_alone(
    parse: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, option in NUMBERS:
        if option not in ZERO_ALLOWED:
            code, text = parse(*COMMANDS[command], f"{option}=0")
            assert code == 2, (command, option, text)
            assert option in text


@pytest.mark.parametrize("value", ["", "  "])
def test_no_option_takes_an_empty_text(
    parse: Run, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, option in OTHERS:
        code, text = parse(*COMMANDS[command], f"{option}={value}")
        assert code == 2, (command, option, text)
        assert option in text
    for arguments in (
        ("trial", value, "--data", "d"), ("train", value), ("ladder", value, "--ratios", "0.3"),
        ("describe", value), ("space", value), ("fps", value), ("export", value, "--to", "onnx"),
        ("report", value), ("data", "shapes", value),
    ):  # fmt: skip
        code, text = parse(*arguments)
        assert code == 2, (arguments, text)
        assert "empty" in text
    assert list(tmp_path.iterdir()) == []


FOLDERS = ("--train-images", "--val-images", "--images", "--resume")
FILES = (
    ("data subset", "--annotations"),
    ("predict", "--annotations"),
    ("data preview", "--config"),
)


def test_a_file_is_not_a_folder_and_a_folder_not_a_file(
    parse: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder").mkdir()
    for command, option in OTHERS:
        if option in FOLDERS:
            code, text = parse(*COMMANDS[command], option, "file")
            assert (code, "is a file; give a folder" in text) == (2, True), (command, option, text)
        if (command, option) in FILES:
            code, text = parse(*COMMANDS[command], option, "folder")
            assert (code, "is a folder; give a file" in text) == (2, True), (command, option, text)
    for command in ("search", "trial", "train", "ladder"):
        code, text = parse(*COMMANDS[command], "--out", "file")
        assert (code, "is a file; give a folder" in text) == (2, True), (command, text)
        code, text = parse(*COMMANDS[command], "--out", "file/below")
        assert (code, "is below" in text) == (2, True), (command, text)
    for command in ("data subset", "data preview", "export"):
        code, text = parse(*COMMANDS[command], "--out", "folder")
        assert (code, "is a folder; give a file" in text) == (2, True), (command, text)


READ_ONLY = "/proc/mine"
"""A path at which nobody, root included, can write."""


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(
    parse: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    writing = [command for command, option in OTHERS if option == "--out"]
    assert {"search", "trial", "train", "ladder", "reproduce", "eval", "export"} <= {*writing}
    for command in writing:
        code, text = parse(*COMMANDS[command], "--out", READ_ONLY)
        words = f"{READ_ONLY}: nothing can be written in /proc"
        assert (code, words in " ".join(text.split())) == (2, True), (command, text)
    with pytest.raises(InputError, match="nothing can be written in /proc"):
        check_new(Path(READ_ONLY))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("search", "--min-ap", "7"), "ap is a fraction; give a number from 0 to 1, such as 0.07"),
        (("search", "--max-params", "0"), "give a number above 0"),
        (("search", "--max-latency-ms", "0"), "latency_ms is always above 0"),
        (("search", "--ladder", ""), "--ladder"),
        (("search", "--ladder", "0.3,nan"), "--ladder"),
        (("search", "--halving", "--rungs", ""), "--rungs"),
        (("search", "--halving", "--rungs", "4,2"), "ascending epochs"),
        (("search", "--objective", ""), "the nearest one is"),
        (("ladder", "t.json", "--ratios", "0.3,1.5", "--data", "d"), "between 0 and 1"),
        (("ladder", "t.json", "--ratios", "0.3,0.3", "--data", "d"), "each once"),
        (("fps", "ssdmnetv1", "--precision", "half"), "precision"),
        (("fps", "ssdmnetv1", "--runtime", "fast"), "runtime"),
        (("export", "d", "--to", "coreml"), "coreml"),
        (("export", "d", "--to", "onnx", "--precision", "half"), "half"),
        (("search", "--train-images", "x"), "--val-annotations"),
        (("trial", "t.json"), "give --data"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_rejected_with_the_possible_ones(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], expected: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("t.json").write_text("{}")
    code, text = run(*arguments)
    assert code == 2, text
    assert expected in text
    assert "https" not in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("trials", v) for v in (0, -1, 10**9)),
        *(("seed", v) for v in (-1, 2**40)),
        *(("minutes", v) for v in (0, -1, math.inf, math.nan, 1e300)),
        *(("device_hours", v) for v in (0, -1, math.inf, math.nan, 1e300)),
        ("device", ""),
        ("measure_on", ""),
        *(("ladder", (v,)) for v in (0.0, 1.0, -0.5, math.nan)),
        ("objectives", ()),
        ("objectives", ("fps", "speed")),
        ("sampler", "best"),
    ],
)
def test_settings_hold_the_same_bounds(field: str, value: Any) -> None:
    paths, space = {"images": "x", "annotations": "y"}, {"name": "any", "domains": {}}
    fields = {"space": space, "train": paths, "val": paths, "fingerprint": "f", "trials": 2}
    settings_of(**fields)
    with pytest.raises(SettingsError, match=field) as failure:
        settings_of(**{**fields, field: value})
    assert "https" not in str(failure.value)
    assert "Input should" not in str(failure.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"out": ""}, "out is empty"),
        ({"data": ""}, "is not a path"),
        ({"trials": 0}, "trials"),
        ({"minutes": math.nan}, "minutes"),
        ({"cpus_per_trial": 0}, "cpus_per_trial"),
        ({"cpus_per_trial": math.nan}, "cpus_per_trial"),
        ({"gpus_per_trial": -1}, "gpus_per_trial"),
        ({"address": ""}, "address: it is empty"),
        ({"measure_on": "edge"}, "only the driver ray"),
        ({"stopped_as": "rescaled"}, "without a rule"),
    ],
)
def test_search_refuses_the_same_from_python(
    space: Space, shapes_folder: Path, tmp_path: Path, arguments: dict[str, Any], expected: str
) -> None:
    given = {"data": shapes_folder, "out": tmp_path / "study", "driver": "local"} | arguments
    with pytest.raises(ValueError, match=expected):
        search(space, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_and_a_ladder_refuse_an_empty_folder(tiny: TrialConfig, shapes: TrialData) -> None:
    with pytest.raises(SettingsError, match="out is empty"):
        run_trial(tiny, shapes, "")
    with pytest.raises(ValueError, match="pruning"):
        ladders.ladder(tiny, (0.3,), shapes, "")


@pytest.mark.parametrize(
    ("figure", "bound", "kept"),
    [
        ("ap", 0.5, True), ("ap", 0, True), ("ap", 7, False), ("ar_small", -0.1, False),
        ("fps", 0, False), ("fps", 30, True), ("memory_mb", 0, True), ("params", -1, False),
        ("energy_mj", 0, False),
    ],
)  # fmt: skip
def test_a_bound_that_nothing_can_keep_or_break_is_none(
    figure: Any, bound: float, kept: bool
) -> None:
    assert (bound_fault(figure, bound) is None) == kept
    if not kept:
        with pytest.raises(ValueError, match=figure):
            Constraint(figure=figure, sense="min", bound=bound)


def test_a_study_is_not_resumed_with_fewer_trials_than_it_holds(
    space: Space, shapes: TrialData, shapes_folder: Path, tmp_path: Path
) -> None:
    source = DataSource.from_folder(shapes_folder)
    settings = settings_of(
        space=space.dump(),
        train=source.train,
        val=source.val,
        fingerprint=f"{shapes.train.fingerprint}-{shapes.val.fingerprint}",
        trials=6,
        device="cpu",
    )
    with open_study(tmp_path, settings) as study:
        for _ in range(2):
            record = study.propose()
            study.end(record.number, result(record))
    before = (tmp_path / "study.json").read_text()
    for trials in (-3, 0, 1):
        with pytest.raises(SettingsError, match="trials"):
            resume(tmp_path, trials=trials, driver="local")
    with pytest.raises(SettingsError, match="holds 2 already"):
        resume(tmp_path, trials=1, driver="local")
    assert (tmp_path / "study.json").read_text() == before


def test_a_study_lies_under_runs_wherever_its_space_lies(
    run: Run, space_file: Path, shapes_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    seen, front = [], SimpleNamespace(members=[None])
    monkeypatch.setattr(
        "launch.cli.run_search.search", lambda space, data, out, **more: seen.append(out) or front
    )
    monkeypatch.setattr("launch.cli.run_search.print_front", lambda *_: None)
    run("search", "--space", space_file.resolve(), "--data", shapes_folder)
    assert seen[0].parent == Path("runs")
    assert seen[0].name.startswith("tiny-")


def test_generated_sets_have_the_same_bounds_from_python() -> None:
    for field in ("train_images", "val_images", "size"):
        with pytest.raises(ValueError, match=field):
            ShapesConfig(**{field: 0})
