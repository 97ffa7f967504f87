"""`MeasureConfig`: how a detector is deployed, and how its frames per second are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from searchspace.config import Config
from searchspace.runtimes import Precision, Runtime
from searchspace.words import joined

AUTO = "auto"
"""The fastest form that is installed for the device; int8, which needs calibration, left out."""


MOST_BATCH, MOST_THREADS = 4096, 1024


class MeasureConfig(Config):
    """How a detector is deployed, and how its frames per second are measured.

    What is timed goes from image tensor to boxes, in turns with a reference network. Accuracy is
    evaluated in the same form. A space may search any of these fields, `runtime` above all.

    Attributes:
        runtime: what runs the network; `auto` takes the fastest one that is there, and its
            precision. A trial that quantises (`compress.quantisation`) names both there.
        precision: numbers that convolutions compute in; `auto` is float32 under a named runtime.
        batch: images in a call.
        threads: CPU threads; a GPU ignores it.
        candidates: boxes an image that post-processing gets above its threshold, whatever the
            weights; None for those that the detector finds on the images, which are the weights'.
        runs: timed calls in a pass, at most.
        passes: how often detector and reference take turns at first.
        interval: relative width of the 95 % interval of the median at which that is enough; a wider
            one gets further passes while `seconds` last.
        seconds: what the timed calls may take; a slow detector gets fewer runs, then fewer passes.
    """

    runtime: Runtime | Literal["auto"] = AUTO
    precision: Precision | Literal["auto"] = AUTO
    batch: int = Field(default=1, ge=1, le=MOST_BATCH)
    threads: int = Field(default=1, ge=1, le=MOST_THREADS)
    candidates: int | None = Field(default=300, ge=0)
    runs: int = Field(default=20, ge=1)
    passes: int = Field(default=15, ge=1)
    interval: float = Field(default=0.03, gt=0)
    seconds: float = Field(default=10.0, gt=0)

    def in_words(self) -> str:
        """What runs the detector, where a configuration says so."""
        precision = f" in {self.precision}" if self.precision != AUTO else ""
        return joined(
            f"run by {self.runtime}{precision}" if self.runtime != AUTO else "",
            f"batches of {self.batch}" if self.batch > 1 else "",
        )

    @model_validator(mode="after")
    def _precision_has_a_runtime(self) -> MeasureConfig:
        if self.runtime == AUTO and self.precision != AUTO:
            raise ValueError(
                f"precision {self.precision} under runtime auto: name the runtime, or set "
                "precision to auto"
            )
        return self
