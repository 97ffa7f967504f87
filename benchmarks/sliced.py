"""A detector as sahi calls it, the library for inference in slices: `pip install sahi`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction
from torch import Tensor

from detectors.models import Model
from searchspace.tiles import TileSize

Row = tuple[float, int, list[float]]
"""Score, label and corners of a detection."""


class Sliced(DetectionModel):
    """A detector that looks at images whole, one at a time."""

    def __init__(self, model: Model) -> None:
        self.own = model
        super().__init__(confidence_threshold=0.0, load_at_init=False)

    def perform_inference(self, image: np.ndarray) -> None:
        self._original_predictions = self.own.detect([as_tensor(image)])

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        [found] = self._original_predictions
        columns = (found[name].tolist() for name in ("boxes", "labels", "scores"))
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=box,
                    category_id=label,
                    category_name=str(label),
                    score=score,
                    shift_amount=_of_first(shift_amount_list),
                    full_shape=_of_first(full_shape_list),
                )
                for box, label, score in zip(*columns, strict=True)
            ]
        ]


def found_by_sahi(model: Sliced, image: np.ndarray, tiles: TileSize) -> list[Row]:
    """What the library finds in the tiles of an image, best first."""
    height, width = tiles.tile(image.shape[:2])
    result = get_sliced_prediction(
        image,
        model,
        slice_height=height,
        slice_width=width,
        overlap_height_ratio=tiles.overlap,
        overlap_width_ratio=tiles.overlap,
        perform_standard_pred=tiles.whole,
        postprocess_type="NMS",
        postprocess_match_metric="IOU" if tiles.merge.by == "nms" else "IOS",
        postprocess_match_threshold=tiles.merge.threshold,
        postprocess_class_agnostic=not tiles.merge.per_class,
        verbose=0,
    )
    rows = (
        (one.score.value, one.category.id, one.bbox.to_xyxy())
        for one in result.object_prediction_list
    )
    return sorted(rows, reverse=True)


def as_tensor(image: np.ndarray) -> Tensor:
    """An image, uint8 [H, W, 3], as uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _of_first(given: Any) -> Any:
    """What is given for the first image: the library passes it alone for a whole image."""
    return given[0] if isinstance(given[0], list) else given
