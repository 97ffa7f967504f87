"""The parts of the throughput benchmark that need no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.throughput.__main__ import held, ratios_of
from benchmarks.throughput.cases import SYSTEMS, cases, measured
from benchmarks.throughput.others import metrics_alone
from benchmarks.throughput.page import page
from benchmarks.throughput.theirs import NEAR, Samples, together
from benchmarks.throughput.turns import in_turns, ratio, repeated
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes

CPU = torch.device("cpu")


def test_a_split_is_repeated_with_ids_of_its_own(tmp_path: Path) -> None:
    few = ShapesConfig(train_images=1, val_images=2, size=96)
    folder = generate_shapes(tmp_path / "shapes", few)
    split = read_source(DataSource.from_folder(folder))[1]
    count = len(split.images)
    found = repeated(split, 2 * count + 1)
    ids = [a.id for items in found.annotations.values() for a in items]
    assert len({image.id for image in found.images}) == 2 * count + 1
    assert len(ids) == len(set(ids))
    assert found.images[count].path == split.images[0].path
    figures = metrics_alone(found, rounds=1)
    assert figures["images"] == 2 * count + 1
    assert figures["ratio"] == pytest.approx(figures["pycocotools"] / figures["hotcoco"])
    images, targets = together([Samples(found)[0], Samples(found)[count]])
    assert images[0].dtype == torch.float32
    assert all(len(one["boxes"]) == len(one["labels"]) for one in targets)


def test_contenders_take_turns() -> None:
    order: list[str] = []

    def turn(name: str) -> int:
        order.append(name)
        return sum(range(200_000)) and 10

    found = in_turns({"a": lambda: turn("a"), "b": lambda: turn("b")}, rounds=2, device=CPU)
    assert order == ["a", "b"] * 3
    assert [len(one.clock) for one in found.values()] == [2, 2]
    assert ratio([1.0, 2.0, 4.0], [2.0, 4.0, 4.0]) == 2


def test_a_ratio_that_fell_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert held({"a": 1.0, "b": 2.0}, {"a": 1.1, "b": 1.0})
    assert not held({"a": 0.5}, {"a": 1.0})
    assert not held({}, {"a": 1.0})
    assert "a: 0.50, committed 1.00, which fell" in capsys.readouterr().out


@pytest.mark.parametrize("native", [True, False])
def test_no_precision_that_a_processor_would_emulate(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    found = cases(CPU, quick=False)
    assert [case.system for case in found] == [*SYSTEMS[:2], "yolox_s", "gfl_r50"]
    assert found[0].precisions == (("float32", "bfloat16") if native else ("float32",))
    assert all(case.compiled and "float32" in case.precisions for case in found)


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS[1:])
def test_every_case_begins_and_ends(system: str, tmp_path: Path) -> None:
    """On small images where the system has no size of its own, and without compiling."""
    [case] = [case for case in cases(CPU, quick=False) if case.system == system]
    size = None if system.startswith("ssd") else 96
    small = replace(case, batch=2, batches=1, size=size, compiled=False)
    few = ShapesConfig(train_images=2, val_images=1, size=96)
    split = read_source(DataSource.from_folder(generate_shapes(tmp_path / "shapes", few)))[0]
    rows = list(measured(small, split, CPU, rounds=1))
    trained = [row["trained by"] for row in rows if "trained by" in row]
    theirs = ["torchvision, float32"] if system in NEAR else []
    assert trained == [*theirs, "Sparrow, float32", "Sparrow, steps alone"]
    assert all(row["images/s"] > 0 for row in rows if "trained by" in row)
    assert sum(rows[-1]["parts"].values()) == pytest.approx(1)


def test_the_page_has_what_was_found() -> None:
    row = {"system": "ssd300_vgg16", "input": "300x300"}
    trained = {"trained by": "Sparrow, float32", "images/s": 2.0, "least": 1.0, "most": 3.0}
    time = {
        "precision": "float32", "waiting": 0.04, "parts": {"data": 0.1, "forward": 0.9},
        "TFLOP/s": 0.5, "of the peak": 0.25,
    }  # fmt: skip
    found = {
        "machine": {
            "device": "a", "cpu": "a", "cores": 2, "torch": "2", "load": 1.0, "form": "cpu, quick",
        },
        "start": {"first": 3.0, "second": 1.0, "third": 1.0},
        "data": {"flips": {"torchvision": 100.0, "Sparrow": 300.0, "ratio": 3.0}},
        "metrics": {"images": 10, "pycocotools": 1.0, "hotcoco": 0.02, "ratio": 50.0},
        "training": [
            row | trained,
            row | {"ratio": {"float32": 1.5}},
            row | {"compiling": "pays from 90 steps on"},
            row | time,
        ],
    }  # fmt: skip
    text = page(found)
    assert "- ssd300_vgg16, float32: 1.50 times as fast as torchvision's ssd300_vgg16" in text
    assert "- ssd300_vgg16: pays from 90 steps on" in text
    assert "| ssd300_vgg16, 300x300, float32 | 10.0% | 90.0% | 4.0% | 0.5 | 25% |" in text
    assert ratios_of(found) == {
        "data, flips": 3.0, "metrics": 50.0, "training of ssd300_vgg16, float32": 1.5,
    }  # fmt: skip
