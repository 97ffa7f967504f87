"""Export of a detector as one file for other programs, by default with decoding and NMS inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from detectors.detector import Detector
from detectors.runtimes.deployed import calibration_images
from detectors.runtimes.exported import Exported
from detectors.runtimes.metadata import metadata
from detectors.runtimes.program import Calibration, Wanted
from detectors.runtimes.targets import check_wanted, ready_target
from detectors.runtimes.whole_image import check_cut_inside
from detectors.thresholds import Thresholds
from searchspace.runtimes import Precision


def exported(
    detector: Detector,
    name: str,
    wanted: Wanted,
    how: Calibration | None = None,
    thresholds: Thresholds | None = None,
) -> Exported:
    """A detector in the form of a target, not yet written, so that it can be compared first.

    Input: `images`, float32 [N, 3, H, W] in 0..1. Outputs: `boxes` [N, D, 4] in fractions of the
    input, `scores` and `labels` [N, D], best first and padded with zeros, as in
    `detectors.postprocess.Detections`; or without NMS `CANDIDATES`. Images are placed on the input
    as by `detectors.canvas.place`; where they are stretched, fractions of the input are those of
    the image.

    With tiles inside, the input is a whole image of `wanted.image_size`, one at a time.

    Args:
        name: of the target, see `detectors.runtimes.targets`.
        how: how it is quantised; needed for this precision only.
        thresholds: least scores of shown detections, for the metadata.

    Raises:
        InputError: there is no such target, it has not what is wanted, or int8 lacks images.
        RuntimeUnavailable: the target's library is not installed, or refuses the detector.
    """
    check_wanted(name, wanted)
    whole: dict[str, Any] = {}
    if wanted.image_size is not None:
        check_cut_inside(detector.canvas)
        whole = {
            "input_size": wanted.image_size,
            "resize": "stretch",
            "fill": None,
            "tiles": None,
            "tiles_inside": detector.canvas.tiles,
        }
    if wanted.precision == "int8":
        calibration_images(how.images if how else None)
    target = ready_target(name, wanted)
    program = target.program(detector, wanted, how)
    says = metadata(
        detector,
        thresholds,
        outputs=wanted.outputs,
        batch=wanted.batch if wanted.image_size is None else 1,
        precision=wanted.precision,
        in_float=program.in_float(),
        **whole,
    )
    return Exported(target, program, says)


def export(
    detector: Detector,
    name: str,
    path: Path,
    precision: Precision = "float32",
    calibration: Tensor | None = None,
    thresholds: Thresholds | None = None,
) -> Path:
    """Write a detector as one file without comparing it first; see `exported`.

    Args:
        path: the file; the target's suffix is appended to a name without it. OpenVINO writes the
            weights to a second file with suffix `.bin`.
        calibration: float images [M, 3, H, W] in 0..1 for the activation ranges of int8.
    """
    how = None if calibration is None else Calibration(calibration)
    return exported(detector, name, Wanted(precision), how, thresholds).save(path)
