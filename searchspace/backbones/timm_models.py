"""timm's feature extractors as backbones, by name.

What they put out is known from a table, `timm.json`, which `python -m compress.timm_table` makes of
the installed timm: a configuration is read where neither timm nor torch is loaded. Tests hold the
table to timm, and a detector is refused where the installed timm differs from it.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, model_validator

from searchspace.backbones.contract import Backbone
from searchspace.geometry import Level, Levels, Size, along_axes, shown
from searchspace.words import joined


@dataclass(frozen=True)
class Map:
    """One map of a model: `(side of the image + offset) // stride` cells a side.

    Attributes:
        index: which of timm's `out_indices` it is.
    """

    index: int
    channels: int
    stride: int
    offset: int

    def out_size(self, size: int) -> int:
        """Height for an image of height `size`; widths follow the same rule."""
        return (size + self.offset) // self.stride


@dataclass(frozen=True)
class Model:
    """The table's entry of a model.

    Attributes:
        maps: by their strides; of several of one stride, the deepest.
        tags: of its pretrained weights, the default one first, with the pixels of each.
        multiple: what the sides of an image have to be multiples of.
        whole: why its channels cannot be removed; empty where they can.
    """

    maps: Mapping[int, Map]
    tags: Mapping[str, str] = field(default_factory=dict)
    multiple: int = 1
    whole: str = ""


@functools.cache
def _table() -> Mapping[str, Any]:
    file = resources.files("searchspace.backbones").joinpath("timm.json")
    return json.loads(file.read_text(encoding="utf-8"))


@functools.cache
def known(name: str) -> Model:
    """The table's entry of a model, without the tag of its weights.

    Raises:
        ValueError: timm has no such model or weights, or the model cannot be a backbone.
    """
    base, _, tag = name.partition(".")
    table = _table()
    if reason := refusals().get(base):
        raise ValueError(f"{base!r} of timm cannot be a backbone: {reason}")
    if base not in table["models"]:
        near = ", ".join(difflib.get_close_matches(base, table["models"], n=3, cutoff=0))
        raise ValueError(f"{base!r} is not a model of timm {table['timm']}; the nearest are {near}")
    facts = table["models"][base]
    rows = enumerate(facts["maps"], start=facts.get("first", 0))
    maps = {stride: Map(index, channels, stride, off) for index, (channels, stride, off) in rows}
    own = {name: facts[name] for name in ("tags", "multiple", "whole") if name in facts}
    model = Model(maps, **own)
    if tag and tag not in model.tags:
        raise ValueError(f"{tag!r} are no weights of timm's {base}: it has {list(model.tags)}")
    return model


@functools.cache
def refusals() -> Mapping[str, str]:
    """Why models of timm cannot be backbones, by their names."""
    return {name: why for why, names in _table()["refused"].items() for name in names}


def models() -> tuple[str, ...]:
    """The names of all models that can be backbones."""
    return tuple(_table()["models"])


def forget() -> None:
    """Discard the table, so that it is read again when needed."""
    _table.cache_clear()
    known.cache_clear()
    refusals.cache_clear()


def _checked(name: str) -> str:
    known(name)
    return name


class Timm(Backbone):
    """A feature extractor of timm, such as `efficientnet_b0`, with batch norm.

    Its channels are the model's own: `detector.width` scales neck and head alone.

    Attributes:
        name: timm's name of the model, with a tag where other than its default weights are wanted:
            `resnet50` or `resnet50.a1_in1k`.
        taps: the strides of the maps that the neck starts from: 8 is the map with one cell for 8x8
            pixels.
    """

    kind: Literal["timm"] = "timm"
    name: Annotated[str, AfterValidator(_checked)] = "resnet18"
    taps: tuple[int, ...] = (16, 32)

    scales: ClassVar[bool] = False
    weights_by: ClassVar[tuple[str, ...]] = ("name",)

    @property
    def model(self) -> Model:
        """Its entry in the table."""
        return known(self.name)

    @property
    def indices(self) -> tuple[int, ...]:
        """The taps as timm's `out_indices`."""
        return tuple(self.model.maps[stride].index for stride in self.taps)

    @property
    def weights(self) -> str | None:
        """timm's name of its pretrained weights; None without any."""
        base, _, tag = self.name.partition(".")
        tag = tag or next(iter(self.model.tags), "")
        return f"{base}.{tag}" if tag else None

    def levels(self, width: float, size: Size) -> Levels:
        tapped = (self.model.maps[stride] for stride in self.taps)
        maps = tuple(Level(m.channels, *along_axes(m.out_size, size)) for m in tapped)
        return Levels(maps=maps, top=maps[-1])

    def in_words(self) -> str:
        usual = type(self).model_fields["taps"].default
        taps = f"taps {'+'.join(map(str, self.taps))}" if self.taps != usual else ""
        return joined(f"timm {self.name}", taps)

    @property
    def family(self) -> str:
        return f"timm {self.name.partition('.')[0]}"

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        if self.weights is None:
            return {}
        return {"imagenet": {"pixels": self.model.tags[self.weights.partition(".")[2]]}}

    def unprunable(self) -> str | None:
        return self.model.whole or None

    def check_size(self, size: Size) -> None:
        step = self.model.multiple
        if any(side % step for side in size):
            below = along_axes(lambda side: side // step * step, size)
            above = along_axes(lambda side: -(-side // step) * step, size)
            raise ValueError(
                f"input_size {shown(size)}: {self.name} takes sides that are multiples of {step}: "
                f"set it to {shown(below)} or {shown(above)}"
            )

    @model_validator(mode="after")
    def _maps_exist(self) -> Self:
        strides = list(self.model.maps)
        if not self.taps or not set(self.taps) <= set(strides):
            raise ValueError(
                f"taps {list(self.taps)}: the maps of {self.name} have strides {strides}: choose "
                "from these"
            )
        if list(self.taps) != sorted(set(self.taps)):
            raise ValueError(f"taps {list(self.taps)}: name each once, finest first")
        return self
