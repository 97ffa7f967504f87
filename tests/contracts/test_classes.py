"""One class, two and eighty: the same of every family, runtime, export and compression.

A dimension of one is where graphs are simplified away and tensors squeezed. One class is also the
commonest data set of small objects there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compress import distillation_term, prune, quantise
from detectors.data.loader import Batch
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.evaluate import coco_metrics, evaluate
from detectors.postprocess import Detections
from detectors.quiet import threads
from detectors.runtimes import Form, available, deploy, load_detector
from detectors.runtimes.export import export
from searchspace.backbones import MobileNetV1
from searchspace.compression import ImportancePruning, Int8, Slimming
from searchspace.detector import DetectorConfig
from searchspace.distillation import ChannelWise, Distillation, Logits
from searchspace.errors import InputError
from searchspace.heads import Postprocess
from searchspace.priors import ScaledPriors
from tests.classes import with_classes
from tests.contracts.systems import CONFIGS, EVEN, built, narrow
from tests.detectors.deployable import (
    CPU,
    deployable,
    images_for,
    needs_extra,
    relative_error,
)
from tests.detectors.runtimes.test_export import RUN
from tests.detectors.test_evaluate import perfect
from tests.fewer import few
from tests.networks import with_statistics

CLASSES = (1, 2, 80)
FAMILIES = (
    "ssdmnetv1",
    "ssdmnetv1_s1l0_dualpath19_10_c",
    "ssdmnetv1_s1l0_dualpath19_10_s",
    "ssd_vgg16_s1l2_dualpath",
    "fssd300",
    "fssd300_abl_c3c7_sum_bn_b",
    "mfssd_bn",
    "mdssd512",
    "yolox_tiny",
    "gfl_r50",
)
HEADS = ("ssdmnetv1", "yolox_tiny", "gfl_r50")
"""A family of each head."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def product(first: tuple[object, ...], *fast: object) -> list[object]:
    """Each of `first` with each number of classes; slow but for those named, with one class."""
    return [
        pytest.param(x, k, id=f"{x} {k}", marks=[pytest.mark.slow] * (k > 1 or x not in fast))
        for x in first
        for k in CLASSES
    ]


def targets_for(detector: Detector, count: int = 2) -> list[dict[str, Tensor]]:
    """An object of the first class and one of the last in each image."""
    boxes = torch.tensor([[4.0, 4, 30, 40], [20.0, 10, 60, 60]])
    labels = torch.tensor([1, detector.config.num_classes])
    return [{"boxes": boxes, "labels": labels} for _ in range(count)]


def labels_fit(found: Detections, classes: int) -> bool:
    return bool(found.labels.min() >= 0 and found.labels.max() <= classes)


# ---- families


@pytest.mark.parametrize(("family", "classes"), product(FAMILIES, *HEADS))
def test_every_family_learns_and_detects(family: str, classes: int) -> None:
    detector = built(narrow(CONFIGS[family], EVEN, num_classes=classes)).train()
    losses = detector(list(images_for(detector, 2)), targets_for(detector))
    sum(losses.values()).backward()
    assert all(x.isfinite() for x in losses.values())
    assert all(p.grad is not None for p in detector.head.parameters())
    found = deployable(family, classes).detect(images_for(detector, 2))
    assert labels_fit(found, classes)
    assert (found.labels > 0).any()


# ---- exports and runtimes


@needs_extra
@pytest.mark.parametrize(("family", "classes"), product(FAMILIES, *HEADS))
def test_onnx_finds_what_pytorch_does(tmp_path: Path, family: str, classes: int) -> None:
    exported_finds_the_same(family, classes, "onnx", tmp_path)


@needs_extra
@pytest.mark.parametrize(("family", "classes"), product(FAMILIES, "ssdmnetv1"))
@pytest.mark.parametrize("target", few(["openvino", "torch-export"], "openvino"))
def test_other_exports_find_what_pytorch_does(
    tmp_path: Path, target: str, family: str, classes: int
) -> None:
    exported_finds_the_same(family, classes, target, tmp_path)


def exported_finds_the_same(family: str, classes: int, target: str, folder: Path) -> None:
    detector = deployable(family, classes)
    images = images_for(detector, 3)
    with torch.no_grad():
        expected = detector.detect(images)
    run = RUN[target](export(detector, target, folder / "x"))
    for batch in (images[:1], images):
        found, count = run(batch), len(batch)
        assert found.labels.shape == expected.labels[:count].shape
        assert labels_fit(found, classes)
        # Where two boxes overlap as much as NMS allows, rounding decides, and the rest move up.
        assert ((found.scores - expected.scores[:count]).abs() < 1e-3).float().mean() > 0.75


@needs_extra
@pytest.mark.parametrize("target", ["onnx", "torch-export", "openvino"])
@pytest.mark.slow
@pytest.mark.parametrize("change", ["detections", "candidates", "level_candidates", "all"])
@pytest.mark.parametrize("family", ["ssdmnetv1", "gfl_r50"])
def test_one_detection_of_one_candidate_of_one_class(
    tmp_path: Path, family: str, change: str, target: str
) -> None:
    fields = Postprocess.model_fields if change == "all" else (change,)
    limits = {
        name: 1 for name in ("detections", "candidates", "level_candidates") if name in fields
    }
    loud = deployable(family, 1)
    few = loud.config.head.postprocess.changed(**limits)
    config = loud.config.changed(head=loud.config.head.changed(postprocess=few))
    detector = Detector(config).load_tensors(loud.state_dict())
    images = images_for(detector, 3)
    with torch.no_grad():
        expected = detector.detect(images)
    assert_few(RUN[target](export(detector, target, tmp_path / "x"))(images), expected)


def assert_few(found: Detections, expected: Detections) -> None:
    assert found.labels.shape == expected.labels.shape
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=0)


@needs_extra
@pytest.mark.parametrize("target", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("classes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_one_level(tmp_path: Path, target: str, classes: int) -> None:
    config = DetectorConfig(
        input_size=64,
        num_classes=classes,
        width=0.125,
        backbone=MobileNetV1(taps=("layer13",)),
        neck=(),
        head=CONFIGS["ssdmnetv1"].head.changed(priors=ScaledPriors()),
    )
    assert [level.cells for level in config.levels()] == [4]
    detector = with_statistics(built(config))
    images = images_for(detector, 2)
    with torch.no_grad():
        expected = detector.detect(images)
    assert_few(RUN[target](export(detector, target, tmp_path / "x"))(images), expected)


def forms_here() -> list[Form]:
    return [form for form, reason in available(CPU).items() if reason is None]


@pytest.mark.slow
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_runtime_runs_every_family(family: str, classes: int) -> None:
    detector = deployable(family, classes)
    images = images_for(detector, 2)
    with torch.no_grad():
        expected = detector.predict(images)
    for form in forms_here():
        if form.runtime == "compile" and (family not in HEADS or classes > 1):
            continue  # minutes each, and of one kind
        deployed = deploy(detector, *form, CPU, calibration=images_for(detector, 4, seed=1))
        # The effect of int8 on a random network does not depend on classes.
        bound = {"float32": 1e-3, "bfloat16": 0.3}.get(form.precision, 2.0)
        assert relative_error(deployed.network(images), expected) < bound, form
        found = deployed.detect(images)
        assert labels_fit(found, classes), form
        if form.precision == "float32":
            assert (
                (found.scores - detector.detect(images).scores).abs() < 1e-3
            ).float().mean() > 0.75


@pytest.mark.parametrize("form", [f for f in forms_here() if f.runtime != "compile"], ids=str)
def test_every_runtime_runs_one_class(form: Form) -> None:
    detector = deployable("ssdmnetv1", 1)
    images = images_for(detector, 3)
    deployed = deploy(detector, *form, CPU, calibration=images)
    with torch.no_grad():
        expected = detector.detect(images)
    found = deployed.detect(images)
    assert labels_fit(found, 1)
    assert (found.labels > 0).any()
    if form.precision == "float32":
        assert_few(found, expected)


# ---- compression


PRUNINGS = {
    "slimming": Slimming(ratio=0.3),
    **{name: ImportancePruning(criterion=name, steps=1, ratio=0.3)
       for name in ("l2", "taylor", "lamp", "random")},
}  # fmt: skip


@pytest.mark.parametrize(
    "classes", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 80))]
)
@pytest.mark.parametrize("criterion", PRUNINGS)
def test_every_pruning(criterion: str, classes: int) -> None:
    prunes("ssdmnetv1", criterion, classes)


WITHOUT_NORM = ("ssd_vgg16_s1l2_dualpath", "mdssd512")
"""The families on VGG16 without batch norm, which have nothing to slim."""


@pytest.mark.slow
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("criterion", PRUNINGS)
@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("ssdmnetv1", "fssd300")])
def test_every_pruning_of_every_family(family: str, criterion: str, classes: int) -> None:
    if criterion == "slimming" and family in WITHOUT_NORM:
        with pytest.raises(InputError, match="no batch norm scales its outputs"):
            prunes(family, criterion, classes)
    else:
        prunes(family, criterion, classes)


def prunes(family: str, criterion: str, classes: int) -> None:
    detector = with_statistics(built(narrow(CONFIGS[family], EVEN, 0.25, classes)))
    batches = [Batch((255 * images_for(detector, 2)).byte(), targets_for(detector))]
    plan = prune(detector, PRUNINGS[criterion], batches=lambda: batches)
    assert plan.after.params < plan.before.params
    detector.eval()
    with torch.no_grad():
        assert detector.predict(images_for(detector, 1)).classes.isfinite().all()
    losses = detector.train()(list(images_for(detector, 2)), targets_for(detector))
    assert all(x.isfinite() for x in losses.values())


TEACHINGS: dict[str, Distillation] = {
    **{place: ChannelWise(location=place) for place in ("classes", "maps", "both")},
    "logits": Logits(),
}


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("teaching", TEACHINGS)
def test_every_distillation(teaching: str, classes: int) -> None:
    config = narrow(CONFIGS["ssdmnetv1"], EVEN, num_classes=classes)
    student, teacher = built(config).train(), deployable("ssdmnetv1", classes)
    images = images_for(student, 2)
    outputs = student.outputs(images)
    term = distillation_term(TEACHINGS[teaching], student, teacher)
    total = sum(term(student, images, outputs).values())
    assert total.isfinite()
    assert total > 0
    total.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())


@needs_extra
@pytest.mark.parametrize(
    ("runtime", "classes"), product(("onnxruntime", "openvino"), "onnxruntime")
)
def test_a_quantised_model_comes_back(tmp_path: Path, runtime: str, classes: int) -> None:
    detector, config = deployable("ssdmnetv1", classes), Int8(runtime=runtime)
    images = images_for(detector, 4)
    quantise(detector, config, images, tmp_path)
    found = load_detector(tmp_path).detect(images)
    assert labels_fit(found, classes)
    assert (found.labels > 0).any()


# ---- accuracy


@pytest.mark.parametrize("classes", CLASSES)
def test_evaluation(tmp_path: Path, classes: int) -> None:
    shapes = generate_shapes(tmp_path / "shapes", ShapesConfig(1, 4, size=96))
    split = read_source(DataSource.from_folder(with_classes(shapes, tmp_path / "set", classes)))[1]
    assert split.num_classes == classes
    metrics = coco_metrics(split, perfect(split))
    assert metrics.ap == pytest.approx(1)
    assert len(metrics.classes) == classes
    known = {k: scores.ap for k, scores in metrics.classes.items() if scores.ap is not None}
    assert min(known.values()) == pytest.approx(1)
    assert len(known) == min(classes, 4)
    assert coco_metrics(split, []).ap == 0
    assert 0 <= evaluate(deployable("ssdmnetv1", classes), split, CPU).ap < 0.5
