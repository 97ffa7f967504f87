"""FSSD's neck: several maps fused into one, from which a pyramid grows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.backbones import Backbone
from searchspace.config import Config
from searchspace.domains import Choice, Fixed
from searchspace.geometry import Size
from searchspace.neck_forms.form import NeckForm
from searchspace.neck_forms.growing import Ending, ending_of, grown
from searchspace.necks import Step
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth
from searchspace.necks.levels import Index
from searchspace.necks.top_down import Channels

_FURTHER = (Growth(channels=512, stride=1), Growth(channels=256))
_START = (512, 256, 256)


class NoFurther(Config):
    """Only the taps are fused."""

    kind: Literal["none"] = "none"


class Further(Config):
    """A map with half the last tap's cells per side is fused too (FSSD's conv7_2).

    Attributes:
        block, norm: as in the step `extend` that creates it.
    """

    kind: Literal["grown"] = "grown"
    block: Literal["separable", "bottleneck", "conv"] = "bottleneck"
    norm: bool = False


class Even(Config):
    """All sources have the same number of channels."""

    kind: Literal["even"] = "even"

    def of(self, channels: int, count: int) -> tuple[int, ...]:
        """The channels of `count` sources."""
        return (channels,) * count


class Emphasis(Config):
    """One source has more channels than the others (MFSSD's 2:1:1).

    Attributes:
        source: its index, from the finest.
        factor: factor on its channels.
    """

    kind: Literal["emphasis"] = "emphasis"
    source: Annotated[Index, Choice(0, 1)] = 0
    factor: Annotated[int, Choice(2, 4), Field(ge=2)] = 2

    def of(self, channels: int, count: int) -> tuple[int, ...]:
        return tuple(channels * (self.factor if k == self.source else 1) for k in range(count))


class Concat(Config):
    """Sources are concatenated; a space that names no ratio has an even one."""

    kind: Literal["concat"] = "concat"
    ratio: Annotated[Even | Emphasis, Fixed("even"), Field(discriminator="kind")] = Even()


class Sum(Config):
    """Sources are added; all have the same number of channels."""

    kind: Literal["sum"] = "sum"

    @property
    def ratio(self) -> Even:
        return Even()


class FusedNeck(NeckForm):
    """FSSD's neck: all taps fused into one map, from which a pyramid grows.

    Attributes:
        further: whether a map beyond the taps is fused too.
        at: the tap whose size the fused map has.
        how: concatenation, in some ratio of channels, or a sum.
        channels: channels of each source, before an emphasis.
        norm_sources, norm: as in the step `fuse`.
        pyramid: FSSD's three variants. In `a` the fused map is the finest level; in `b` a
            convolution turns it into that; in `c` every convolution is preceded by a bottleneck.
        pyramid_norm: batch norm in the pyramid.
        last: channels of the pyramid's last level.
    """

    kind: Literal["fused"] = "fused"
    further: Annotated[NoFurther | Further, Field(discriminator="kind")] = NoFurther()
    at: Annotated[Index, Choice(0, 1)] = 0
    how: Annotated[Concat | Sum, Field(discriminator="kind")] = Concat()
    channels: Annotated[Channels, Choice(128, 256)] = 256
    norm_sources: Annotated[bool, Choice(False, True)] = False
    norm: Annotated[bool, Choice(False, True)] = True
    pyramid: Annotated[Literal["a", "b", "c"], Choice("a", "b", "c")] = "b"
    pyramid_norm: Annotated[bool, Choice(False, True)] = False
    ending: Ending = "strided"
    last: Channels = 256

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The neck after a backbone, for an input of `size` pixels."""
        levels = list(range(len(backbone.taps)))
        first: tuple[Step, ...] = ()
        if isinstance(self.further, Further):
            further = self.further
            first = (Extend(block=further.block, norm=further.norm, grow=_FURTHER),)
            levels.append(len(levels) + 1)
        channels = self.how.ratio.of(self.channels, len(levels))
        fuse = Fuse(
            sources=tuple(
                Source(level=level, channels=c) for level, c in zip(levels, channels, strict=True)
            ),
            how=self.how.kind,
            at=self.at,
            norm_sources=self.norm_sources,
            norm=self.norm,
        )
        maps = backbone.levels(1, size).maps
        grow = grown(self.ending, self.last, maps[min(self.at, len(maps) - 1)], _START)
        return (*first, fuse, self._pyramid(grow))

    def _pyramid(self, grow: tuple[Growth, ...]) -> Extend:
        itself = self.pyramid == "a"
        return Extend(
            block="bottleneck" if self.pyramid == "c" else "conv",
            norm=self.pyramid_norm,
            replaces=not itself,
            grow=grow if itself else (Growth(channels=512, stride=1), *grow),
        )

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> FusedNeck | None:
        """The only form that a neck can have; None if it has no such form."""
        match steps:
            case (Fuse() as fuse, Extend() as pyramid):
                further: NoFurther | Further = NoFurther()
            case (Extend(block=block) as before, Fuse() as fuse, Extend() as pyramid):
                if block == "plain":
                    return None
                further = Further(block=block, norm=before.norm)
            case _:
                return None
        how, channels = _how(fuse)
        return cls(
            further=further,
            at=fuse.at,
            how=how,
            channels=channels,
            norm_sources=fuse.norm_sources,
            norm=fuse.norm,
            pyramid="a" if not pyramid.replaces else "c" if pyramid.block == "bottleneck" else "b",
            pyramid_norm=pyramid.norm,
            ending=ending_of(pyramid.grow),
            last=pyramid.grow[-1].channels,
        )


def _how(fuse: Fuse) -> tuple[Concat | Sum, int]:
    """The kind of fusion, and the channels of sources without emphasis."""
    channels = [source.channels for source in fuse.sources]
    least, most = min(channels), max(channels)
    if fuse.how == "sum":
        return Sum(), least
    if most < 2 * least:
        return Concat(), least
    return Concat(ratio=Emphasis(source=channels.index(most), factor=most // least)), least
