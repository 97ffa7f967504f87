"""Data with one class, two and eighty, from the command to the report."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.detector import Detector
from detectors.runtimes import load_detector
from launch.report import load_front
from launch.searches import search
from launch.study.opening import read_records
from launch.trial.result import TrialResult
from searchspace import CompressConfig, Space, TrialConfig
from searchspace.compression import Int8, Slimming
from searchspace.distillation import ChannelWise
from tests.classes import with_classes
from tests.detectors.deployable import needs_extra

Run = Callable[..., tuple[int, str]]
NUMBERS = [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 80))]


@needs_extra
@pytest.mark.parametrize("classes", NUMBERS)
def test_a_trial_is_trained_pruned_taught_and_measured_in_onnx(
    run: Run, tiny: TrialConfig, shapes_folder: Path, tmp_path: Path, classes: int
) -> None:
    data = with_classes(shapes_folder, tmp_path / "data", classes)
    slim = Slimming(sparsity=1e-4, ratio=0.4, finetune_epochs=1, distillation=ChannelWise())
    config = tiny.changed(
        detector=tiny.detector.changed(num_classes=classes),
        compress=CompressConfig(pruning=slim),
        measure=tiny.measure.model_copy(update={"runtime": "onnxruntime"}),
    )
    (tmp_path / "trial.json").write_text(config.model_dump_json())
    out = tmp_path / "out"
    code, text = run("trial", tmp_path / "trial.json", "--data", data, "--out", out)
    assert code == 0, text
    assert re.search(r"dense\b.*: AP \d.*FPS", text)
    assert re.search(r"pruned\b.*: AP \d.*FPS", text)
    result = TrialResult.model_validate_json((out / "result.json").read_text())
    names = [f"kind {k + 1}" for k in range(classes)]
    assert list(result.final.metrics.classes) == names
    assert result.final.cost.runtime == "onnxruntime"
    assert result.quantised is None
    assert Detector.load(out / "compact").classes == tuple(names)


@pytest.mark.slow
@needs_extra
@pytest.mark.parametrize(
    "runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("classes", NUMBERS)
def test_an_int8_trial_reports_the_cost_in_accuracy(
    run: Run, tiny: TrialConfig, shapes_folder: Path, tmp_path: Path, classes: int, runtime: str
) -> None:
    data = with_classes(shapes_folder, tmp_path / "data", classes)
    int8 = Int8(runtime=runtime, images=4)
    config = tiny.changed(
        detector=tiny.detector.changed(num_classes=classes),
        compress=CompressConfig(quantisation=int8),
    )
    (tmp_path / "trial.json").write_text(config.model_dump_json())
    out = tmp_path / "out"
    code, text = run("trial", tmp_path / "trial.json", "--data", data, "--out", out)
    assert code == 0, text
    result = TrialResult.model_validate_json((out / "result.json").read_text())
    assert result.quantised.images == 8
    assert f"int8: {result.quantised}" in text
    assert ("warning: the int8 detector finds different objects" in text) == result.quantised.poor
    assert load_detector(out / "int8").form.precision == "int8"


@pytest.mark.slow
@needs_extra
@pytest.mark.parametrize("classes", NUMBERS)
def test_a_search_ends_with_a_front_and_a_report(
    space: Space, shapes_folder: Path, tmp_path: Path, classes: int
) -> None:
    data = with_classes(shapes_folder, tmp_path / "data", classes)
    fixed = space.fix("measure.runtime", "onnxruntime").fix("detector.input_size", 64)
    out = tmp_path / "study"
    search(fixed, data, out, trials=2, driver="local", device="cpu")
    records = read_records(out)
    assert [record.state for record in records] == ["finished"] * 2
    assert {record.config.detector.num_classes for record in records} == {classes}
    front = load_front(out)
    assert front.members
    assert all(
        Detector.load(member.detector).config.num_classes == classes for member in front.members
    )
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert "2 trials finished" in page
