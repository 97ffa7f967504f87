"""Detectors timed in turns with the reference network, pass by pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict

from detectors.timing.blocks import Call, take_turns, warm_up
from detectors.timing.latency import Blocks, Latency, median_interval, medians
from detectors.timing.reference import reference_call
from detectors.timing.turns import LEAST_PASSES, Effort, WarmUp, reference_runs


class Paired(BaseModel):
    """The latency of a call, also as a multiple of the reference's latency at the same time.

    Attributes:
        latency: latency of the call itself.
        ratio: median over the passes of a block's mean latency divided by that of the reference's
            blocks before and after it. Means, because on a shared core only some calls are
            delayed, the more likely the longer they take; a block's total includes its share.
        low, high: confidence interval of the ratio; None if there are too few passes.
        width: relative width of this interval; None if there is none.
        spread: (slowest - fastest) / fastest of the blocks' medians.
    """

    model_config = ConfigDict(frozen=True)

    latency: Latency
    ratio: float
    low: float | None
    high: float | None
    spread: float

    @property
    def width(self) -> float | None:
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / self.ratio

    @classmethod
    def of(cls, blocks: Blocks, before: Blocks, after: Blocks) -> Paired:
        own, first, second = (
            [statistics.fmean(b) for b in some] for some in (blocks, before, after)
        )
        ratios = [2 * t / (a + b) for t, a, b in zip(own, first, second, strict=True)]
        low, high = median_interval(ratios) or (None, None)
        middle = medians(blocks)
        return cls(
            latency=Latency.of(blocks),
            ratio=statistics.median(ratios),
            low=low,
            high=high,
            spread=max(middle) / min(middle) - 1,
        )


@dataclass(frozen=True)
class Subject:
    """The two timed calls of a detector: all of it, from images to boxes, and its network alone."""

    whole: Call
    network: Call


class Timing(BaseModel):
    """A subject's latencies.

    Attributes:
        network: of the network alone; None where that was not timed.
        reference: latency of the reference network in the blocks around the subject's.
        best_ms: the lowest median of these blocks.
        warm_up_calls: number of calls of the warm-up.
        settled: whether the latency had settled by then.
    """

    model_config = ConfigDict(frozen=True)

    whole: Paired
    network: Paired | None
    reference: Latency
    best_ms: float
    warm_up_calls: int
    settled: bool


def time_together(
    subjects: Sequence[Subject], effort: Effort, device: torch.device
) -> list[Timing]:
    """Time subjects in turns, each between two blocks of the reference of the same duration.

    All get as many passes as the slowest can afford, so that all see the same machine, and more if
    an interval is wider than `effort.interval`.
    """
    network, image = reference_call(device)
    with torch.inference_mode():
        reference = warm_up(lambda: network(image), device)
        warmed = [warm_up(subject.whole, device) for subject in subjects]
        plans = [effort.affords(warm.seconds) for warm in warmed]
        spans = [runs * warm.seconds for (runs, _), warm in zip(plans, warmed, strict=True)]
        turns = [(lambda: network(image), reference_runs(reference, spans[:1]))]
        for k, (subject, (runs, _)) in enumerate(zip(subjects, plans, strict=True)):
            turns += [(subject.whole, runs), (subject.network, max(1, runs // 3))]
            turns += [(lambda: network(image), reference_runs(reference, spans[k : k + 2]))]
        passes, until = min(passes for _, passes in plans), time.monotonic() + effort.seconds
        blocks = take_turns(turns, passes, device)
        timings = _timings(blocks, warmed)
        while _too_wide(timings, effort.interval) and time.monotonic() < until:
            for known, more in zip(blocks, take_turns(turns, LEAST_PASSES, device), strict=True):
                known += more
            timings = _timings(blocks, warmed)
    return timings


def _too_wide(timings: Sequence[Timing], interval: float) -> bool:
    """Whether an interval is wider than `interval`; a timing without an interval is not."""
    widths = [timing.whole.width for timing in timings]
    return any(width is not None and width > interval for width in widths)


def _timings(blocks: Sequence[Blocks], warmed: Sequence[WarmUp]) -> list[Timing]:
    return [
        timing_of(blocks[3 * k], blocks[3 * k + 1], blocks[3 * k + 3], warm, blocks[3 * k + 2])
        for k, warm in enumerate(warmed)
    ]


def timing_of(
    before: Blocks, whole: Blocks, after: Blocks, warmed: WarmUp, network: Blocks | None = None
) -> Timing:
    """A subject's latencies, from its blocks and those of the reference before and after them."""
    around = [*before, *after]
    return Timing(
        whole=Paired.of(whole, before, after),
        network=None if network is None else Paired.of(network, before, after),
        reference=Latency.of(around),
        best_ms=1000 * min(medians(around)),
        warm_up_calls=warmed.calls,
        settled=warmed.settled,
    )
