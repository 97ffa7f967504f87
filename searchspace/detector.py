"""`DetectorConfig`: backbone, neck (an ordered list of steps), head."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from searchspace.backbones import BACKBONES, Backbone, MobileNetV1
from searchspace.config import Added, Config, Through
from searchspace.domains import Choice, Fixed
from searchspace.geometry import (
    Canvas,
    InputSize,
    Level,
    Levels,
    Resize,
    Size,
    both_axes,
    one_if_equal,
    shown,
)
from searchspace.heads import HEADS, Head, LevelPoints, Multibox
from searchspace.neck_forms import NECK_FORMS, form_of, steps_of
from searchspace.necks import Step
from searchspace.necks.growth import Extend, L2Norm
from searchspace.priors import LevelPriors
from searchspace.tiles import NoTiles, Tiled, Tiles
from searchspace.words import joined, on_axes

Side = Annotated[int, Field(ge=64, le=16384)]


def _multibox_unless_named(head: Any) -> Any:
    """A head without a kind is SSD's multibox head."""
    return {"kind": "multibox", **head} if isinstance(head, dict) else head


class DetectorConfig(Config):
    """A detector as data. A configuration that cannot be built is rejected here.

    Attributes:
        input_size: pixels that images are resized to: the side of a square, or (height, width).
        resize: how images get there: `stretch` fills the input and changes their aspect ratio;
            `letterbox` keeps it and fills the rest, below or to the right, with grey (YOLOX).
        num_classes: foreground classes.
        pixels: normalisation of images: `imagenet` is mean 0 and deviation 1 (torchvision's
            ImageNet weights), `inception` -1 to 1 (timm's MobileNetV1), `caffe` mean 0 on the scale
            of 0 to 255 (torchvision's SSD300), `unit` 0 to 1, `clip` and `dpn` those of timm's
            weights of that name.
        width: multiplier of every channel count of neck and the head's towers, and of backbones
            whose kind has one.
        backbone: a space that names no kind searches MobileNetV1.
        neck: drawn through `neck_forms`; a space that names no kind has SSD's.
        head: a space that names no kind searches multibox.
        tiles: the parts of an image that are looked at, each placed on the input; a space that
            names no kind looks at images whole.
    """

    input_size: Annotated[
        Side | tuple[Side, Side], Choice(160, 224, 300, 512), AfterValidator(one_if_equal)
    ] = 300
    resize: Annotated[Resize, Added()] = "stretch"
    num_classes: int = Field(default=80, ge=1, le=10_000)
    pixels: Literal["imagenet", "inception", "caffe", "unit", "clip", "dpn"] = "imagenet"
    width: Annotated[float, Choice(0.25, 0.5, 0.75, 1.0), Field(gt=0, le=2)] = 1.0
    backbone: Annotated[Backbone, BACKBONES, Fixed("mobilenet_v1")] = MobileNetV1()
    neck: Annotated[tuple[Step, ...], Through(NECK_FORMS, steps_of, form_of), Fixed("ssd")] = (
        L2Norm(),
        Extend(),
    )
    head: Annotated[
        Head,
        HEADS,
        Fixed("multibox"),
        BeforeValidator(_multibox_unless_named),
    ] = Multibox()
    tiles: Annotated[Tiles, Added(), Fixed("none")] = NoTiles()

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Set `second_path` if the neck reads it."""
        reads = any(step.reads_side for step in values["neck"])
        return values | {"backbone": values["backbone"].with_second_path(reads)}

    @property
    def size(self) -> Size:
        """Height and width of the input in pixels."""
        return both_axes(self.input_size)

    @property
    def canvas(self) -> Canvas:
        """The input, and how images are placed on it."""
        tiles = self.tiles if isinstance(self.tiles, Tiled) else None
        return Canvas(self.size, self.resize, tiles)

    def stages(self) -> tuple[Levels, ...]:
        """The levels after the backbone, then after each step of the neck.

        Raises:
            ValueError: a step cannot be built; the message names it.
        """
        stages = [self.backbone.levels(self.width, self.size)]
        for number, step in enumerate(self.neck):
            try:
                stages.append(step.levels(stages[-1], self.width))
            except ValueError as error:
                raise ValueError(f"neck.{number}, {step.kind}: {error}") from None
        return tuple(stages)

    def levels(self) -> tuple[Level, ...]:
        """The maps that the head reads, finest first."""
        return self.stages()[-1].maps

    def priors(self) -> tuple[LevelPriors | LevelPoints, ...]:
        """The priors or points of each level."""
        return self.head.for_levels(self.levels(), self.size)

    def at_input_size(self, size: InputSize) -> DetectorConfig:
        """This detector for inputs of another size.

        Listed priors keep their sizes in pixels; their steps follow the cells, whose size changes
        slightly with padding.

        Raises:
            ValueError: it cannot be built for that size, or the number of levels changes.
        """
        moved = self.model_copy(update={"input_size": size})
        before, after = self.levels(), moved.levels()
        if len(before) != len(after):
            maps = ", ".join(shown(level.size) for level in after)
            raise ValueError(f"{len(after)} levels ({maps}) instead of {len(before)}")
        pairs = zip(before, after, strict=True)
        grown = moved.size[0] / self.size[0]
        changes = tuple(grown * b.height / a.height for b, a in pairs)
        return self.changed(input_size=size, head=self.head.for_cells(changes))

    def in_words(self) -> str:
        return joined(
            f"width {self.width:g}",
            f"{on_axes(self.input_size)} px",
            self.resize if self.resize != "stretch" else "",
            self.backbone.in_words(),
            *(step.in_words() for step in self.neck),
            self.head.in_words(),
            self.tiles.in_words(),
        )

    def _refuse_idle_starts(self, stages: tuple[Levels, ...]) -> None:
        """Reject a step that only sets the top, if no later step grows from it."""
        made = list(zip(self.neck, itertools.pairwise(stages), strict=True))
        for number, step in enumerate(self.neck):
            if not step.only_sets_top:
                continue
            users = (
                later
                for later, (a, b) in made[number + 1 :]
                if later.reads_top or a.top is not b.top
            )
            reader = next(users, None)
            if reader is None or not reader.reads_top:
                raise ValueError(
                    f"neck.{number}, {step.kind}: no levels grow from it; add a step extend after "
                    "it"
                )

    @model_validator(mode="after")
    def _can_be_built(self) -> DetectorConfig:
        self.backbone.check_size(self.size)
        stages = self.stages()
        for level in stages[-1].maps:
            if min(level.size) < 1:
                raise ValueError(f"input_size {self.input_size} leaves an empty map; raise it")
        if stages[0].side and not any(step.reads_side for step in self.neck):
            raise ValueError("second_path: nothing reads it; add a step join or split to the neck")
        self._refuse_idle_starts(stages)
        self.priors()
        return self
