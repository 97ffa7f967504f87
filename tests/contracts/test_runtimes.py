"""What holds for every runtime that is registered."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.runtimes import (
    RUNTIMES,
    Deployed,
    Form,
    Runtime,
    choosing,
    deploy,
    libraries,
    register_runtime,
)
from detectors.runtimes.contract import ExportedRuntime
from searchspace import DetectorConfig, MeasureConfig, load_plugins
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from searchspace.runtimes import RUNTIMES as PRECISIONS
from tests.documents import example

CPU = torch.device("cpu")
TOLERANCES = {"float32": 2e-3, "bfloat16": 0.15, "float16": 0.05, "int8": 1.0}
"""Of raw predictions, in units of their deviation, on the average. What int8 loses of an untrained
network is large in OpenVINO; that of trained ones is judged by `agreement` in every trial."""

FORMS = [Form(name, p) for name, runtime in RUNTIMES.items() for p in runtime.precisions]


def form_case(form: Form) -> object:
    """A form as a parameter of tests; what is compiled or quantised first takes long."""
    takes_long = form.runtime == "compile" or form.precision == "int8"
    marks = pytest.mark.slow if takes_long else ()
    return pytest.param(form, id=str(form), marks=marks)


def detector(classes: int) -> Detector:
    torch.manual_seed(0)
    head = Multibox(priors=ScaledPriors())
    config = DetectorConfig(input_size=64, num_classes=classes, width=0.25, head=head)
    return Detector(config).eval()


def deployed(form: Form, made: Detector, images: torch.Tensor) -> Deployed:
    if reason := choosing.unavailable(form, CPU):
        pytest.skip(reason)
    return deploy(made, *form, CPU, images if form.precision == "int8" else None)


@pytest.mark.parametrize("form", [form_case(form) for form in FORMS])
def test_a_form_says_what_eager_pytorch_says_for_any_batch_and_any_number_of_classes(
    form: Form,
) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for classes in (1, 2, 80) if form.runtime != "compile" else (2,):
        made = detector(classes)
        before = copy.deepcopy(made.state_dict())
        runs = deployed(form, made, images)
        assert runs.form == form
        with torch.inference_mode():
            for batch in (images[:1], images):
                found, wanted = runs.network(batch), made.predict(batch)
                for name in ("classes", "boxes"):
                    a, b = getattr(found, name), getattr(wanted, name)
                    assert a.dtype == torch.float32
                    assert a.shape == b.shape
                    assert (a - b).abs().mean() <= TOLERANCES[form.precision] * b.std()
        runs.close()
        after = made.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_fulfils_its_contract(name: str) -> None:
    runtime = RUNTIMES[name]
    assert isinstance(runtime, Runtime)
    assert type(runtime).__doc__
    assert PRECISIONS[name] == runtime.precisions
    assert runtime.packages
    assert ("int8" in runtime.precisions) == isinstance(runtime, ExportedRuntime)
    assert MeasureConfig(runtime=name).runtime == name


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
def test_what_is_not_installed_is_named_with_the_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda package: None)
    device = torch.device("cuda" if name == "tensorrt" else "cpu")
    reason = choosing.unavailable(Form(name, "float32"), device)
    assert reason is not None
    assert "not installed" in reason
    assert "\n" not in reason


def test_an_unknown_runtime_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no runtime 'openvin'.*did you mean 'openvino'"):
        MeasureConfig(runtime="openvin")


def test_a_class_that_is_no_runtime_is_refused() -> None:
    class Half(Runtime):
        name = "half"
        precisions = ("float32",)

    with pytest.raises(TypeError, match="runtime Half: implement packages, build, unavailable"):
        register_runtime(Half)


def test_the_worked_example_runs_a_detector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for registry in (RUNTIMES, PRECISIONS):
        monkeypatch.setattr(registry, "_values", dict(registry))
    file = tmp_path / "my_runtime_example.py"
    file.write_text(example("A runtime"))
    load_plugins([file])
    form, made = Form(MeasureConfig(runtime="autocast").runtime, "bfloat16"), detector(2)
    images = torch.rand(2, 3, 64, 64)
    found = deploy(made, *form, CPU).network(images)
    with torch.inference_mode():
        wanted = made.predict(images)
    assert (found.classes - wanted.classes).abs().mean() <= 0.15 * wanted.classes.std()
