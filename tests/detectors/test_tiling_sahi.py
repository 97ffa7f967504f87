"""Detection in tiles held to that of a library for it, box by box: `pip install sahi`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.models import PLAIN, Model
from launch.cli.calibration import Pictures
from searchspace import load_space
from searchspace.tiles import Merge, TileSize
from tests.detectors.deployable import attentive

base = pytest.importorskip("sahi.models.base", reason="sahi is not installed")
predict = pytest.importorskip("sahi.predict")
prediction = pytest.importorskip("sahi.prediction")

CPU = torch.device("cpu")


class Sliced(base.DetectionModel):
    """A detector as the library calls it, an image at a time."""

    def __init__(self, model: Model) -> None:
        self.own = model
        super().__init__(confidence_threshold=0.0, load_at_init=False)

    def perform_inference(self, image: np.ndarray) -> None:
        self._original_predictions = self.own.detect([as_tensor(image)])

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        [found] = self._original_predictions
        self._object_prediction_list_per_image = [
            [
                prediction.ObjectPrediction(
                    bbox=box,
                    category_id=label,
                    category_name=str(label),
                    score=score,
                    shift_amount=of_first(shift_amount_list),
                    full_shape=of_first(full_shape_list),
                )
                for box, label, score in zip(
                    found["boxes"].tolist(),
                    found["labels"].tolist(),
                    found["scores"].tolist(),
                    strict=True,
                )
            ]
        ]


def of_first(given: Any) -> Any:
    """What is given for the first image: the library passes it alone for a whole image."""
    return given[0] if isinstance(given[0], list) else given


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def model_of(detector: Detector) -> Model:
    return Model(Path("unused"), detector.eval(), PLAIN, CPU, None)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, list[np.ndarray]]:
    """A detector that finds things, and three images of 200 x 260 pixels."""
    folder = tmp_path_factory.mktemp("data")
    shapes = generate_shapes(folder / "shapes", ShapesConfig(8, 3, 260))
    config = load_space("quick").baseline().detector.changed(input_size=96)
    detector = attentive(config, Pictures.read(shapes / "train", 96).images)
    files = sorted((shapes / "val").iterdir())
    images = [np.asarray(Image.open(file).convert("RGB"))[:200] for file in files]
    return detector, images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "metric", "whole", "per_class"),
    [
        ("nms", "IOU", False, True),
        ("nms", "IOU", True, False),
        ("ios", "IOS", False, False),
        ("ios", "IOS", True, True),
    ],
)
def test_the_same_boxes_are_found(
    seeing: tuple[Detector, list[np.ndarray]], by: str, metric: str, whole: bool, per_class: bool
) -> None:
    plain, images = seeing
    merge = Merge.model_validate({"by": by, "per_class": per_class})
    tiles = TileSize(side=(96, 110), overlap=0.2, whole=whole, merge=merge)
    cut = Detector(plain.config.changed(tiles=tiles))
    cut.load_state_dict(plain.state_dict())
    ours, theirs = model_of(cut), Sliced(model_of(plain))
    for image in images:
        [found] = ours.detect([as_tensor(image)])
        result = predict.get_sliced_prediction(
            image,
            theirs,
            slice_height=96,
            slice_width=110,
            overlap_height_ratio=0.2,
            overlap_width_ratio=0.2,
            perform_standard_pred=whole,
            postprocess_type="NMS",
            postprocess_match_metric=metric,
            postprocess_match_threshold=0.5,
            postprocess_class_agnostic=not per_class,
            verbose=0,
        )
        rows = sorted(
            (one.score.value, one.category.id, one.bbox.to_xyxy())
            for one in result.object_prediction_list
        )[::-1][: len(found["scores"])]
        assert len(rows) > 20
        np.testing.assert_allclose(found["scores"], [row[0] for row in rows], atol=1e-5)
        assert found["labels"].tolist() == [row[1] for row in rows]
        np.testing.assert_allclose(found["boxes"], [row[2] for row in rows], atol=1e-2)
