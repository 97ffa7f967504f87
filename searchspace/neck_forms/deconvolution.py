"""MDSSD's fusion of pairs of maps, as a few numbers instead of a list of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field

from searchspace.config import Config
from searchspace.domains import Choice
from searchspace.geometry import Level
from searchspace.necks import Step
from searchspace.necks.deconvolution import Deconvolve, FusionBlock, enlargements
from searchspace.necks.top_down import Channels

Widths = Literal["even", "rising", "result"]
"""Channels inside a fusion: equal in all of them; those of the result after the last transposed
convolution and half of that before; those of the result."""


class NoDeconvolution(Config):
    """No map is fused with a coarser one."""

    kind: Literal["none"] = "none"

    def write(self, maps: Sequence[Level]) -> tuple[Step, ...]:
        """The steps for these maps."""
        return ()


class DeconvolvedPairs(Config):
    """The finest maps get context from coarse ones (MDSSD, section 3).

    Attributes:
        pairs: number of finest maps that are fused.
        reach: distance in levels to the coarse map that each is fused with.
        channels: channels of the finest result; each coarser one has twice as many.
        inner: channels inside a fusion if these are equal, otherwise their minimum.
        transposed: channels of the transposed convolutions.
        sums: channels of both branches when added.
    """

    kind: Literal["pairs"] = "pairs"
    pairs: Annotated[int, Choice(2, 3), Field(ge=1)] = 3
    reach: Annotated[int, Choice(2, 3), Field(ge=1)] = 3
    channels: Annotated[Channels, Choice(256, 512)] = 256
    inner: Channels = 256
    transposed: Annotated[Widths, Choice("even", "rising", "result")] = "even"
    sums: Annotated[Literal["even", "result"], Choice("even", "result")] = "even"

    def write(self, maps: Sequence[Level]) -> tuple[Step, ...]:
        blocks = []
        for level in range(self.pairs):
            source, channels = level + self.reach, self.channels * 2**level
            there = source < len(maps)
            count = len(enlargements(maps[source].size, maps[level].size)) if there else 1
            blocks.append(
                FusionBlock(
                    level=level,
                    source=source,
                    deconv_channels=self._transposed(channels, max(count, 1)),
                    sum_channels=self._sums(channels),
                    channels=channels,
                )
            )
        return (Deconvolve(blocks=tuple(blocks)),)

    def has(self, block: FusionBlock) -> bool:
        """Whether a block's inner channels match this form."""
        transposed = self._transposed(block.channels, len(block.deconv_channels))
        found = (block.deconv_channels, block.sum_channels)
        return found == (transposed, self._sums(block.channels))

    def _sums(self, channels: int) -> int:
        return self.inner if self.sums == "even" else channels

    def _transposed(self, channels: int, count: int) -> tuple[int, ...]:
        match self.transposed:
            case "even":
                return (self.inner,) * count
            case "rising":
                return (*(max(self.inner, channels // 2),) * (count - 1), channels)
            case "result":
                return (channels,) * count


Deconvolution = NoDeconvolution | DeconvolvedPairs


def deconvolution_of(steps: tuple[Step, ...]) -> Deconvolution | None:
    """The form of the fusions among steps; None if they have no such form."""
    found = [step for step in steps if isinstance(step, Deconvolve)]
    if not found:
        return NoDeconvolution()
    blocks = found[0].blocks
    finest = blocks[0]
    if finest.source <= finest.level:
        return None
    inner = (DeconvolvedPairs().inner, finest.deconv_channels[0], finest.sum_channels)
    sums = get_args(DeconvolvedPairs.model_fields["sums"].annotation)
    forms = (
        DeconvolvedPairs(
            pairs=len(blocks),
            reach=finest.source - finest.level,
            channels=finest.channels,
            inner=channels,
            transposed=transposed,
            sums=summed,
        )
        for channels, transposed, summed in itertools.product(inner, get_args(Widths), sums)
    )
    return next((form for form in forms if all(map(form.has, blocks))), None)
