"""What an exported file says of itself, so that a program can run it without its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from detectors.canvas import GREY
from detectors.detector import Detector
from detectors.thresholds import Thresholds
from searchspace.errors import InputError
from searchspace.geometry import Canvas, Resize, Size

NORMALISATION = "inside"
"""Exported graphs subtract the mean and divide by the deviation themselves."""


@dataclass(frozen=True)
class Metadata:
    """What `metadata` wrote, read back.

    Attributes:
        canvas: how images are placed on the input.
        classes: names of the labels 1, 2, ...; numbers where the detector has no names.
        thresholds: those that the detector had when it was exported, if any.
    """

    canvas: Canvas
    classes: tuple[str, ...]
    thresholds: Thresholds | None


def metadata(detector: Detector, thresholds: Thresholds | None = None) -> dict[str, str]:
    """What a program has to know to prepare images and to name labels, as texts.

    Attributes of the result: `resize`, `stretch` or `letterbox`; `fill`, the value of the rest of a
    letterboxed input, in 0..1; `input_size`, height and width in pixels; `input_range`, to which
    the graph itself applies the normalisation; `boxes`, what they are fractions of; `classes`, the
    names of labels 1, 2, ..., as JSON; `thresholds`, the least scores, as JSON, if they were
    chosen; `version`, of Sparrow.
    """
    config = detector.config
    filled = {"fill": f"{GREY / 255:.6g}"} if config.resize == "letterbox" else {}
    chosen = {} if thresholds is None else {"thresholds": thresholds.model_dump_json()}
    return {
        "resize": config.resize,
        **filled,
        "input_size": json.dumps(config.size),
        "input_range": "RGB in 0..1",
        "normalisation": NORMALISATION,
        "boxes": "x1, y1, x2, y2 in fractions of the input",
        "classes": json.dumps(class_names(detector.classes, config.num_classes)),
        "version": version("sparrow-search"),
        **chosen,
    }


def class_names(classes: Sequence[str], count: int) -> tuple[str, ...]:
    """The names of classes; their numbers where they have none."""
    return tuple(classes) or tuple(str(number) for number in range(1, 1 + count))


def read_metadata(texts: Mapping[str, str], path: Path) -> Metadata:
    """The inverse of `metadata`.

    Raises:
        InputError: it is missing or damaged, as in a file that was not exported by Sparrow.
    """
    try:
        size = TypeAdapter(Size).validate_json(texts["input_size"])
        resize: Resize = TypeAdapter(Resize).validate_python(texts["resize"])
        classes = TypeAdapter(tuple[str, ...]).validate_json(texts["classes"])
        kept = texts.get("thresholds")
        thresholds = None if kept is None else Thresholds.model_validate_json(kept)
    except (KeyError, ValidationError):
        raise InputError(
            f"{path}: it does not say its input_size, resize ({' or '.join(get_args(Resize))}) and "
            "classes, as files do that sparrow export writes; export the detector again"
        ) from None
    return Metadata(Canvas(size, resize), classes, thresholds)
