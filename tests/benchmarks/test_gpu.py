"""The GPU benchmark in its brief form on the CPU: all parts, and what becomes of one that fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.agreement import Seen, agreement, difference
from benchmarks.gpu.data import data, evaluation
from benchmarks.gpu.fps import fps
from benchmarks.gpu.loops import loops
from benchmarks.gpu.setting import ERROR, TABLE, Part, Row, Setting, tried
from benchmarks.gpu.steps import steps
from benchmarks.gpu.tables import markdown
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.quiet import threads
from detectors.runtimes import available

CPU = torch.device("cpu")
FEW = ShapesConfig(train_images=8, val_images=6, size=128)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_shapes(tmp_path_factory.mktemp("gpu") / "shapes", FEW)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def run(part: Part, shapes: Path, seconds: float = 600) -> dict[str, list[Row]]:
    """The rows of a part by table, as they come out of the JSON file."""
    setting = Setting(CPU, shapes, shapes.parent, brief=True, until=time.monotonic() + seconds)
    found: dict[str, list[Row]] = {}
    for row in part(setting):
        found.setdefault(row[TABLE], []).append(json.loads(json.dumps(row)))
    assert [row[ERROR] for rows in found.values() for row in rows if ERROR in row] == []
    return found


@pytest.mark.slow
def test_training_steps(shapes: Path) -> None:
    (rows,) = run(steps, shapes).values()
    assert [row["precision"] for row in rows] == ["auto", "float32"]
    for row in rows:
        assert row["step images/s"] == pytest.approx(1000 * row["batch"] / row["step ms"])
    profile = rows[0]["profile"]
    assert "aten::convolution_backward" in profile["ms_a_step"]
    assert 0.05 < profile["device_share"] <= 1.05
    assert "aten::_local_scalar_dense" not in profile["waits_a_step"]


@pytest.mark.slow
def test_training_from_files(shapes: Path) -> None:
    rows, (ours,) = run(loops, shapes).values()
    *trained, ratios = rows
    assert [row["trained by"].split(",")[0] for row in trained] == [
        "torchvision", "Sparrow", "Sparrow",
    ]  # fmt: skip
    for row in trained:
        assert 0 < row["least"] <= row["images/s"] <= row["most"]
    assert ratios["float32, ratio"] > 0
    assert sum(v for k, v in ours.items() if k.endswith(", parts")) == pytest.approx(1)
    assert 0 <= ours["waiting"] < 1
    assert 0 < ours["of the peak"] < 1


def test_frames_per_second(shapes: Path) -> None:
    (rows,) = run(fps, shapes).values()
    measured = {(row["form"], row["batch"]): row for row in rows if "FPS" in row}
    assert set(measured) == {
        (f"{runtime} float32", batch) for runtime in ("eager", "channels_last") for batch in (1, 2)
    }
    for row in measured.values():
        assert row["network FPS"] > 0
        assert row["built in s"] > 0
    notes = {row["form"]: row["note"] for row in rows if "note" in row}
    assert notes["cudagraphs float16"] == "skipped with --brief"
    assert len(notes) + 2 == len(available(CPU))


def test_the_way_of_the_data(shapes: Path) -> None:
    found = run(data, shapes)
    assert found["One process, images/s"][0]["what"] == "decode"
    assert all(row["rate"] > 0 for row in found["One process, images/s"])
    ((evaluated,),) = run(evaluation, shapes).values()
    assert evaluated["images"] == FEW.val_images
    assert evaluated["detections"] > 0
    assert {row["processes"] for row in found["Loader"]} == {0, 2}
    assert all(row["images/s"] > 0 for row in found["Loader"])


def test_a_device_agrees_with_itself(shapes: Path) -> None:
    detections, losses = run(agreement, shapes).values()
    exact, *others = detections
    assert exact["form"] == "eager float32 without TF32"
    assert exact["the same"] == exact["detections"] > 0
    assert exact["logits"] == exact["pixels"] == 0
    rounded = next(row for row in others if row["form"] == "eager bfloat16")
    assert 1e-3 < rounded["logits"] < 1
    assert all(row["largest relative difference"] == 0 for row in losses)


def test_what_has_no_time_left_is_listed(shapes: Path) -> None:
    for row in (row for rows in run(steps, shapes, seconds=0).values() for row in rows):
        assert row["note"] == "not run: the part's time was over"


def test_a_case_that_fails_keeps_its_traceback() -> None:
    def fail() -> Row:
        raise ValueError("no such kernel")

    row = tried({TABLE: "Steps", "system": "a"}, fail)
    assert "in fail" in row[ERROR]
    part = {"seconds": 1.0, ERROR: None, "rows": [row, {TABLE: "Steps", "system": "b", "ms": 2.0}]}
    shown = markdown({"gpu": "none"}, {"steps": part}).splitlines()
    assert "| system | ms | note |" in shown
    assert "| a |  | ValueError: no such kernel |" in shown
    assert "| b | 2 |  |" in shown


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out")])
    assert command.main() == 1
    said = capsys.readouterr().out
    assert said == "torch finds no GPU: give --device cpu to run on the CPU.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "limit", "why"),
    [
        ("import time; time.sleep(60)", 0.1, "its 0 s were over"),
        ("raise SystemExit(3)", 60, "its process ended with status 3"),
        ("pass", 60, None),
    ],
)
def test_a_part_that_hangs_or_dies_is_ended(code: str, limit: float, why: str | None) -> None:
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    assert command.ended(process, limit) == why
    assert process.returncode is not None
    assert time.monotonic() - start < 30


def test_a_difference_is_found() -> None:
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    one = {"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.5])}
    moved = one | {"boxes": box + 0.01, "scores": torch.tensor([0.4])}
    other = one | {"labels": torch.tensor([2])}
    raw = torch.zeros(1, 3, 4)
    reference = Seen(raw, raw, [one])
    near = difference(reference, Seen(raw + 0.25, raw, [moved]))
    assert near["the same"] == 1
    assert near["coded boxes"] == 0.25
    assert near["scores"] == pytest.approx(0.1)
    assert near["pixels"] == pytest.approx(0.01, rel=1e-3)
    assert difference(reference, Seen(raw, raw, [other]))["the same"] == 0


@pytest.mark.slow
def test_the_command_writes_json_and_markdown(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--device", "cpu", "--brief", "--minutes", "60", "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = json.loads((out / "results.json").read_text())
    assert results["machine"]["torch"] == torch.__version__
    assert list(results["parts"]) == list(command.PARTS)
    first, trial = results["parts"]["search"]["rows"]
    assert (first["exit status"], first["finished"], first["all figures there"]) == (0, 1, True)
    assert trial["ap_small"] is not None
    assert (out / "results.md").read_text().rstrip() in ended.stdout


@pytest.mark.slow
def test_a_part_that_fails_stops_no_other(tmp_path: Path) -> None:
    out, parts = tmp_path / "out", ("agreement", "data")
    wanted = [word for part in parts for word in ("--part", part)]
    options = ["--device", "cpu", "--brief", "--out", str(out), "--data", str(tmp_path / "none")]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *options, *wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    found = json.loads((out / "results.json").read_text())["parts"]
    assert list(found) == list(parts)
    for part in found.values():
        assert 'File "' in part[ERROR]  # The end of a traceback: what came to the terminal is cut.
        assert "its process ended with status 1" in part[ERROR]
