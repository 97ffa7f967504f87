"""How a neck is drawn: what the papers vary of its steps, each a field that may be searched.

A neck is a list of steps, which has no fields of its own. A form is what such a list has in common
with others of its kind; `steps_of` writes it out for a backbone, `form_of` reads it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from searchspace.backbones import Backbone
from searchspace.domains import Choice, Fixed
from searchspace.geometry import Level, Size, both_axes
from searchspace.necks import Extend, Growth, Join, L2Norm, Split, Step
from searchspace.space import Config
from searchspace.top_down import Channels

Ending = Literal["strided", "to_1x1", "unpadded", "kernel4"]
"""How growth ends: by strides alone (SSD-MobileNetV1); by a stride without padding, which takes
three or four cells a side to one (the same with a stride eliminated); by two convolutions without
stride and padding (SSD300); by a 4x4 convolution behind one stride more (SSD512)."""

ENDINGS: dict[Ending, tuple[Growth, ...]] = {
    "strided": (Growth(channels=256), Growth(channels=256)),
    "to_1x1": (Growth(channels=256), Growth(channels=256)),
    "unpadded": (Growth(channels=256, stride=1, padding=0),) * 2,
    "kernel4": (*(Growth(channels=256),) * 2, Growth(channels=256, kernel=4, stride=1)),
}


class NoDualPath(Config):
    """No second path."""

    kind: Literal["none"] = "none"

    def start(self, backbone: Backbone) -> tuple[Step, ...]:
        """What comes in front of growth."""
        return ()

    def rest(self, backbone: Backbone) -> tuple[Step, ...]:
        """What comes behind it."""
        return ()


class DualPathConcat(Config):
    """The last tap is joined by the second path's map of its size; growth goes on from both.

    Attributes:
        grown: the first grown map is joined too, by the last one of the second path.
    """

    kind: Literal["concat"] = "concat"
    grown: Annotated[bool, Choice(False, True)] = False

    def start(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 2, 0)
        return (Join(level=len(backbone.taps) - 1, side=side, feeds_growth=True),)

    def rest(self, backbone: Backbone) -> tuple[Step, ...]:
        side = max(backbone.side_taps() - 1, 0)
        return (Join(level=len(backbone.taps), side=side),) if self.grown else ()


class DualPathSplit(Config):
    """Growth goes on from the last map of the second path, and the taps stay as they are."""

    kind: Literal["split"] = "split"

    def start(self, backbone: Backbone) -> tuple[Step, ...]:
        return (Split(side=max(backbone.side_taps() - 1, 0)),)

    def rest(self, backbone: Backbone) -> tuple[Step, ...]:
        return ()


DualPath = NoDualPath | DualPathConcat | DualPathSplit


class SSDNeck(Config):
    """SSD's neck: levels grown from the last tap. Two taps are SSD's, a finer one is MDSSD's.

    Attributes:
        l2norm: the finest map is normalised.
        block, norm: those of the step `extend`.
        last: channels of the last grown level.
        dual_path: what the second path of a backbone with eliminated strides gives; it begins
            behind the first of them. A space that names no kind has none.
    """

    kind: Literal["ssd"] = "ssd"
    l2norm: bool = True
    block: Literal["separable", "bottleneck", "conv"] = "separable"
    norm: bool = True
    ending: Ending = "strided"
    last: Channels = 128
    dual_path: Annotated[DualPath, Fixed("none"), Field(discriminator="kind")] = NoDualPath()

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The neck behind a backbone, for an input of `size` pixels."""
        splits = isinstance(self.dual_path, DualPathSplit)
        maps = backbone.model_copy(update={"second_path": splits}).levels(1, size)
        top = maps.side[-1] if maps.side else maps.top
        grow = grown(self.ending, self.last, top)
        return (
            *((L2Norm(),) if self.l2norm else ()),
            *self.dual_path.start(backbone),
            Extend(block=self.block, norm=self.norm, grow=grow),
            *self.dual_path.rest(backbone),
        )

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> SSDNeck | None:
        """The only form that a neck can be of; None for one that is certainly of no such form."""
        extends = [step for step in steps if isinstance(step, Extend)]
        joins = [step for step in steps if isinstance(step, Join)]
        if len(extends) != 1:
            return None
        [extend] = extends
        if extend.block == "plain":
            return None
        dual: DualPath = DualPathConcat(grown=len(joins) > 1) if joins else NoDualPath()
        if any(isinstance(step, Split) for step in steps):
            dual = DualPathSplit()
        return cls(
            l2norm=L2Norm() in steps,
            block=extend.block,
            norm=extend.norm,
            ending=ending_of(extend.grow),
            last=extend.grow[-1].channels,
            dual_path=dual,
        )


class ListedNeck(Config):
    """A neck as its steps, to be chosen as a whole."""

    kind: Literal["listed"] = "listed"
    steps: tuple[Step, ...] = ()

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        return self.steps

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> ListedNeck:
        return cls(steps=steps)


FORMS = (SSDNeck, ListedNeck)


def steps_of(form: Any, owner: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a form in a detector, of which input size and backbone are known."""
    return form.write(owner["backbone"], both_axes(owner["input_size"]))


def form_of(cls: Any, steps: tuple[Step, ...], owner: Mapping[str, Any]) -> Any:
    """The form of a class that steps may have been written from; None for certainly none."""
    return cls.read(steps)


def grown(ending: Ending, last: int, top: Level) -> tuple[Growth, ...]:
    """What to grow on a map: 512 and 256 channels by strides, then an ending of `last` channels."""
    *ends, end = ENDINGS[ending]
    grow = [Growth(channels=512), Growth(channels=256), *ends]
    grow.append(end.model_copy(update={"channels": last}))
    if ending == "to_1x1":
        where = _meets_few_cells(grow, top)
        grow[where] = grow[where].model_copy(update={"padding": 0})
    return tuple(grow)


def _meets_few_cells(grow: list[Growth], top: Level) -> int:
    """The first growth that is given three or four cells a side; the last if none is."""
    side = min(top.size)
    for number, growth in enumerate(grow):
        if side in (3, 4):
            return number
        side = growth.out_size(side)
    return len(grow) - 1


def ending_of(grow: tuple[Growth, ...]) -> Ending:
    """How growth ends, if it is of one of the endings."""
    if any(growth.padding == 0 and growth.stride > 1 for growth in grow):
        return "to_1x1"
    if grow[-1].kernel > 3:
        return "kernel4"
    return "strided" if grow[-1].padding else "unpadded"
