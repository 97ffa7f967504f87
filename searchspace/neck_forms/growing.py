"""Growth on a map, described by its ending."""

from __future__ import annotations

from typing import Literal

from searchspace.geometry import Level
from searchspace.necks.growth import Growth

Ending = Literal["strided", "to_1x1", "unpadded", "kernel4"]
"""The end of growth: by strides only (SSD-MobileNetV1); by a stride without padding, which reduces
three or four cells per side to one (the same with an eliminated stride); by two convolutions
without stride and padding (SSD300); by a 4x4 convolution after one more stride (SSD512)."""

_ENDS: dict[Ending, tuple[Growth, ...]] = {
    "strided": (Growth(channels=256),) * 2,
    "to_1x1": (Growth(channels=256),) * 2,
    "unpadded": (Growth(channels=256, stride=1, padding=0),) * 2,
    "kernel4": (*(Growth(channels=256),) * 2, Growth(channels=256, kernel=4, stride=1)),
}

SSD_START = (512, 256)
"""Channels of the levels that SSD grows by strides, before the ending."""


def grown(
    ending: Ending, last: int, top: Level, start: tuple[int, ...] = SSD_START
) -> tuple[Growth, ...]:
    """Levels to grow on `top`: some by strides, then an ending, the last with `last` channels."""
    *ends, end = _ENDS[ending]
    grow = [*(Growth(channels=channels) for channels in start), *ends]
    grow.append(end.model_copy(update={"channels": last}))
    if ending == "to_1x1":
        where = _meets_few_cells(grow, top)
        grow[where] = grow[where].model_copy(update={"padding": 0})
    return tuple(grow)


def _meets_few_cells(grow: list[Growth], top: Level) -> int:
    """The first growth with an input of three or four cells per side; the last if there is none."""
    side = min(top.size)
    for number, growth in enumerate(grow):
        if side in (3, 4):
            return number
        side = growth.out_size(side)
    return len(grow) - 1


def ending_of(grow: tuple[Growth, ...]) -> Ending:
    """The ending of growth; None if it is none of these."""
    if any(growth.padding == 0 and growth.stride > 1 for growth in grow):
        return "to_1x1"
    if grow[-1].kernel > 3:
        return "kernel4"
    return "strided" if grow[-1].padding else "unpadded"
