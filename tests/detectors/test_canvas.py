"""How images and boxes get onto the network's input, and back."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from compress import calibration_images, quantise
from detectors.canvas import GREY, fractions, in_pixels, place
from detectors.data.dataset import Annotation, Category, Dataset, ImageRecord
from detectors.data.loader import evaluation_batches
from detectors.data.samples import TrainingSet
from detectors.data.scene import Scene, Source
from detectors.detector import Detector, padded_objects
from detectors.evaluate import detect_split, evaluate
from detectors.features import resized
from detectors.postprocess import Detections
from detectors.runtimes import deploy, load_detector
from searchspace import DetectorConfig, TrialConfig
from searchspace.augmentation import Augment
from searchspace.compression import Int8
from searchspace.geometry import Canvas, Resize
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors
from searchspace.training import TrainConfig
from tests.detectors.deployable import CPU, needs_extra

RATIOS = [(80, 320), (90, 210), (150, 150), (97, 61), (320, 80), (40, 40), (700, 640)]
CANVASES = [Canvas((128, 128), "letterbox"), Canvas((96, 160), "letterbox"), Canvas((128, 96))]
RED = (255, 0, 0)
PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)


def letterboxed(**fields: object) -> DetectorConfig:
    wide = Postprocess(score_threshold=0.0, detections=30)
    head = Multibox(priors=ScaledPriors(), postprocess=wide)
    own = {"resize": "letterbox", "input_size": (64, 96), "num_classes": 1, "width": 0.25}
    return DetectorConfig(**(own | fields), head=head)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of many shapes, on black, each with one red object that is large on any canvas."""
    folder = tmp_path_factory.mktemp("red")
    images, annotations = [], {}
    for number, (height, width) in enumerate(RATIOS, start=1):
        x1, y1, x2, y2 = width // 8, height // 4, width, height - height // 8
        picture = Image.new("RGB", (width, height))
        picture.paste(RED, (x1, y1, x2, y2))
        picture.save(folder / f"{number}.png")
        images.append(ImageRecord(number, folder / f"{number}.png", width, height))
        area = float((x2 - x1) * (y2 - y1))
        annotations[number] = (Annotation(number, number, 1, (x1, y1, x2, y2), area, False, None),)
    return Dataset(tuple(images), (Category(1, "red"),), annotations)


def red_box(image: Tensor) -> Tensor:
    """xyxy in pixels of an image [3, H, W] in 0..1, with the share of pixels at the border."""
    red = image[0] * (1 - image[1]).round()
    down, across = red.amax(1), red.amax(0)

    def ends(values: Tensor) -> tuple[float, float]:
        inside = (values > 0.5).nonzero()
        return float(inside[0]), float(inside[-1]) + 1

    (top, bottom), (left, right) = ends(down), ends(across)
    return torch.tensor([left, top, right, bottom])


@pytest.mark.parametrize(("size", "canvas"), itertools.product(RATIOS, CANVASES))
def test_boxes_come_back(size: tuple[int, int], canvas: Canvas) -> None:
    height, width = size
    corners = torch.rand(50, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values
    boxes = corners.flatten(1) * torch.tensor([width, height] * 2)
    boxes[0] = torch.tensor([0, 0, width, height])
    there = fractions(boxes[None], [size], canvas)[0]
    assert torch.allclose(in_pixels(there, size, canvas), boxes, atol=1e-3)
    # As the training places them, too.
    source = Source(ImageRecord(1, Path("unused"), width, height))
    placed = Scene.of(source, {"boxes": boxes.double().numpy()}).placed(canvas)
    assert placed.size == canvas.size
    sides = torch.tensor((*canvas.size[::-1], *canvas.size[::-1]))
    assert torch.allclose(torch.from_numpy(placed.boxes).float() / sides, there, atol=1e-5)


@pytest.mark.parametrize("size", RATIOS)
def test_a_letterbox_keeps_the_ratio_and_fills_one_side(size: tuple[int, int]) -> None:
    canvas = Canvas((96, 160), "letterbox")
    height, width = canvas.content(size)
    assert (height == 96) or (width == 160)
    assert height <= 96
    assert width <= 160
    # A whole number of pixels, so the ratio is off by half a pixel at most.
    assert abs(height / size[0] - width / size[1]) * min(size) <= 0.51
    image = torch.full((3, *size), 7, dtype=torch.uint8)
    placed = place(image, canvas)
    assert placed.shape == (3, 96, 160)
    assert (placed[:, :height, :width] == 7).all()
    assert placed.sum() == 7 * 3 * height * width + GREY * 3 * (96 * 160 - height * width)
    light = place(image / 255, canvas)
    assert torch.allclose(light, placed / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(96, 160), (48, 80), (240, 400)])
def test_an_image_of_the_canvas_ratio_is_stretched_or_letterboxed_alike(
    size: tuple[int, int],
) -> None:
    image = torch.rand(3, *size)
    both = [place(image, Canvas((96, 160), how)) for how in ("stretch", "letterbox")]
    assert torch.equal(*both)
    assert torch.equal(both[0], resized(image[None], (96, 160), antialias=True)[0])


class Sees(Detector):
    """Finds the red object on its input, whatever its weights."""

    def detect(self, batch: Tensor) -> Detections:
        height, width = batch.shape[-2:]
        boxes = torch.stack([red_box(image) for image in batch])
        boxes = boxes[:, None] / torch.tensor([width, height, width, height])
        # And something in the last corner, which is padding for most images.
        beside = torch.tensor([0.99, 0.99, 1, 1]).expand_as(boxes)
        scores = torch.tensor([0.9, 0.8]).expand(len(batch), 2)
        labels = torch.ones(len(batch), 2, dtype=torch.long)
        return Detections(torch.cat((boxes, beside), 1), scores, labels)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_who_sees_all_scores_one(split: Dataset, resize: Resize) -> None:
    detector = Sees(letterboxed(resize=resize, input_size=(480, 640)))
    metrics = evaluate(detector, split, CPU)
    assert metrics.ap == pytest.approx(1.0)
    # The same image by image, as in prediction.
    image = torch.zeros(3, 80, 320)
    image[0, 20:70, 40:320] = 1
    found = detector([image])[0]
    assert found["boxes"][0].tolist() == pytest.approx([40, 20, 320, 70], abs=1)
    assert len(found["boxes"]) == (1 if resize == "letterbox" else 2)


def test_training_and_evaluation_place_images_alike(split: Dataset) -> None:
    canvas = Canvas((64, 96), "letterbox")
    train = TrainConfig(augment=PLAIN)
    samples = TrainingSet(split, train, canvas, seed=0)
    records, batch = next(evaluation_batches(split, canvas, len(split.images)))
    shown = calibration_images(split, len(records), canvas)
    assert torch.equal(shown, batch / 255)
    for number, record in enumerate(records):
        image, target = samples.sample(number)
        # One sums up in fixed point, the other in floating point.
        assert (image.int() - batch[number].int()).abs().max() <= 1
        box = torch.tensor([split.annotations[record.id][0].box])
        expected = fractions(box[None], [(record.height, record.width)], canvas)[0]
        expected *= torch.tensor([96, 64, 96, 64])
        assert torch.allclose(target["boxes"], expected, atol=1e-4)


def test_targets_of_the_modules_call_lie_where_its_images_do() -> None:
    targets = [{"boxes": torch.tensor([[10.0, 20, 30, 40]]), "labels": torch.tensor([1])}]
    canvas = Canvas((64, 64), "letterbox")
    objects = padded_objects(targets, [(80, 40)], canvas, "input")
    assert objects.boxes[0, 0].tolist() == pytest.approx([0.125, 0.25, 0.375, 0.5])
    detector = Detector(letterboxed(input_size=64)).train()
    losses = detector([torch.rand(3, 80, 40)] * 2, targets * 2)
    assert all(loss.isfinite() for loss in losses.values())


@needs_extra
def test_every_form_of_a_letterboxed_detector_finds_the_same(
    split: Dataset, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    detector = Detector(letterboxed(), ("red",)).eval()
    detector.save(tmp_path / "saved")
    assert Detector.load(tmp_path / "saved").config.resize == "letterbox"
    expected = detect_split(detector, split, CPU)
    assert {r["image_id"] for r in expected} == {image.id for image in split.images}
    deployed = deploy(detector, "onnxruntime", "float32", CPU)
    found = detect_split(deployed, split, CPU)
    assert [r["bbox"] for r in found] == [
        pytest.approx(r["bbox"], abs=0.05) for r in expected
    ]  # fmt: skip
    for record, result in itertools.product(split.images, found):
        if result["image_id"] == record.id:
            x, y, w, h = result["bbox"]
            assert x + w <= record.width + 1e-3
            assert y + h <= record.height + 1e-3


@needs_extra
def test_int8_of_a_letterboxed_detector_is_one_too(split: Dataset, tmp_path: Path) -> None:
    detector = Detector(letterboxed(), ("red",)).eval()
    images = calibration_images(split, 2, detector.config.canvas)
    quantise(detector, Int8(runtime="onnxruntime"), images, tmp_path)
    assert load_detector(tmp_path).config.canvas == Canvas((64, 96), "letterbox")


def test_what_was_stored_keeps_its_name() -> None:
    """Fields that were added later are not written at their defaults."""
    stock = TrialConfig()
    assert stock.digest() == "893a07dcd0effd55"
    assert "resize" not in stock.detector.cause()
    changed = stock.changed(detector=stock.detector.changed(resize="letterbox"))
    assert changed.digest() != stock.digest()
    assert TrialConfig.model_validate_json(changed.model_dump_json()) == changed
    assert TrialConfig.model_validate_json(stock.model_dump_json()) == stock
    assert "letterbox" in changed.in_words()
