"""VGG16 (Simonyan and Zisserman, 2014), as SSD has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from searchspace.backbones.rows import Row, RowBackbone
from searchspace.domains import Choice


class VGG16(RowBackbone):
    """VGG16 with its fully connected layers as convolutions (SSD, section 3.1).

    Rows are counted with the poolings, as in the stride-elimination paper: row 2 is `pool1`.

    Attributes:
        norm: batch norm instead of the biases of the 13 convolutions before `pool5`.
    """

    kind: Literal["vgg16"] = "vgg16"
    taps: tuple[str, ...] = ("conv4_3", "fc7")
    eliminated_strides: Annotated[tuple[int, ...], Choice((), (2,), (5,), (9,))] = ()
    norm: Annotated[bool, Choice(False, True)] = False

    weights_by: ClassVar[tuple[str, ...]] = ("norm",)

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        return {"imagenet": {"pixels": "imagenet"}}

    def title(self) -> str:
        return "VGG16 with batch norm" if self.norm else "VGG16"

    def stock_rows(self) -> tuple[Row, ...]:
        rows: list[Row] = []
        for group, (channels, convs) in enumerate(
            ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1
        ):
            names = [f"conv{group}_{number + 1}" for number in range(convs)]
            rows += [Row(name, "conv", channels, norm=self.norm) for name in names]
            stride, kernel, padding = (2, 2, 0) if group < 5 else (1, 3, 1)
            rows.append(
                Row(f"pool{group}", "pool", channels, stride, kernel, padding, ceil=group == 3)
            )
        return (
            *rows,
            Row("fc6", "conv", 1024, padding=6, dilation=6, norm=False),
            Row("fc7", "conv", 1024, kernel=1, padding=0, norm=False),
        )
