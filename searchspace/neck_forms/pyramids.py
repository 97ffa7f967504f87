"""The necks of detectors without priors: a feature pyramid, and YOLOX's PAFPN."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.backbones import Backbone
from searchspace.domains import Choice
from searchspace.geometry import Size
from searchspace.neck_forms.form import NeckForm
from searchspace.necks import Step
from searchspace.necks.growth import Extend, Growth
from searchspace.necks.top_down import Aggregate, Channels, Pyramid


class PyramidNeck(NeckForm):
    """FPN, and levels beyond the taps by strides, as in GFL.

    Attributes:
        channels: channels of every level.
        coarser: number of levels beyond the taps.
    """

    kind: Literal["pyramid"] = "pyramid"
    channels: Annotated[Channels, Choice(128, 256)] = 256
    coarser: Annotated[int, Choice(0, 1, 2), Field(ge=0)] = 2

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The neck after a backbone, for an input of `size` pixels."""
        return (Pyramid(channels=self.channels), *_coarser(self.channels, self.coarser))

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> PyramidNeck | None:
        """The only form that a neck can have; None for one that is certainly of no such form."""
        match steps:
            case (Pyramid(channels=channels),):
                return cls(channels=channels, coarser=0)
            case (Pyramid(channels=channels), Extend(grow=grow)):
                return cls(channels=channels, coarser=len(grow))
        return None


class AggregateNeck(NeckForm):
    """YOLOX's neck, and levels beyond the taps by strides.

    Attributes:
        channels: channels of the finest level.
        widths: `doubling` gives each coarser level twice as many channels, up to `most`; `equal`
            the same to all, which GFL's head needs.
        blocks: blocks of each cross-stage-partial stage.
        coarser: number of levels beyond the taps, with the channels of the coarsest tap.
    """

    kind: Literal["aggregate"] = "aggregate"
    channels: Annotated[Channels, Choice(128, 256)] = 256
    widths: Annotated[Literal["doubling", "equal"], Choice("doubling", "equal")] = "doubling"
    most: Channels = 1024
    blocks: Annotated[int, Choice(1, 3), Field(ge=1)] = 1
    coarser: Annotated[int, Choice(0, 1), Field(ge=0)] = 0

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The neck after a backbone, for an input of `size` pixels."""
        most = self.channels if self.widths == "equal" else self.most
        step = Aggregate(channels=self.channels, most=most, blocks=self.blocks)
        coarsest = step.channels_of(len(backbone.taps), 1)[-1]
        return (step, *_coarser(coarsest, self.coarser))

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> AggregateNeck | None:
        """The only form that a neck can have; None for one that is certainly of no such form."""
        match steps:
            case (Aggregate() as step,):
                coarser = 0
            case (Aggregate() as step, Extend(grow=grow)):
                coarser = len(grow)
            case _:
                return None
        form = cls(channels=step.channels, blocks=step.blocks, coarser=coarser)
        equal = step.most == step.channels
        return form.changed(widths="equal") if equal else form.changed(most=step.most)


def _coarser(channels: int, count: int) -> tuple[Step, ...]:
    """The step that grows `count` levels, if any."""
    if not count:
        return ()
    return (Extend(block="plain", norm=False, grow=(Growth(channels=channels),) * count),)
