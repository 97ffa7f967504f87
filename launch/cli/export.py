"""`sparrow export`: a saved detector as one file that other programs run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from detectors.canvas import GREY
from detectors.detector import Detector
from detectors.runtimes import Deployed
from detectors.runtimes.agreement import LEAST, Agreement, agreement
from detectors.runtimes.export import check_target, export
from launch.cli import option_types
from launch.cli.calibration import Pictures
from launch.cli.names import saved_detector
from launch.cli.options import SavedDetector
from launch.cli.terminal import console
from searchspace.errors import InputError
from searchspace.geometry import InputSize
from searchspace.runtimes import Precision

LETTERBOX = (
    "letterbox: images keep their aspect ratio and lie in the top left corner; the rest is grey "
    f"({GREY} / 255); boxes are in fractions of {{width}}x{{height}} pixels"
)


def export_command(
    folder: SavedDetector,
    to: Annotated[str, typer.Option(help="Format: onnx, torch-export or openvino.")],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.out_file,
            metavar="FILE",
            help="Default: DETECTOR/detector.*",
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    images: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.in_folder,
            metavar="FOLDER",
            help="Training images to calibrate int8 on.",
        ),
    ] = None,
    val_images: Annotated[
        Path | None,
        typer.Option(
            parser=option_types.in_folder,
            metavar="FOLDER",
            help="Further images to compare int8 with float32 on.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Use any images for int8, and write it even if it disagrees."),
    ] = False,
) -> None:
    """Write a detector as one model from images to detections, NMS inside.

    int8 is compared with float32 on the images, and is not written if the detections differ.
    """
    try:
        target, precision = check_target(to, precision)
    except InputError as error:
        raise typer.BadParameter(f"{error}") from None
    _check_options(precision, images, val_images, force)
    detector = saved_detector(folder)
    size = detector.config.input_size
    read = [_read(given, size, force) for given in (images, val_images) if given]

    def judge(quantised: Deployed) -> None:
        _judge(detector, quantised, read, force)

    calibration = read[0].images if read else None
    path = export(detector, target, out or folder / "detector", precision, calibration, judge)
    _say_what_it_takes(detector, path)


def _say_what_it_takes(detector: Detector, path: Path) -> None:
    """Print the inputs and outputs of the file."""
    height, width = detector.config.size
    most = detector.config.head.postprocess.detections
    console.say(
        f"{path}: images [N, 3, {height}, {width}] in 0..1 -> boxes [N, {most}, 4] in fractions of "
        f"the image, scores and labels [N, {most}], for any N"
    )
    if detector.config.resize == "letterbox":
        console.say(LETTERBOX.format(width=width, height=height))


def _check_options(
    precision: Precision, images: Path | None, val_images: Path | None, force: bool
) -> None:
    if precision == "int8":
        if images is None:
            raise typer.BadParameter(
                "int8 needs --images, a folder of training images", param_hint="--precision"
            )
        return
    for option, given in (("--images", images), ("--val-images", val_images), ("--force", force)):
        if given:
            raise typer.BadParameter(
                f"{precision} needs no calibration; remove this option", param_hint=option
            )


def _read(folder: Path, size: InputSize, force: bool) -> Pictures:
    pictures = Pictures.read(folder, size, fit=not force)
    for line in pictures.warnings():
        console.say(f"warning: {line}")
    return pictures


def _judge(detector: Detector, quantised: Deployed, read: Sequence[Pictures], force: bool) -> None:
    """Print the agreement of int8 with float32, and raise if it is too low.

    Raises:
        ValueError: they agree too little on some pictures, or find nothing in them.
    """
    console.say(f"int8: calibrated on {read[0]}")
    poor = []
    for pictures in read:
        found = agreement(detector, quantised, pictures.images)
        console.say(f"int8 on {pictures}: {found}")
        if found.poor:
            poor.append(_objection(found, pictures))
    if poor and not force:
        raise InputError(
            f"{'; '.join(poor)}. Nothing was written: calibrate on images like those that the "
            "detector was trained on, or write it anyway with --force"
        )


def _objection(found: Agreement, pictures: Pictures) -> str:
    if found.share is None:
        return f"{pictures.folder}: the detector finds nothing there, so int8 cannot be judged"
    return (
        f"{pictures.folder}: int8 agrees with {100 * found.share:.0f} % of the detections of "
        f"float32, less than {100 * LEAST:.0f} %"
    )
