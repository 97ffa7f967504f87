"""`sparrow export`: a saved detector as one file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from detectors.data.images import inspect_image, load_image
from detectors.data.transforms import evaluation_transform
from detectors.detector import Detector
from detectors.export import check_target, export
from launch.cli_options import console
from searchspace.geometry import InputSize
from searchspace.runtimes import Precision

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
CALIBRATION = 128
"""Images, at most, that int8 takes its ranges from."""


def export_command(
    folder: Annotated[Path, typer.Argument(help="A saved detector, such as TRIAL/compact.")],
    to: Annotated[str, typer.Option(help="onnx, torch-export or openvino.")],
    out: Annotated[Path | None, typer.Option(help="File; FOLDER/detector.* by default.")] = None,
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    images: Annotated[Path | None, typer.Option(help="Images that int8 is calibrated on.")] = None,
) -> None:
    """Write a detector as one model from images to detections, NMS inside."""
    target, precision = check_target(to, precision)
    detector = Detector.load(folder)
    calibration = _calibration(images, detector.config.input_size, precision)
    path = export(detector, target, out or folder / "detector", precision, calibration)
    height, width = detector.config.size
    most = detector.config.head.postprocess.detections
    console.print(
        f"{path}: images [N, 3, {height}, {width}] in 0..1 -> boxes [N, {most}, 4] in fractions of "
        f"the image, scores and labels [N, {most}], for any N",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _calibration(folder: Path | None, size: InputSize, precision: Precision) -> Tensor | None:
    if precision != "int8":
        if folder is not None:
            raise ValueError(f"--images: {precision} needs no calibration; leave it out")
        return None
    if folder is None:
        raise ValueError("--precision int8: give --images, a folder of training images")
    return read_images(folder, size, CALIBRATION)


def read_images(folder: Path, size: InputSize, most: int) -> Tensor:
    """Images of a folder as [M, 3, H, W] in 0..1, spread evenly over their names.

    Raises:
        ValueError: there is no image, or a file is none.
    """
    files = [file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise ValueError(f"{folder}: no images, which int8 is calibrated on")
    count, resize = min(most, len(files)), evaluation_transform(size)
    chosen = [sorted(files)[place * len(files) // count] for place in range(count)]
    return torch.stack([resize(load_image(f, *inspect_image(f).displayed)) for f in chosen]) / 255
