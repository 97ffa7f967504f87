"""Every configuration class there is, and a value of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo

from searchspace import TrialConfig
from searchspace.augmentation import CopyPaste, MultiScale
from searchspace.config import Config, Through
from searchspace.heads import LevelPoints
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Growth
from searchspace.priors import LevelPriors
from searchspace.registry import Registry
from searchspace.training import SmallObjects

SAMPLES: dict[type[Config], Config] = {
    Source: Source(level=0, channels=64),
    Fuse: Fuse(sources=(Source(level=0, channels=64), Source(level=1, channels=64))),
    Growth: Growth(channels=64),
    FusionBlock: FusionBlock(level=0, source=1, deconv_channels=(64,), channels=64),
    Deconvolve: Deconvolve(
        blocks=(FusionBlock(level=0, source=1, deconv_channels=(64,), channels=64),)
    ),
    Join: Join(level=0, side=0),
    Split: Split(side=0),
    LevelPoints: LevelPoints(step=8),
    LevelPriors: LevelPriors(step=8, min_size=20, max_size=40, ratios=(2,)),
    CopyPaste: CopyPaste(copies=1, probability=0.5),
    MultiScale: MultiScale(smallest=0.5, largest=1.5),
    SmallObjects: SmallObjects(weight=2),
}
"""Of classes without a default, and of those whose fields mean nothing at their defaults."""


def sample(cls: type[Config]) -> Config:
    """A value of a class."""
    return SAMPLES[cls] if cls in SAMPLES else cls()


def held_by(annotation: Any, metadata: tuple[Any, ...] | list[Any] = ()) -> list[type[Config]]:
    """The configuration classes that a field of some type may hold, at any depth."""
    found: list[type[Config]] = []
    for mark in metadata:
        found += list(mark) if isinstance(mark, Registry) else []
        found += list(mark.forms) if isinstance(mark, Through) else []
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return found or [annotation]
    for argument in get_args(annotation):
        found += held_by(argument, getattr(annotation, "__metadata__", ()))
    return list(dict.fromkeys(found))


def classes(cls: type[Config] = TrialConfig) -> Iterator[type[Config]]:
    """A configuration class and all that lie in it, each once."""
    seen: dict[type[Config], None] = {}
    waiting = [cls]
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen[cls] = None
            for info in cls.model_fields.values():
                waiting += held_by(info.annotation, info.metadata)
    return iter(seen)


def fields(cls: type[Config]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a class but for its kind."""
    return ((name, info) for name, info in cls.model_fields.items() if name != "kind")
