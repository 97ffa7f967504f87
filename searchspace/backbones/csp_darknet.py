"""CSPDarknet (Ge et al., YOLOX, 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.backbones.rows import Row, RowBackbone
from searchspace.domains import Choice


class CSPDarknet(RowBackbone):
    """YOLOX's backbone: four stages, each a strided convolution and a cross-stage-partial stage.

    Rows are `stem`, then `down2`, `dark2` to `down5`, `spp`, `dark5`; taps are the `dark` ones.

    Attributes:
        depth: multiplier of the blocks of each stage (3, 9, 9, 3), of which one is always left.
    """

    kind: Literal["csp_darknet"] = "csp_darknet"
    taps: tuple[str, ...] = ("dark3", "dark4", "dark5")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (0,), (1,), (3,))] = ()
    depth: Annotated[float, Choice(0.33, 0.67, 1.0), Field(gt=0, le=2)] = 0.33

    def title(self) -> str:
        return f"CSPDarknet of depth {self.depth:g}"

    def stock_rows(self) -> tuple[Row, ...]:
        rows = [Row("stem", "focus", 64, stride=2)]
        for stage, blocks in enumerate((3, 9, 9, 3), start=2):
            channels, last = 32 * 2**stage, stage == 5
            rows.append(Row(f"down{stage}", "conv", channels, stride=2, activation="silu"))
            if last:
                rows.append(Row("spp", "pyramid_pooling", channels))
            count = max(1, round(blocks * self.depth))
            rows.append(
                Row(f"dark{stage}", "cross_stage", channels, blocks=count, shortcut=not last)
            )
        return tuple(rows)
