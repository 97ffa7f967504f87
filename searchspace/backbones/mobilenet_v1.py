"""MobileNetV1 (Howard et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from searchspace.backbones.rows import Row, RowBackbone
from searchspace.domains import Choice


class MobileNetV1(RowBackbone):
    """MobileNetV1: a strided convolution and thirteen depthwise-separable layers.

    Rows are `layer0` to `layer13`; S1L6 of the stride-elimination paper is
    `eliminated_strides=(6,)`.

    Attributes:
        activation: `relu6` is that of the published ImageNet weights.
    """

    kind: Literal["mobilenet_v1"] = "mobilenet_v1"
    taps: tuple[str, ...] = ("layer11", "layer13")
    eliminated_strides: Annotated[
        tuple[int, ...], Choice((), (6,), (4,), (0,), (4, 6), (0, 6))
    ] = ()
    activation: Literal["relu", "relu6"] = "relu"

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        return {
            "imagenet": {"pixels": "inception", "backbone.activation": "relu6"},
            "shapes": {"pixels": "imagenet", "backbone.activation": "relu"},
        }

    def title(self) -> str:
        return "ReLU6" if self.activation == "relu6" else ""

    def stock_rows(self) -> tuple[Row, ...]:
        widths_and_strides = (
            (32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
            (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
        )  # fmt: skip
        return tuple(
            Row(
                f"layer{i}",
                "separable" if i else "conv",
                channels,
                stride,
                activation=self.activation,
            )
            for i, (channels, stride) in enumerate(widths_and_strides)
        )
