"""ResNet (He et al., 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from searchspace.backbones.rows import Row, RowBackbone
from searchspace.domains import Choice
from searchspace.words import joined

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Bottlenecks of each stage of a ResNet, by its depth."""


class ResNet(RowBackbone):
    """ResNet of bottlenecks that carry their stride in the 3x3 convolution.

    Rows are `stem`, `pool` and the stages `res2` to `res5`.

    Attributes:
        last_stage: `dilated` keeps `res5` at the cells of `res4` and spreads its kernels instead.
    """

    kind: Literal["resnet"] = "resnet"
    taps: tuple[str, ...] = ("res3", "res4", "res5")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (1,), (3,), (4,))] = ()
    depth: Annotated[Literal[50, 101], Choice(50, 101)] = 50
    last_stage: Annotated[Literal["strided", "dilated"], Choice("strided", "dilated")] = "strided"

    weights_by: ClassVar[tuple[str, ...]] = ("depth",)

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        return {"imagenet": {"pixels": "imagenet"}}

    def title(self) -> str:
        dilated = "last stage dilated" if self.last_stage == "dilated" else ""
        return joined(f"ResNet-{self.depth}", dilated)

    def stock_rows(self) -> tuple[Row, ...]:
        stages = [
            Row(f"res{2 + k}", "residual", 256 * 2**k, stride=2 if k else 1, blocks=blocks)
            for k, blocks in enumerate(BLOCKS[self.depth])
        ]
        if self.last_stage == "dilated":
            stages[-1] = replace(stages[-1], stride=1, dilation=2)
        return (
            Row("stem", "conv", 64, stride=2, kernel=7, padding=3),
            Row("pool", "pool", 64, stride=2),
            *stages,
        )
