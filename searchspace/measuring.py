"""`MeasureConfig`: how frames per second are measured."""

from __future__ import annotations

from pydantic import Field

from searchspace.space import Config


class MeasureConfig(Config):
    """How frames per second are measured: image tensor in, boxes out, beside a reference network.

    Attributes:
        runs: timed calls in a pass, at most.
        passes: how often a pass of the detector takes its turn with one of the reference.
        seconds: what the timed calls may take; a slow detector gets fewer runs, then fewer passes.
        threads: CPU threads; a GPU ignores it.
        batch: images in a call.
        candidates: boxes an image that post-processing gets above its threshold, whatever the
            weights; None for those that the detector finds on the images, which are the weights'.
    """

    runs: int = Field(default=20, ge=1)
    passes: int = Field(default=15, ge=1)
    seconds: float = Field(default=10.0, gt=0)
    threads: int = Field(default=1, ge=1)
    batch: int = Field(default=1, ge=1)
    candidates: int | None = Field(default=300, ge=0)
