"""Exported detectors, run by the runtimes that they were exported for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.detector import Detector
from detectors.postprocess import Detections
from detectors.runtimes import RuntimeUnavailable, deploy, libraries
from detectors.runtimes.contract import ExportedGraph, Run
from detectors.runtimes.export import export, exported
from detectors.runtimes.exported import Exported
from detectors.runtimes.libraries import library, missing
from detectors.runtimes.onnx_graph import CANDIDATES, DETECTIONS, INPUT
from detectors.runtimes.onnx_runtime import OnnxGraph
from detectors.runtimes.open_vino import OpenVinoGraph
from detectors.runtimes.program import Wanted
from detectors.runtimes.targets import SUFFIXES
from searchspace.heads import Postprocess
from tests.contracts.systems import NARROW, built
from tests.detectors.deployable import (
    CPU,
    SYSTEMS,
    assert_same,
    deployable,
    images_for,
    needs_extra,
)
from tests.fewer import few
from tests.networks import with_statistics

Program = Callable[[Tensor], Detections]


def by_torch(path: Path) -> Program:
    module = torch.export.load(path).module()
    return lambda images: Detections(*module(images))


def by_onnx_runtime(path: Path) -> Program:
    session = library("onnxruntime").InferenceSession(path)
    return lambda images: Detections(
        *map(torch.from_numpy, session.run(list(DETECTIONS), {INPUT: images.numpy()}))
    )


def by_openvino(path: Path) -> Program:
    # Left to itself, OpenVINO computes in bfloat16 where the processor can.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = library("openvino").Core().compile_model(path, "CPU", options)

    def run(images: Tensor) -> Detections:
        outputs = model({INPUT: images.numpy()})
        return Detections(*(torch.from_numpy(outputs[name]) for name in DETECTIONS))

    return run


RUN = {"torch-export": by_torch, "onnx": by_onnx_runtime, "openvino": by_openvino}


@cache
def twenty(system: str) -> tuple[Tensor, Detections]:
    """Twenty images, and what PyTorch finds in them."""
    detector = deployable(system)
    images = images_for(detector, 20)
    with torch.no_grad():
        return images, detector.detect(images)


@needs_extra
@pytest.mark.parametrize("target", RUN)
@pytest.mark.parametrize("system", SYSTEMS)
def test_an_exported_detector_finds_what_pytorchs_does(
    tmp_path: Path, system: str, target: str
) -> None:
    images, expected = twenty(system)
    path = export(deployable(system), target, tmp_path / "exported")
    assert path == tmp_path / f"exported{SUFFIXES[target]}"
    run = RUN[target](path)
    parts = [run(images[:1]), run(images[1:])]
    found = Detections(*(torch.cat([getattr(p, name) for p in parts]) for name in DETECTIONS))
    assert_same(found, expected)


OFTEN = ("fssd300_abl_c3c7_sum_bn_b",)
"""One with a map that is pooled; each other head is exported in `tests.contracts.test_classes`."""


@needs_extra
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in OFTEN)) for name in NARROW],
)
def test_every_composition_can_be_exported(tmp_path: Path, name: str) -> None:
    detector = with_statistics(built(NARROW[name]))
    images = images_for(detector, 2)
    with torch.no_grad():
        expected = detector.detect(images)
    for target, run in RUN.items():
        found = run(export(detector, target, tmp_path / target))(images)
        differences = (found.scores - expected.scores).abs()
        # Where two boxes overlap as much as NMS allows, rounding decides, and the following ones
        # move up.
        assert (differences < 1e-3).float().mean() > 0.75
        assert differences.max() < 0.05


@needs_extra
@pytest.mark.parametrize("target", few(RUN, "onnx", "openvino"))
def test_an_exported_detector_may_find_nothing_or_little(
    tmp_path: Path, make_detector: Callable[..., Detector], target: str
) -> None:
    detector = with_statistics(make_detector())
    images = images_for(detector, 3)
    with torch.no_grad():
        scores = detector.detect(images).scores
    for threshold in (0.999, (scores[:, 0].max().item() + scores[:, 1].max().item()) / 2):
        few = Postprocess(score_threshold=threshold)
        picky = Detector(
            detector.config.changed(head=detector.config.head.changed(postprocess=few))
        )
        picky.load_state_dict(detector.state_dict())
        with torch.no_grad():
            expected = picky.eval().detect(images)
        found = RUN[target](export(picky, target, tmp_path / f"{threshold}"))(images)
        assert torch.equal(found.labels, expected.labels)
        assert (expected.labels > 0).sum() == (
            0 if threshold == 0.999 else (scores > threshold).sum()
        )


@needs_extra
@pytest.mark.parametrize("target", RUN)
def test_candidates_of_each_class_are_exported(tmp_path: Path, target: str) -> None:
    """Five of each class are fewer than there are, so that the limit shows."""
    trained = deployable("ssdmnetv1")
    few = Postprocess(candidates=None, class_candidates=5, nms_iou=0.9)
    head = trained.config.head.changed(postprocess=few)
    limited = Detector(trained.config.changed(head=head))
    limited.load_state_dict(trained.state_dict())
    images = images_for(limited, 3)
    with torch.no_grad():
        expected = limited.eval().detect(images)
    assert 0 < (expected.labels > 0).sum(1).max() <= 5 * limited.config.num_classes
    found = RUN[target](export(limited, target, tmp_path / "few"))(images)
    assert_same(found, expected)


@needs_extra
@pytest.mark.parametrize(("target", "runtime"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_int8_is_exported_as_it_is_deployed(tmp_path: Path, target: str, runtime: str) -> None:
    detector = deployable("ssdmnetv1")
    images = images_for(detector, 6, seed=3)
    whole = export(detector, target, tmp_path / "float32")
    path = export(detector, target, tmp_path / "int8", "int8", images)
    assert weights(path) < 0.5 * weights(whole)
    scores = RUN[target](path)(images).scores
    deployed = deploy(detector, runtime, "int8", CPU, images).detect(images)
    # OpenVINO computes what is not quantised in bfloat16 where that is native, and eight bits
    # without their own instructions saturate.
    torch.testing.assert_close(scores, deployed.scores, atol=0.08, rtol=0)
    assert (scores - deployed.scores).abs().mean() < 0.01


@needs_extra
def test_half_weights_take_half_the_room(tmp_path: Path) -> None:
    detector = deployable("ssdmnetv1")
    whole = export(detector, "openvino", tmp_path / "whole")
    half = export(detector, "openvino", tmp_path / "half", "float16")
    assert weights(half) < 0.6 * weights(whole)
    images, expected = twenty("ssdmnetv1")
    found = by_openvino(half)(images)
    torch.testing.assert_close(found.scores, expected.scores, atol=0.02, rtol=0)


def weights(path: Path) -> int:
    """Bytes of a model's weights."""
    file = path.with_suffix(".bin")
    return (file if file.exists() else path).stat().st_size


def test_the_original_is_left_alone(tmp_path: Path, make_detector: Callable[..., Detector]) -> None:
    detector = make_detector().train()
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    export(detector, "torch-export", tmp_path / "x")
    assert detector.training
    assert all(torch.equal(before[name], t) for name, t in detector.state_dict().items())


@pytest.mark.parametrize(
    ("target", "precision", "message"),
    [
        ("tflite", "float32", "target 'tflite': choose from onnx, torch-export, openvino"),
        ("torch-export", "int8", "precision 'int8': torch-export has float32"),
        ("onnx", "bfloat16", "precision 'bfloat16': onnx has float32, int8"),
        ("openvino", "int8", "give calibration images"),
    ],
)
def test_what_cannot_be_exported_is_refused_first(
    tmp_path: Path, target: str, precision: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export(deployable("ssdmnetv1"), target, tmp_path / "new" / "x", precision)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailable, match=r"not installed: pip install .*\[deploy\]"):
        export(deployable("ssdmnetv1"), target, tmp_path / "x")


@pytest.mark.parametrize("target", ["executorch", "tensorrt"])
def test_a_missing_library_outside_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailable, match=rf"^{target}: .*{target} not installed$"):
        exported(deployable("ssdmnetv1"), target, Wanted(raw=True, batch=1))


@pytest.mark.slow
@pytest.mark.skipif(missing("executorch") is not None, reason="ExecuTorch is not installed")
def test_executorch_finds_what_pytorch_does(tmp_path: Path) -> None:
    images, expected = twenty("ssdmnetv1")
    wanted = Wanted(raw=True, batch=3)
    path = exported(deployable("ssdmnetv1"), "executorch", wanted).save(tmp_path / "x")
    assert_same(Exported.read(path).detect(images), expected)


@needs_extra
@pytest.mark.parametrize("target", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_candidates_are_those_of_the_head_and_give_the_same_detections(
    tmp_path: Path, target: str
) -> None:
    detector = deployable("ssdmnetv1")
    images, expected = twenty("ssdmnetv1")
    made = exported(detector, target, Wanted(raw=True, batch=3))
    with torch.no_grad():
        predictions = detector.predict(images[:3])
        wanted = (detector.head.boxes_of(predictions), detector.head.scores_of(predictions))
    for found, one in zip(made.program.run(images[:3]), wanted, strict=True):
        torch.testing.assert_close(found, one, atol=1e-4, rtol=0)
    read = Exported.read(made.save(tmp_path / "raw"))
    assert read.metadata == made.metadata
    assert (read.metadata.outputs, read.metadata.batch) == (CANDIDATES, 3)
    # Twenty images are seven batches of three, of which the last has one too many.
    assert_same(read.detect(images), expected)


class Likeness:
    """1 for the outputs of a graph, and less for others."""

    def __init__(self, graph: ExportedGraph, images: Tensor) -> None:
        self.images = images
        self.expected = graph.runner("float32", graph.outputs())(images)[1]
        self.count = len(images)

    def __call__(self, run: Run, places: Sequence[int]) -> float:
        return 1 - float((run(self.images[places])[1] - self.expected[places]).abs().mean())


@needs_extra
@pytest.mark.slow
@pytest.mark.parametrize("graph", [OnnxGraph, OpenVinoGraph])
def test_layers_stay_in_float_until_a_figure_is_kept(graph: type[ExportedGraph]) -> None:
    detector = deployable("ssdmnetv1")
    images = images_for(detector, 2)
    whole = graph.of(detector, CANDIDATES).only(CANDIDATES)
    likeness = Likeness(whole, images)

    def judged(made: ExportedGraph) -> float:
        return likeness(made.runner("float32", made.outputs()), [0, 1])

    layers = whole.in_float()
    assert len(layers) > 30
    loose = whole.controlled(images, likeness, 0.5)
    assert loose.in_float() == ()
    least = (1 + judged(loose)) / 2
    kept = whole.controlled(images, likeness, 1 - least)
    assert 0 < len(kept.in_float()) < len(layers)
    assert judged(kept) >= least > judged(loose)
