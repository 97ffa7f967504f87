"""A detector in every form that can run here."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.features import Predictions
from detectors.quiet import threads
from detectors.runtimes import (
    Deployed,
    Form,
    RuntimeUnavailable,
    available,
    best,
    deploy,
    libraries,
    open_vino,
)
from tests.detectors.deployable import (
    CPU,
    SYSTEMS,
    assert_same,
    deployable,
    images_for,
    needs_extra,
    relative_error,
)

ROOT = Path(__file__).parents[3]
CUDA = torch.device("cuda")
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.15, "int8": 0.6}
"""Differences of raw predictions, as shares of the largest: random networks forgive little."""


SLOW = {"compile": pytest.mark.slow}


def forms_here() -> list[Form]:
    return [form for form, reason in available(CPU).items() if reason is None]


def marks_of(form: Form, system: str) -> object:
    """Quantising takes long: one system in int8 is enough for every day."""
    often = form.precision != "int8" or system == "ssdmnetv1"
    return SLOW.get(form.runtime, () if often else pytest.mark.slow)


def cases() -> list[object]:
    """Every form of every system; what has to be compiled of one, and in the full suite only."""
    return [
        pytest.param(form, system, id=f"{form} {system}", marks=marks_of(form, system))
        for form in forms_here()
        for system in (("pruned",) if form.runtime in SLOW else SYSTEMS)
    ]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


@pytest.mark.parametrize(("form", "system"), cases())
def test_a_form_predicts_what_the_detector_does(form: Form, system: str) -> None:
    detector = deployable(system)
    images = images_for(detector, 4)
    with torch.no_grad():
        expected = detector.predict(images)
    deployed = deploy(detector, *form, CPU, calibration=images_for(detector, 4, seed=1))
    found = deployed.network(images)
    assert {t.dtype for t in vars(found).values() if t is not None} == {torch.float32}
    assert relative_error(found, expected) < TOLERANCES[form.precision]
    if form.precision == "float32":
        with torch.no_grad():
            assert_same(deployed.detect(images), detector.detect(images))
    # Another size of batch, another layout in memory.
    one = deployed.network(images[1:2].contiguous(memory_format=torch.channels_last))
    assert relative_error(one, part(found, 1)) < TOLERANCES["float32"]


def part(predictions: Predictions, index: int) -> Predictions:
    tensors = {f.name: getattr(predictions, f.name) for f in fields(predictions)}
    return Predictions(
        **{n: None if t is None else t[index : index + 1] for n, t in tensors.items()}
    )


@pytest.mark.parametrize("form", [f for f in forms_here() if f.runtime != "compile"], ids=str)
def test_a_form_is_apart_from_its_detector(form: Form) -> None:
    detector = copy.deepcopy(deployable("ssdmnetv1")).train()
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    images = images_for(detector, 2)
    deployed = deploy(detector, *form, CPU, calibration=images)
    first = deployed.network(images)
    assert detector.training
    assert all(torch.equal(before[name], t) for name, t in detector.state_dict().items())
    for parameter in detector.parameters():
        parameter.data.zero_()
    assert relative_error(deployed.network(images), first) == 0
    # What was returned is not written over by the next call.
    kept = first.boxes.clone()
    deployed.network(1 - images)
    assert torch.equal(first.boxes, kept)


def test_what_is_not_there_says_why() -> None:
    reasons = available(CPU)
    assert reasons[Form("eager", "float32")] is None
    assert reasons[Form("cudagraphs", "float16")] == "CUDA graphs need a CUDA device"
    assert reasons[Form("tensorrt", "float32")] == "TensorRT runs on CUDA devices, not on cpu"
    assert all(reason is None or reason for reason in reasons.values())
    if not torch.cuda.is_available():
        assert None not in available(CUDA).values()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form("cudagraphs", "float32"), "cudagraphs float32: CUDA graphs need a CUDA device"),
        (Form("eager", "int8"), "eager int8: int8 is not supported; choose from float32, bfloat16"),
        (Form("onnxruntime", "bfloat16"), "bfloat16 is not supported; choose from float32, int8"),
        (Form("eager", "float16"), "PyTorch has no fast float16 convolutions on the CPU"),
    ],
)
def test_a_form_that_is_not_there_is_refused(form: Form, message: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=message):
        deploy(deployable("ssdmnetv1"), *form, CPU)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailable, match=r"float32: .* not installed: pip install"):
        deploy(deployable("ssdmnetv1"), runtime, "float32", CPU)
    assert best(deployable("ssdmnetv1"), CPU) == Form("channels_last", "float32")


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeUnavailable, match=r"needs a C\+\+ compiler.*no-such-compiler"):
        deploy(deployable("ssdmnetv1"), "compile", "float32", CPU)


@needs_extra
@pytest.mark.parametrize(
    ("capabilities", "expected"), [(["FP32", "BF16"], "bfloat16"), (["FP32"], "float32")]
)
def test_the_best_form_is_one_that_the_processor_can_run(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], expected: str
) -> None:
    monkeypatch.setattr(open_vino, "_capabilities", lambda: capabilities)
    assert best(deployable("ssdmnetv1"), CPU) == Form("openvino", expected)
    assert (available(CPU)[Form("openvino", "bfloat16")] is None) == (expected == "bfloat16")


@needs_extra
@pytest.mark.parametrize("calibration", [None, torch.zeros(0, 3, 64, 64)])
def test_int8_needs_images(calibration: Tensor | None) -> None:
    with pytest.raises(ValueError, match="openvino int8: give calibration images"):
        deploy(deployable("ssdmnetv1"), "openvino", "int8", CPU, calibration)


@needs_extra
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_threads_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    torch.set_num_threads(2)
    if runtime == "openvino":
        assert open_vino._options("float32")["INFERENCE_NUM_THREADS"] == "2"
    else:
        seen = []
        options = libraries.library("onnxruntime").SessionOptions
        monkeypatch.setattr("onnxruntime.SessionOptions", lambda: seen.append(options()) or seen[0])
        deploy(deployable("ssdmnetv1"), "onnxruntime", "float32", CPU)
        assert seen[0].intra_op_num_threads == 2


@needs_extra
def test_a_refused_detector_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_vino, "onnx_graph", lambda *arguments: b"no graph")
    with pytest.raises(RuntimeUnavailable, match="OpenVINO cannot convert this detector"):
        deploy(deployable("ssdmnetv1"), "openvino", "float32", CPU)


def test_a_closed_form_cannot_be_called() -> None:
    deployed = deploy(deployable("ssdmnetv1"), "eager", "float32", CPU)
    deployed.close()
    with pytest.raises(RuntimeError, match="was closed"):
        deployed.detect(torch.zeros(1, 3, 64, 64))


@needs_extra
def test_openvino_is_imported_without_its_telemetry() -> None:
    code = (
        "import sys; from detectors.runtimes.libraries import library; library('openvino')\n"
        "print(*(name for name, module in sys.modules.items() if module))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "openvino" in done.stdout.split()
    assert "openvino_telemetry" not in done.stdout.split()


OVERLAPPING = """
import gc, signal, subprocess, sys
from detectors.runtimes import deploy
from tests.detectors.deployable import CPU, deployable, images_for

detector = deployable("ssdmnetv1")
first, second = (deploy(detector, "openvino", "float32", CPU) for _ in range(2))
for deployed in (first, second):
    deployed.network(images_for(detector, 1))
del deployed, first
gc.collect()
del second
gc.collect()
heard = []
signal.signal(signal.SIGCHLD, lambda number, frame: heard.append(number))
subprocess.run([sys.executable, "-c", ""], check=True)
print(len(heard))
"""


@pytest.mark.slow
@needs_extra
def test_signals_reach_a_process_that_has_run_openvino() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OVERLAPPING], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_a_deployed_detector_is_scored_like_its_detector(
    make_detector: Callable[..., Detector],
    shapes: tuple[Dataset, Dataset],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector, batches = make_detector(), []
    deployed = deploy(detector, "channels_last", "float32", CPU)
    detect = Deployed.detect
    monkeypatch.setattr(
        Deployed, "detect", lambda self, x: batches.append(len(x)) or detect(self, x)
    )
    monkeypatch.setattr(importlib.import_module("detectors.evaluate"), "BATCH", 4)
    assert evaluate(deployed, shapes[1], CPU) == evaluate(detector, shapes[1], CPU)
    assert batches == [4, 4]
