"""Video files: their frames one after the other, and pictures written as a video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from searchspace.errors import InputError
from searchspace.words import install

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
"""By which files are taken for videos."""

TICKS = 90_000
"""Parts of a second in which the times of written frames are kept."""

USUAL_RATE = Fraction(25)
"""Frames per second where a file does not say."""

WHOLE = 0.9
"""The share of the frames that a file announces which a whole one has at least: what is cut off by
an editor is counted there, too."""

RECODED = "ffmpeg -i FILE whole.mp4 writes what can be read of it"


class VideoError(InputError):
    """A file that is not a video, is damaged, or cannot be decoded here; the message names it."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: in the file, from 0.
        time: seconds since its beginning.
        image: uint8 [3, H, W], RGB, as displayed.
    """

    number: int
    time: float
    image: Tensor


def is_video(file: Path) -> bool:
    """Whether a file is called as a video is."""
    return file.suffix.lower() in SUFFIXES


class Video:
    """A video file, whose frames are decoded when they are asked for; by `open_video`.

    Attributes:
        frames: how many it announces; None if it does not.
        rate: frames per second.
    """

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self.path = path
        self._container, self._stream = container, stream
        self.rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
        length = container.duration / 1e6 * self.rate if container.duration else 0
        self.frames: int | None = stream.frames or round(length) or None

    def read(self, every: int = 1) -> Iterator[Frame]:
        """Each frame, or every Nth, beginning with the first; only one is held at a time.

        Raises:
            VideoError: what follows is damaged, or missing.
        """
        from av import FFmpegError

        number = -1
        try:
            for number, frame in enumerate(self._container.decode(self._stream)):
                if number % every == 0:
                    seconds = float(number / self.rate) if frame.time is None else frame.time
                    yield Frame(number, seconds, _pixels(frame))
        except FFmpegError as error:
            words = error.strerror or type(error).__name__
            raise VideoError(
                f"{self.path}: damaged after frame {number} ({words}); {RECODED}"
            ) from None
        announced = self._stream.frames
        if number < 0 or number + 1 < WHOLE * announced:
            raise VideoError(
                f"{self.path}: it ends after {number + 1} of {announced or 'its'} frames; copy the "
                "whole file"
            )


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """A video file, while it is open.

    Raises:
        VideoError: it is no video, or cannot be decoded here.
        OSError: it cannot be opened.
    """
    check_installed()
    import av

    with path.open("rb") as file:
        try:
            container = av.open(file, "r")
        except (av.FFmpegError, OSError) as error:  # The latter for an empty file.
            raise VideoError(
                f"{path}: not a video, or cut off ({error.strerror or type(error).__name__})"
            ) from None
        with container:
            if not container.streams.video:
                raise VideoError(f"{path}: it has no pictures, only sound or text")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(f"{path}: its format cannot be decoded here; {RECODED}")
            stream.thread_type = "AUTO"
            yield Video(path, container, stream)


class VideoWriter:
    """Writes pictures as an MP4 file, without sound; by `writing_video`.

    Attributes:
        rate: frames per second, as the file says.
    """

    def __init__(self, container: Any, rate: Fraction) -> None:
        self._container, self._rate = container, rate
        self._stream: Any = None
        self._last = -1

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """A picture, uint8 [H, W, 3] in RGB, to be shown from this time on."""
        import av

        # Colours are kept for pairs of pixels.
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        if self._stream is None:
            self._stream = self._begun(width, height)
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture[:height, :width]), format="rgb24"
        )
        self._last = max(self._last + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())

    def _begun(self, width: int, height: int) -> Any:
        import av

        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self._container.add_stream(codec, rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        return stream


@contextmanager
def writing_video(file: BinaryIO, rate: Fraction) -> Iterator[VideoWriter]:
    """What writes an MP4 file of pictures into an open file."""
    check_installed()
    import av

    with av.open(file, "w", format="mp4") as container:
        writer = VideoWriter(container, rate)
        yield writer
        writer.finish()


def check_installed() -> None:
    """Raise `InputError` where videos cannot be read."""
    if find_spec("av") is None:
        raise InputError(f"videos need PyAV: {install('video')}")


def _pixels(frame: VideoFrame) -> Tensor:
    """uint8 [3, H, W], turned as its file says."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
