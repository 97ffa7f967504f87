"""`MeasureConfig`: how frames per second are measured."""

from __future__ import annotations

from pydantic import Field

from searchspace.space import Config


class MeasureConfig(Config):
    """How frames per second are measured: single images, boxes out, median latency.

    Attributes:
        runs: timed images a pass; the best of `passes` medians counts.
        threads: CPU threads; a GPU ignores it.
    """

    runs: int = Field(default=20, ge=5)
    passes: int = Field(default=15, ge=1)
    threads: int = Field(default=1, ge=1)
