from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from detectors.detector import Detector, padded_objects
from detectors.postprocess import Detections
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors
from searchspace.training import SmallObjects

MakeDetector = Callable[..., Detector]
Target = dict[str, Tensor]


@pytest.fixture
def finding(make_detector: MakeDetector) -> Detector:
    """A detector that finds something in every image, trained or not."""
    postprocess = Postprocess(score_threshold=0.0, detections=20)
    detector = make_detector(head=Multibox(priors=ScaledPriors(), postprocess=postprocess))
    with torch.no_grad():
        for conv in detector.head.classes:
            conv.weight.mul_(20)
    return detector.eval()


def images(*sides: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, height, width, generator=generator) for height, width in sides]


def target(boxes: list[list[float]], labels: list[int], **more: list[float]) -> Target:
    extra = {name: torch.tensor(values) for name, values in more.items()}
    boxes_and_labels = {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.long),
    }
    return boxes_and_labels | extra


def test_training_gives_losses_with_gradients(make_detector: MakeDetector) -> None:
    detector = make_detector().train()
    targets = [target([[10, 10, 30, 40], [2, 2, 20, 20]], [1, 4]), target([], [])]
    losses = detector(images((50, 80), (64, 64)), targets)
    assert set(losses) == {"classes", "boxes"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    with pytest.raises(ValueError, match="targets"):
        detector(images((50, 80)))


def test_a_batch_without_any_object_trains(make_detector: MakeDetector) -> None:
    detector = make_detector().train()
    losses = detector(images((64, 64), (64, 64)), [target([], []), target([], [])])
    assert {name: x.item() for name, x in losses.items()} == {"classes": 0.0, "boxes": 0.0}
    sum(losses.values()).backward()


def test_detecting_gives_boxes_in_each_images_own_pixels(finding: Detector) -> None:
    batch = images((50, 80), (64, 64), (31, 200))
    found = finding(batch)
    assert len(found) == 3
    for image, one in zip(batch, found, strict=True):
        count = len(one["scores"])
        assert count > 0
        assert one["boxes"].shape == (count, 4)
        assert one["labels"].shape == (count,)
        height, width = image.shape[1:]
        x1, y1, x2, y2 = one["boxes"].unbind(1)
        assert ((x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)).all()
        assert (x1 <= x2).all()
        assert (y1 <= y2).all()
        assert x2.max() > 0.75 * width
        assert set(one["labels"].tolist()) <= {1, 2, 3, 4}
        assert (one["scores"].diff() <= 0).all()


def test_an_image_alone_is_detected_as_in_a_batch(finding: Detector) -> None:
    batch = images((64, 64), (50, 80), (64, 64))
    together = finding(batch)
    for image, expected in zip(batch, together, strict=True):
        (alone,) = finding([image])
        assert torch.equal(alone["labels"], expected["labels"])
        assert torch.allclose(alone["boxes"], expected["boxes"], atol=1e-3)
        assert torch.allclose(alone["scores"], expected["scores"], atol=1e-5)


def test_a_tensor_is_a_batch_too_and_results_repeat(finding: Detector) -> None:
    stacked = torch.stack(images((64, 64), (64, 64)))
    for one, other in zip(finding(stacked), finding(list(stacked)), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_same_seed_builds_the_same_detector(make_detector: MakeDetector) -> None:
    first, second = make_detector(seed=3).state_dict(), make_detector(seed=3).state_dict()
    other = make_detector(seed=4).state_dict()
    assert all(torch.equal(t, second[name]) for name, t in first.items())
    assert any(not torch.equal(t, other[name]) for name, t in first.items())


def test_targets_become_fractions_with_smallness_by_the_original_area() -> None:
    targets = [
        target([[10, 20, 30, 40]], [2]),
        target([[0, 0, 20, 50], [0, 0, 10, 10]], [1, 3], area=[1024.0, 1023.9]),
        target([], []),
    ]
    objects = padded_objects(targets, [(80, 40), (100, 20), (5, 5)], input_size=64)
    assert objects.boxes[0, 0].tolist() == pytest.approx([0.25, 0.25, 0.75, 0.5])
    assert objects.boxes[1, 0].tolist() == pytest.approx([0, 0, 1, 0.5])
    assert objects.labels.tolist() == [[2, 0], [1, 3], [0, 0]]
    assert objects.valid.tolist() == [[True, False], [True, True], [False, False]]
    assert objects.small.tolist() == [[True, False], [False, True], [False, False]]


def test_smallness_by_the_networks_input() -> None:
    boxes = [[0, 0, 20, 10], [0, 0, 20, 11], [0, 0, 4, 4]]
    objects = padded_objects([target(boxes, [1, 1, 1], area=[9e9] * 3)], [(40, 80)], 128, "input")
    # 20 x 10 of 80 x 40 is 32 x 32 of 128 x 128, and not small.
    assert objects.small.tolist() == [[False, False, True]]
    narrow = padded_objects([target(boxes, [1, 1, 1])], [(40, 80)], 127, "input")
    assert narrow.small.tolist() == [[True, False, True]]


def test_smallness_by_an_input_that_is_a_rectangle() -> None:
    boxes = [[0, 0, 20, 20], [0, 0, 20, 21]]
    objects = padded_objects([target(boxes, [1, 1])], [(40, 80)], (64, 127), "input")
    assert objects.small.tolist() == [[True, False]]


def test_a_rectangular_input_trains_and_detects(make_detector: MakeDetector) -> None:
    postprocess = Postprocess(score_threshold=0.0, detections=20)
    head = Multibox(priors=ScaledPriors(), postprocess=postprocess)
    detector = make_detector(input_size=(64, 160), head=head)
    batch = images((50, 80), (64, 160), (31, 200))
    assert detector.batched(batch).shape == (3, 3, 64, 160)
    assert torch.equal(detector.batched(batch)[1], batch[1])
    losses = detector.train()(batch, [target([[10, 10, 30, 30]], [1])] * 3)
    sum(losses.values()).backward()
    with torch.no_grad():
        for image, found in zip(batch, detector.eval()(batch), strict=True):
            assert len(found["boxes"]) > 0
            assert (found["boxes"][:, 2::2] <= image.shape[2]).all()
            assert (found["boxes"][:, 3::2] <= image.shape[1]).all()


def test_losses_in_torchvisions_convention_weigh_small_objects(make_detector: MakeDetector) -> None:
    detector = make_detector().train()
    batch = images((64, 64), (64, 64))
    targets = [target([[8, 8, 60, 60]], [1], area=[100.0]), target([], [])]

    def boxes(**fields: object) -> float:
        return detector(batch, targets, SmallObjects(**fields))["boxes"].item()

    assert boxes(weight=3.0) == pytest.approx(3 * boxes(), rel=1e-5)
    assert boxes(weight=3.0, by="input") == pytest.approx(boxes(), rel=1e-5)
    assert detector(batch, targets)["boxes"].item() == pytest.approx(boxes(), rel=1e-5)


def same(first: Detections, second: Detections) -> bool:
    return all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("boxes", "scores", "labels")
    )


def test_a_saved_detector_comes_back(finding: Detector, tmp_path: Path) -> None:
    finding.classes = ("a", "b", "c", "d")
    with torch.no_grad():
        finding.backbone.layer3[0][1].running_mean.add_(0.5)
    folder = finding.save(tmp_path / "deep" / "folder")
    loaded = Detector.load(folder)
    assert not loaded.training
    assert (loaded.config, loaded.classes) == (finding.config, finding.classes)
    batch = torch.stack(images((64, 64)))
    assert same(loaded.detect(batch), finding.detect(batch))
    assert sorted(file.name for file in folder.iterdir()) == [
        "detector.json",
        "weights.safetensors",
    ]


def test_class_names_are_counted(make_detector: MakeDetector) -> None:
    with pytest.raises(ValueError, match="num_classes is 4, but 2 are named"):
        Detector(make_detector().config, ("a", "b"))


def cut(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def widen(folder: Path) -> None:
    facts = json.loads((folder / "detector.json").read_text())
    facts["detector"]["width"] = 0.125
    (folder / "detector.json").write_text(json.dumps(facts))


def shorten(folder: Path) -> None:
    facts = json.loads((folder / "detector.json").read_text())
    facts["detector"]["neck"] = facts["detector"]["neck"][1:]
    (folder / "detector.json").write_text(json.dumps(facts))


def rename_classes(folder: Path) -> None:
    facts = json.loads((folder / "detector.json").read_text())
    facts["classes"] = ["only one"]
    (folder / "detector.json").write_text(json.dumps(facts))


def write(text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "detector.json").write_bytes(text)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), r"weights\.safetensors"),
    "no description": (lambda f: (f / "detector.json").unlink(), r"detector\.json"),
    "no folder": (shutil.rmtree, r"detector\.json"),
    "cut weights": (cut, r"weights\.safetensors"),
    "weights of a wider network": (widen, r"weights\.safetensors.*narrowed"),
    "weights of other layers": (shorten, r"weights\.safetensors.*missing or unknown"),
    "cut description": (write(b'{"detector": {'), r"detector\.json"),
    "not JSON": (write(b"weights"), r"detector\.json"),
    "not text": (write(b"\xff\xfe\x00"), r"detector\.json"),
    "a list": (write(b"[1, 2]"), r"detector\.json"),
    "no such field": (write(b'{"detector": {"depth": 3}, "classes": []}'), r"detector\.json.*"),
    "no classes": (write(b'{"detector": {}}'), r"detector\.json.*classes"),
    "classes miscounted": (rename_classes, r"detector\.json.*num_classes"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_loading_names_the_damaged_file(
    name: str, make_detector: MakeDetector, tmp_path: Path
) -> None:
    folder = make_detector().save(tmp_path / "saved")
    damage, message = DAMAGE[name]
    damage(folder)
    with pytest.raises(ValueError, match=r"(?s)" + message):
        Detector.load(folder)
