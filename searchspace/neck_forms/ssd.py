"""SSD's neck, with a second path or with deconvolution."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal

from pydantic import Field

from searchspace.backbones import Backbone
from searchspace.domains import Fixed
from searchspace.geometry import Size
from searchspace.neck_forms.deconvolution import (
    Deconvolution,
    NoDeconvolution,
    deconvolution_of,
)
from searchspace.neck_forms.dual_path import DualPath, DualPathSplit, NoDualPath, dual_path_of
from searchspace.neck_forms.form import NeckForm
from searchspace.neck_forms.growing import Ending, ending_of, grown
from searchspace.necks import Step
from searchspace.necks.growth import Extend, L2Norm
from searchspace.necks.top_down import Channels


class SSDNeck(NeckForm):
    """SSD's neck: levels grown from the last tap.

    Attributes:
        l2norm: whether the finest map is normalised.
        block, norm: as in the step `extend`.
        last: channels of the last grown level.
        dual_path: use of a second path; a space that names no kind has none.
        deconvolution: fusions after growth; a space that names no kind has none.
    """

    kind: Literal["ssd"] = "ssd"
    l2norm: bool = True
    block: Literal["separable", "bottleneck", "conv"] = "separable"
    norm: bool = True
    ending: Ending = "strided"
    last: Channels = 128
    dual_path: Annotated[DualPath, Fixed("none"), Field(discriminator="kind")] = NoDualPath()
    deconvolution: Annotated[Deconvolution, Fixed("none"), Field(discriminator="kind")] = (
        NoDeconvolution()
    )

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The neck after a backbone, for an input of `size` pixels."""
        splits = isinstance(self.dual_path, DualPathSplit)
        with suppress(ValueError):  # the configuration says what is wrong with it
            backbone = backbone.with_second_path(splits)
        before = backbone.levels(1, size)
        top = before.side[-1] if before.side else before.top
        grow = grown(self.ending, self.last, top)
        extend = Extend(block=self.block, norm=self.norm, grow=grow)
        try:
            maps = (*before.maps, *(level for _, level in extend.grown(top, 1)))
        except ValueError:
            maps = before.maps  # the configuration raises the error
        return (
            *((L2Norm(),) if self.l2norm else ()),
            *self.dual_path.before(backbone),
            extend,
            *self.dual_path.after(backbone),
            *self.deconvolution.write(maps),
        )

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> SSDNeck | None:
        """The only form that a neck can have; None if it has no such form."""
        extends = [step for step in steps if isinstance(step, Extend)]
        deconvolution = deconvolution_of(steps)
        if len(extends) != 1 or deconvolution is None:
            return None
        [extend] = extends
        block = extend.block
        if block == "plain":
            return None
        return cls(
            l2norm=L2Norm() in steps,
            block=block,
            norm=extend.norm,
            ending=ending_of(extend.grow),
            last=extend.grow[-1].channels,
            dual_path=dual_path_of(steps),
            deconvolution=deconvolution,
        )
