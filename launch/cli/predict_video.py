"""Detections on a video, frame by frame: boxes drawn into a video, and rows of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import typer
from torch import Tensor
from torchvision.transforms.v2 import functional

from detectors.activity import active
from detectors.detection_files import COLUMNS
from detectors.files import written
from detectors.models import Model
from detectors.videos import Frame, Video, VideoError, check_installed, open_video, writing_video
from launch.report.drawing import colour_of, drawn
from searchspace.errors import InputError
from searchspace.words import counted

BATCH = 8
"""Frames that are detected on, and held in memory, at once."""

PICTURES, CSV, COCO = "pictures", "csv", "coco"
FORMS = (PICTURES, CSV, COCO)
"""The forms of `sparrow predict` in which a video's detections can be written."""

Found = dict[str, Tensor]
"""The detections on one frame, as `Model.detect` gives them."""

Sink = Callable[[Frame, Found], None]
"""Writes what was found on a frame."""


class Written(NamedTuple):
    """How many frames were looked at, and how many detections were written."""

    frames: int
    detections: int

    def in_words(self) -> str:
        return f"{counted(self.detections, 'detection')} on {counted(self.frames, 'frame')}"


@dataclass(frozen=True, eq=False)
class VideoTask:
    """What is to be done with a video.

    Attributes:
        every: only every Nth frame is looked at, beginning with the first.
        form: of `FORMS`.
        out: the file, or for pictures the folder, that is written.
    """

    path: Path
    every: int
    form: str
    out: Path

    def check(self) -> None:
        """Raise an error where the video cannot be read, or not be written in this form."""
        if self.form not in FORMS:
            raise typer.BadParameter(
                f"{self.form}: it has a file for each image; of a video there are "
                f"{', '.join(FORMS)}",
                param_hint="--to",
            )
        check_installed()
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file")

    def run(self, model: Model, least: np.ndarray | None) -> Written:
        """Detect and write. A video that is damaged has its results up to there.

        Args:
            least: [1 + K], the least score that is written, by label; None for all.

        Raises:
            VideoError: it is no video, or damaged; the message says what was written.
        """
        with open_video(self.path) as video:
            frames, detections, damage = 0, 0, None
            with ExitStack() as open_files:
                sinks = [open_files.enter_context(sink) for sink in self._sinks(video, model)]
                try:
                    for frame, found in self._found(video, model, least):
                        frames, detections = frames + 1, detections + len(found["scores"])
                        for write in sinks:
                            write(frame, found)
                except VideoError as error:
                    damage = error
                    if not frames:
                        raise
        if damage:
            raise VideoError(f"{damage}; {self.out} has the {frames} frames before it")
        return Written(frames, detections)

    def _found(
        self, video: Video, model: Model, least: np.ndarray | None
    ) -> Iterator[tuple[Frame, Found]]:
        """What is found on each frame that is looked at, with no more than `BATCH` in memory."""
        total = video.frames and -(-video.frames // self.every)
        with active("Detecting", total) as advance:
            for batch in _batches(video.read(self.every)):
                found = model.detect([frame.image for frame in batch])
                yield from zip(batch, (_kept(one, least) for one in found), strict=True)
                advance(len(batch))

    def _sinks(self, video: Video, model: Model) -> list[AbstractContextManager[Sink]]:
        if self.form == COCO:
            return [coco_rows(self.out, self.path.name)]
        if self.form == CSV:
            return [csv_rows(self.out, model.classes)]
        picture = self.out / f"{self.path.stem}.mp4"
        table = self.out / "detections.csv"
        return [drawing(picture, video, self.every, model.classes), csv_rows(table, model.classes)]


def _kept(found: Found, least: np.ndarray | None) -> Found:
    if least is None:
        return found
    shown = found["scores"].numpy() >= least[found["labels"].numpy()]
    return {name: part[shown] for name, part in found.items()}


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Frames in batches; before an error, those that came before it."""
    batch: list[Frame] = []
    try:
        for frame in frames:
            batch.append(frame)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except VideoError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


@contextmanager
def csv_rows(path: Path, classes: tuple[str, ...]) -> Iterator[Sink]:
    """A line for each detection, with the frame's number from 0 and its time in seconds."""
    with written(path) as file, _text(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("frame", "time", *COLUMNS[1:]))

        def write(frame: Frame, found: Found) -> None:
            for box, score, label in _rows(found):
                corners = (f"{side:.2f}" for side in box)
                about = (frame.number, f"{frame.time:.3f}", classes[label - 1], f"{score:.6f}")
                writer.writerow((*about, *corners))

        yield write


@contextmanager
def coco_rows(path: Path, name: str) -> Iterator[Sink]:
    """COCO's result form: `image_id` is the frame's number from 0, a category's id its label; with
    the name of the video and the time in seconds."""
    with written(path) as file, _text(file) as text:
        text.write("[")
        before = ""

        def write(frame: Frame, found: Found) -> None:
            nonlocal before
            for (x1, y1, x2, y2), score, label in _rows(found):
                row = {
                    "image_id": frame.number,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                    "file_name": name,
                    "time": round(frame.time, 3),
                }
                text.write(f"{before}{json.dumps(row)}")
                before = ",\n"

        yield write
        text.write("]\n")


@contextmanager
def drawing(path: Path, video: Video, every: int, classes: tuple[str, ...]) -> Iterator[Sink]:
    """A video of the frames that were looked at, at their times, with boxes, the best on top."""
    with written(path) as file, writing_video(file, video.rate / every) as writer:

        def write(frame: Frame, found: Found) -> None:
            rows = [*_rows(found)][::-1]
            texts = [f"{classes[label - 1]} {score:.2f}" for _, score, label in rows]
            picture = drawn(
                functional.to_pil_image(frame.image),
                [box for box, _, _ in rows],
                texts,
                [colour_of(label) for _, _, label in rows],
            )
            writer.add(np.asarray(picture), frame.time)

        yield write


@contextmanager
def _text(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """Text into a file that stays open."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    yield text
    text.flush()
    text.detach()


def _rows(found: Found) -> Iterator[tuple[list[float], float, int]]:
    """Corners, score and label of each detection, the best first."""
    parts = (found[name].tolist() for name in ("boxes", "scores", "labels"))
    return zip(*parts, strict=True)
