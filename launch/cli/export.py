"""`sparrow export`: a saved detector as one file that other programs run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from pydantic import BeforeValidator, ConfigDict, Field

from detectors.annotated import ApFigure
from detectors.canvas import GREY
from detectors.detector import Detector
from detectors.postprocess import Detecting
from detectors.runtimes.agreement import Check, agreement
from detectors.runtimes.beside import write_beside
from detectors.runtimes.export import exported
from detectors.runtimes.exported import Exported, finishing
from detectors.runtimes.metadata import class_names, metadata
from detectors.runtimes.program import Calibration, Wanted
from detectors.runtimes.targets import TARGETS, check_wanted, ready_target
from detectors.runtimes.whole_image import WholeImages, check_cut_inside
from detectors.thresholds import Thresholds, read_thresholds
from launch.cli.compared import Compared, ComparedOptions, Seen, compared
from launch.cli.from_fields import with_options
from launch.cli.models import trained_path
from launch.cli.names import saved_detector
from launch.cli.options import (
    ImageSize,
    ModelName,
    Options,
    OutFile,
    PrintJson,
    height_and_width,
)
from launch.cli.terminal import console, errors
from launch.files import DETECTOR, INT8, TRIAL
from launch.study.data_options import DataOptions
from launch.study.options import Option
from searchspace.errors import InputError
from searchspace.places import check_place
from searchspace.runtimes import Precision
from searchspace.words import command

LETTERBOX = (
    "letterbox: images keep their aspect ratio and lie in the top left corner; the rest is grey "
    f"({GREY} / 255); boxes are in fractions of {{width}}x{{height}} pixels"
)

SAME = 1e-3
"""The most that a score may change with the images in the same batch, by rounding."""


def _batch(value: Any) -> Any:
    return None if value == "dynamic" else value


class FileOptions(Options):
    """What is written."""

    model_config = ConfigDict(title="File")

    out: Annotated[OutFile | None, Option("FILE")] = Field(
        default=None, description="Default: detector.* in the folder of the detector."
    )
    precision: Precision = Field(
        default="float32",
        description="What layers are computed in; bfloat16 is for `sparrow fps` only.",
    )
    raw: bool = Field(
        default=False,
        description="Without NMS: the box and the class scores of every prior, decoded.",
    )
    batch: Annotated[
        int | None, BeforeValidator(_batch), Option("dynamic|N"), Field(ge=1, le=1024)
    ] = Field(default=None, description="Number of images at a time; any by default.")
    image_size: ImageSize = Field(
        default=None,
        description="Of a detector with tiles: the size of images that the file cuts and merges "
        "itself, such as 1920x1080; by default the script beside it does.",
    )
    max_drop: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="With int8: keep layers in float until AP, in 0..1, drops by no more than "
        "this, such as 0.01. It needs annotated images, --data.",
    )
    force: bool = Field(
        default=False,
        description="Use any images, and write the file even if it finds other things.",
    )

    def wanted(self, target: str) -> Wanted:
        """What is to be written; a usage error where a target has not what is wanted."""
        if self.max_drop is not None and self.precision != "int8":
            raise typer.BadParameter("it goes with --precision int8 only", param_hint="--max-drop")
        wanted = Wanted(self.precision, self.raw, self.batch, height_and_width(self.image_size))
        try:
            check_wanted(target, wanted)
        except InputError as error:
            raise typer.BadParameter(f"{error}") from None
        return wanted


@with_options
def export_command(
    name: ModelName,
    to: Annotated[str, typer.Option(help=f"Format: {', '.join(TARGETS)}.")],
    file: FileOptions,
    images: ComparedOptions,
    data: DataOptions,
    as_json: PrintJson = False,
) -> None:
    """Write a detector as one model from images to detections, NMS inside.

    Its detections are compared with those of PyTorch first, and it is not written if they differ.
    A README.md and a script that runs it without Sparrow are written beside it.
    """
    wanted = file.wanted(to)
    images.check()
    ready_target(to, wanted)
    path = trained_path(name)
    place = file.out or path / DETECTOR
    check_place(place)
    detector = saved_detector(path).eval()
    say = errors.say if as_json else console.say
    int8 = wanted.precision == "int8"
    original = _original(detector, wanted)
    found = compared(images, original, path, data.reading, int8, file.force, say)
    thresholds = thresholds_of(path, detector, wanted.precision)
    if thresholds is None:
        say(f"no thresholds were chosen: {command('eval', name, '--data', 'FOLDER')} chooses them")
    written = write_export(detector, to, file, found, thresholds, place, say)
    if as_json:
        console.say_json(written.as_tree())
        return
    _say_what_it_takes(written)
    console.say(f"beside it: {', '.join(place.name for place in written.beside)}")


def _original(detector: Detector, wanted: Wanted) -> Detecting:
    """What an export is compared with: the detector, or with tiles inside one of whole images."""
    if wanted.image_size is None:
        return detector
    check_cut_inside(detector.canvas)
    return WholeImages(detector, wanted.image_size)


class Written(NamedTuple):
    """A detector as a file, what lies beside it, and how it compares with the detector."""

    made: Exported
    file: Path
    beside: tuple[Path, ...]
    checks: list[Check]

    def as_tree(self) -> dict[str, Any]:
        """The result as JSON."""
        about = self.made.metadata.model_copy(update={"checks": tuple(self.checks)})
        return {
            "file": str(self.file),
            "beside": [str(place) for place in self.beside],
            "to": self.made.target.name,
            **about.model_dump(mode="json"),
        }


def write_export(
    detector: Detector,
    to: str,
    file: FileOptions,
    found: Compared,
    thresholds: Thresholds | None,
    place: Path,
    say: Callable[[str], None],
) -> Written:
    """Write a detector in the form of a target, if it finds the same there.

    Args:
        found: the images that it is compared on, and those for int8.
        place: the file, with or without its suffix.
        say: called with the figures of the comparison.

    Raises:
        InputError: it finds other things in that form, or nothing; nothing is written then.
    """
    wanted = file.wanted(to)
    int8 = wanted.precision == "int8"
    made = exported(
        detector, to, wanted, _calibration(detector, wanted, found, file.max_drop), thresholds
    )
    if int8 and found.calibration:
        say(f"int8: calibrated on {found.calibration.words}")
    original = _original(detector, wanted)
    checks = [_checked(original, made, seen, say) for seen in found.seen]
    if int8 and file.max_drop is not None:
        say(f"int8: layers in float: {', '.join(made.metadata.in_float) or 'none'}")
    _judge(checks, wanted.precision, file)
    written = made.save(place, checks)
    return Written(made, written, write_beside(Exported.read(written), written), checks)


def thresholds_of(path: Path, detector: Detector, precision: Precision) -> Thresholds | None:
    """The thresholds that were chosen for a detector, or else for its trial's other form, in int8
    or in float; None if none were."""
    classes = class_names(detector.classes, detector.num_classes)
    places = [path, path.parent / INT8] if (path.parent / TRIAL).exists() else [path]
    ordered = reversed(places) if precision == "int8" else places
    found = (read_thresholds(place, classes) for place in ordered if place.is_dir())
    return next(filter(None, found), None)


def _calibration(
    detector: Detector, wanted: Wanted, found: Compared, max_drop: float | None
) -> Calibration | None:
    """How int8 is made; None for another precision."""
    if wanted.precision != "int8" or found.calibration is None:
        return None
    images = found.calibration.images
    if max_drop is None:
        return Calibration(images)
    if found.annotated is None:
        raise typer.BadParameter("it needs annotated images, --data", param_hint="--max-drop")
    if not found.annotated.ap(detector.detect):
        raise InputError(
            f"{found.seen[0].words}: the detector's AP is 0 there, and cannot drop; give images "
            "like those that it was trained on, or leave --max-drop out"
        )
    finish = finishing(metadata(detector, outputs=wanted.outputs))
    return Calibration(images, ApFigure(found.annotated, finish), max_drop)


def _checked(detector: Detecting, made: Exported, seen: Seen, say: Callable[[str], None]) -> Check:
    """Compare an export with its original on some images, and print the figures.

    Raises:
        InputError: what it finds in an image depends on the others in the batch.
    """
    _check_batches(made, seen.images)
    known = seen.annotated
    with torch.inference_mode():
        check = Check(
            on=seen.words,
            agreement=agreement(detector, made, seen.images),
            ap_before=known.ap(detector.detect) if known else None,
            ap_after=known.ap(made.detect) if known else None,
        )
    precision = made.metadata.precision
    label = precision if precision != "float32" else made.target.name
    first, *others = check.lines()
    say(f"{label} on {seen.words}: {first}")
    for line in others:
        say(f"  {line}")
    return check


def _check_batches(made: Exported, images: Any) -> None:
    """Run one image, then three at a time, and hold the results to each other."""
    if made.metadata.batch is not None:
        return  # It takes no other number.
    three = images[[place % len(images) for place in range(3)]]
    alone = torch.cat([made.detect(image[None]).scores for image in three])
    apart = float((made.detect(three).scores - alone).abs().max())
    if apart > SAME and made.metadata.precision != "int8":
        raise InputError(
            f"{made.target.name}: in a batch of three images, a score differs by {apart:.3g} from "
            "that of the image alone; export it with --batch 1"
        )


def _judge(checks: list[Check], precision: Precision, file: FileOptions) -> None:
    """Raise `InputError` if an export is not its original, unless any will do."""
    poor = [line for check in checks for line in check.objections(precision, file.max_drop)]
    if poor and not file.force:
        advice = (
            "calibrate on images like those that the detector was trained on"
            if precision == "int8"
            else "compare on images in which the detector finds something"
        )
        raise InputError(
            f"{'; '.join(poor)}. Nothing was written: {advice}, or write it anyway with --force"
        )


def _say_what_it_takes(written: Written) -> None:
    """Print the inputs and outputs of the file."""
    about = written.made.metadata
    height, width = about.input_size
    images = about.batch or "N"
    if about.raw:
        priors, classes = sum(about.levels), len(about.classes)
        what = (
            f"candidate_boxes [{images}, {priors}, 4] in fractions of the image, candidate_scores "
            f"[{images}, {priors}, {classes}]"
        )
    else:
        most = about.postprocess.detections if about.postprocess else "D"
        what = (
            f"boxes [{images}, {most}, 4] in fractions of the image, scores and labels "
            f"[{images}, {most}]"
        )
    end = "" if about.batch else ", for any N"
    console.say(f"{written.file}: images [{images}, 3, {height}, {width}] in 0..1 -> {what}{end}")
    if about.resize == "letterbox":
        console.say(LETTERBOX.format(width=width, height=height))
