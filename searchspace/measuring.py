"""`MeasureConfig`: how a detector is deployed, and how its frames per second are measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from searchspace.config import Added, Config
from searchspace.runtimes import RUNTIMES, Precision
from searchspace.words import joined

AUTO = "auto"
"""The fastest form installed for the device, without int8, which needs calibration."""

COCO_DETECTIONS = 100
"""Detections of a class on an image that COCO scores."""

Side = Annotated[int, Field(ge=1, le=1_000_000)]

MOST_BATCH, MOST_THREADS, MOST_DETECTIONS = 4096, 1024, 100_000


def _known_or_auto(runtime: str) -> str:
    return runtime if runtime == AUTO else RUNTIMES.check(runtime)


class MeasureConfig(Config):
    """How a detector is deployed, and how its frames per second are measured.

    Times are from image tensor to boxes, in turns with a reference network. Accuracy is evaluated
    in the same form. A space may search any of these fields, especially `runtime`.

    Attributes:
        runtime: executes the network; `auto` is the fastest available one, with its precision. A
            trial that quantises sets both in `compress.quantisation`.
        precision: precision of convolutions; `auto` is float32 if a runtime is named.
        batch: images per call.
        threads: CPU threads; ignored on a GPU.
        candidates: boxes per image above the threshold that post-processing gets, whatever the
            weights; None for those that the detector finds, which depend on the weights.
        runs: the most timed calls in a pass.
        passes: initial number of turns of detector and reference.
        interval: further passes are timed, within `seconds`, while the relative width of the 95 %
            interval of the median is above this.
        seconds: limit of the timed calls; a slow detector gets fewer runs, then fewer passes.
        max_detections: detections of a class on an image that are scored, and the fewest of an
            image that post-processing keeps. By default as many as the fullest image of the data
            has objects (see `detectors.evaluation.truth`), and 100 as in COCO at least.
        image_size: height and width in pixels of the images that a detector cuts into tiles while
            it is timed; by default the median of the validation images. It does not matter for
            detectors that look at images whole, as resizing is not timed.
        tiles: the mean number of tiles of such an image that are looked at after a first look; all
            if that is not known. Before training, a trial takes the number of tiles that have the
            centre of a validation object, and then the number that its detector looks at.
        metrics: the library that computes COCO's figures, which are the same with either.
    """

    runtime: Annotated[str, AfterValidator(_known_or_auto)] = AUTO
    precision: Precision | Literal["auto"] = AUTO
    batch: int = Field(default=1, ge=1, le=MOST_BATCH)
    threads: int = Field(default=1, ge=1, le=MOST_THREADS)
    candidates: int | None = Field(default=300, ge=0)
    runs: int = Field(default=20, ge=1)
    passes: int = Field(default=15, ge=1)
    interval: float = Field(default=0.03, gt=0)
    seconds: float = Field(default=10.0, gt=0)
    max_detections: Annotated[
        int | None, Added(), Field(ge=COCO_DETECTIONS, le=MOST_DETECTIONS)
    ] = None
    image_size: Annotated[tuple[Side, Side] | None, Added()] = None
    tiles: Annotated[float | None, Added(), Field(ge=0)] = None
    metrics: Annotated[Literal["hotcoco", "pycocotools"], Added()] = "hotcoco"

    def in_words(self) -> str:
        """Runtime, batch and number of detections, if they are set."""
        precision = f" in {self.precision}" if self.precision != AUTO else ""
        return joined(
            f"run by {self.runtime}{precision}" if self.runtime != AUTO else "",
            f"batches of {self.batch}" if self.batch > 1 else "",
            f"{self.max_detections} detections" if self.max_detections else "",
        )

    @model_validator(mode="after")
    def _precision_has_a_runtime(self) -> MeasureConfig:
        if self.runtime == AUTO and self.precision != AUTO:
            raise ValueError(
                f"precision {self.precision} under runtime auto: name the runtime, or set "
                "precision to auto"
            )
        return self
