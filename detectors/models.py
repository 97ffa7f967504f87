"""`Model`: a trained detector in any form, ready to be run on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from detectors.data.images import image_tensor, inspect_image
from detectors.data.pixels import Decoded
from detectors.data.records import ImageRecord
from detectors.detector import Detector
from detectors.found import Found, found_in
from detectors.postprocess import Detecting, Detections
from detectors.quiet import computing
from detectors.runtimes import Form, load_detector
from detectors.runtimes.exported import Exported
from detectors.runtimes.metadata import class_names
from detectors.runtimes.targets import SUFFIXES, target_of
from detectors.thresholds import Thresholds, read_thresholds
from detectors.tiling import Readable, detect_images
from searchspace.errors import InputError
from searchspace.geometry import Canvas

if TYPE_CHECKING:
    from supervision import Detections

AnyImage = Path | str | Image | np.ndarray[Any, Any]
"""A file, a picture of Pillow, or uint8 [H, W, 3] in RGB."""

PLAIN = Form("eager", "float32")
"""The form of a detector that no runtime was asked for."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained detector.

    Attributes:
        path: the folder of a saved detector, or an exported file.
        detector: what runs it.
        form: the runtime, and its precision.
        device: where it runs.
        thresholds: the least scores of shown detections, if they were chosen.
    """

    path: Path
    detector: Detecting
    form: Form
    device: torch.device
    thresholds: Thresholds | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, label 1 first; their numbers where the detector has no names."""
        return class_names(self.detector.classes, self.detector.num_classes)

    @property
    def canvas(self) -> Canvas:
        """The size of the input, and how images are placed on it."""
        return self.detector.canvas

    @torch.inference_mode()
    def detect(self, images: Sequence[Tensor | Readable]) -> list[dict[str, Tensor]]:
        """What is found in images, one dictionary for each, on the CPU, best detection first.

        Args:
            images: uint8 [3, H, W], RGB, of any sizes, or what reads windows of them.

        Returns:
            `boxes` [M, 4], xyxy in pixels of the image, `labels` [M] from 1 and `scores` [M]; all
            that the detector finds, whatever `thresholds` say.
        """

        def detect(inputs: Tensor) -> Detections:
            batch = inputs.to(self.device).float().div_(255)
            found = self.detector.detect(batch.contiguous(memory_format=torch.channels_last))
            return found.cpu() if self.canvas.tiles is None else found

        with computing(self.device, "detecting on a batch"):
            found = detect_images(detect, images, self.canvas)
            return [{name: part.cpu() for name, part in one.items()} for one in found]

    def predict(self, image: AnyImage, threshold: float | None = None) -> Found | Detections:
        """What is found on one image: a `supervision.Detections` where `supervision` is installed,
        else a `Found`.

        Args:
            image: a file, a picture of Pillow, or uint8 [H, W, 3] in RGB.
            threshold: the least score; by default `thresholds`, or all detections without these.

        Raises:
            ImageError: it is no image.
        """
        given = image_tensor(image) if self.canvas.tiles is None else _readable(image)
        [detections] = self.detect([given])
        labels, scores = detections["labels"], detections["scores"]
        if threshold is not None:
            shown = scores >= threshold
        elif self.thresholds is not None:
            shown = scores >= self.thresholds.scores()[labels - 1]
        else:
            shown = scores > 0
        return found_in({name: part[shown] for name, part in detections.items()}, self.classes)


def _readable(image: AnyImage) -> Readable:
    """An image that is cut into tiles: of a large file, only these are read where it allows it."""
    if not isinstance(image, (str, Path)):
        return Readable.of(image_tensor(image))
    path = Path(image)
    width, height = inspect_image(path).displayed
    record = ImageRecord(0, path, width, height)
    return Readable((height, width), partial(Decoded(limit=0).get, record))


def load_model(path: Path, device: torch.device | None = None) -> Model:
    """A saved detector's folder, in int8 or not, or an exported file, ready to run.

    Args:
        device: where a detector in PyTorch runs; the CPU by default. Other forms run on the CPU.

    Raises:
        InputError: there is no model, or a file of it is missing or damaged.
        RuntimeUnavailable: what runs it is not installed here.
    """
    path = Path(path)
    if path.is_dir():
        found = load_detector(path)
        if isinstance(found, Detector):
            form, device = PLAIN, device or torch.device("cpu")
            found = found.eval().to(device)
        else:
            form, device = found.form, found.device
        kept = None
    elif target_of(path):
        found = Exported.read(path)
        form, device, kept = found.form, found.device, found.thresholds
    else:
        raise InputError(
            f"{path}: neither a folder of a saved detector nor an exported file "
            f"({', '.join(SUFFIXES.values())})"
        )
    names = class_names(found.classes, found.num_classes)
    return Model(path, found, form, device, read_thresholds(path, names) or kept)
