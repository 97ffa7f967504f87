"""What an exported file says of itself, so that a program can run it without its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.canvas import GREY
from detectors.detector import Detector
from detectors.runtimes.agreement import Check
from detectors.runtimes.onnx_graph import CANDIDATES, DETECTIONS, INPUT
from detectors.thresholds import Thresholds
from searchspace.errors import InputError
from searchspace.geometry import Canvas, Resize, Size
from searchspace.heads import Postprocess
from searchspace.runtimes import Precision
from searchspace.tiles import Cutting


class Metadata(BaseModel):
    """What a program has to know to prepare images and to read the outputs.

    In a file, each attribute is a text under its name: a string as it is, all else as JSON.
    Attributes without a value are left out.

    Attributes:
        input: name of the input, float32 [N, 3, height, width].
        outputs: names of the outputs, in their order: `DETECTIONS`, or `CANDIDATES` where NMS is
            left to the program.
        input_size: height and width of the input in pixels.
        resize: `stretch`: the image covers the input. `letterbox`: it keeps its aspect ratio and
            lies in the top left corner.
        tiles: how an image is cut; each part is an input, and the detections are merged.
        tiles_inside: how the file itself cuts an image, whose size is that of the input.
        fill: the value of the rest of a letterboxed input, in 0..1.
        input_range: order of the channels, and the values of pixels.
        layout: the axes of the input.
        normalisation: where the mean is subtracted and the result divided by the deviation.
        boxes: what the numbers of a box are.
        batch: the only number of images that the input takes; None for any.
        classes: names of the labels 1, 2, ...; numbers where the detector has none.
        thresholds: the least scores of shown detections, if they were chosen.
        postprocess: what NMS does, or has to do.
        levels: number of candidates of each level of the network, in their order.
        precision: what the layers are computed in.
        in_float: names of layers that stay in float in int8, where AP decided which.
        checks: how the file was compared with the detector when it was written.
        version: of Sparrow.
    """

    model_config = ConfigDict(frozen=True)

    input: str = INPUT
    outputs: tuple[str, ...] = DETECTIONS
    input_size: Size
    resize: Resize
    tiles: Cutting | None = None
    tiles_inside: Cutting | None = None
    fill: float | None = None
    input_range: str = "RGB in 0..1"
    layout: str = "NCHW"
    normalisation: str = "inside"
    boxes: str = "x1, y1, x2, y2 in fractions of the input"
    batch: int | None = None
    classes: tuple[str, ...]
    thresholds: Thresholds | None = None
    postprocess: Postprocess | None = None
    levels: tuple[int, ...] = ()
    precision: Precision = "float32"
    in_float: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    version: str | None = None

    @property
    def canvas(self) -> Canvas:
        """How images are placed on the input."""
        return Canvas(self.input_size, self.resize, self.tiles)

    @property
    def raw(self) -> bool:
        """Whether NMS is left to the program."""
        return self.outputs == CANDIDATES

    def texts(self) -> dict[str, str]:
        """As it is kept in a file."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in self.model_dump(mode="json").items()
            if value is not None
        }

    @classmethod
    def of_texts(cls, texts: Mapping[str, str], path: Path) -> Self:
        """The inverse of `texts`.

        Args:
            path: the file that they are from, for messages.

        Raises:
            InputError: one is missing or damaged, as in a file that Sparrow did not export.
        """
        try:
            return cls.model_validate(
                {
                    name: texts[name] if name in TEXTS else json.loads(texts[name])
                    for name in cls.model_fields
                    if name in texts
                }
            )
        except (json.JSONDecodeError, ValidationError):
            raise InputError(
                f"{path}: it does not say its input_size, resize ({' or '.join(get_args(Resize))}) "
                "and classes, as files do that sparrow export writes; export the detector again"
            ) from None


TEXTS = frozenset(
    name
    for name, field in Metadata.model_fields.items()
    if field.annotation in (str, str | None, Resize, Precision)
)
"""The attributes that are strings."""


def metadata(
    detector: Detector, thresholds: Thresholds | None = None, **fields: object
) -> Metadata:
    """That of a detector.

    Args:
        thresholds: least scores of shown detections.
        fields: further attributes by name.
    """
    config = detector.config
    return Metadata.model_validate(
        {
            "input_size": config.size,
            "resize": config.resize,
            "tiles": config.canvas.tiles,
            "fill": round(GREY / 255, 6) if config.resize == "letterbox" else None,
            "classes": class_names(detector.classes, config.num_classes),
            "thresholds": thresholds,
            "postprocess": config.head.postprocess,
            "levels": detector.head.counts,
            "version": version("sparrow-search"),
            **fields,
        }
    )


def class_names(classes: Sequence[str], count: int) -> tuple[str, ...]:
    """The names of classes; their numbers where they have none."""
    return tuple(classes) or tuple(str(number) for number in range(1, 1 + count))
