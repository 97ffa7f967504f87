"""The contract of a backbone's configuration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from searchspace.config import Config
from searchspace.geometry import Levels, Size


class Backbone(Config):
    """The first part of a detector, which makes maps of images.

    A backbone is two classes. A subclass of this one says which maps there will be, by arithmetic,
    before any image is seen and without torch; register it with `@BACKBONES.register`. A
    `detectors.backbones.Backbone` is built from it and makes these maps; mark it with `@builds`.

    A subclass names its `kind` as a `Literal`, and implements `levels` and `in_words`. All fields
    need defaults. The other methods have defaults that fit a backbone without ImageNet weights,
    without a second path, whose channels may be pruned.

    Attributes:
        taps: the maps that the neck starts from, finest first; `top` is the last of them. How a map
            is named is up to each kind.
        scales: whether `detector.width` multiplies the channels of this kind.
        weights_by: the fields that decide which published weights fit.
    """

    kind: str
    taps: tuple[Any, ...]

    scales: ClassVar[bool] = True
    weights_by: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def levels(self, width: float, size: Size) -> Levels:
        """The tapped maps for an input of `size` pixels; never raises."""

    @abstractmethod
    def in_words(self) -> str:
        """A short description; empty for the stock detector's."""

    @property
    def family(self) -> str:
        """The name of all backbones whose layers have the same names and meanings."""
        return self.kind

    @property
    def stages(self) -> int:
        """How many parts, from the image on, `train.frozen.rows` may freeze: by default the taps,
        each with all that it depends on."""
        return len(self.taps)

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        """Initial weights that exist for it, with what these were trained with.

        Weights are named as in `train.weights`; what they presuppose is by path below `detector`,
        such as `pixels` or `backbone.activation`.
        """
        return {}

    def unprunable(self) -> str | None:
        """Why no channels can be removed from it; None where they can."""
        return None

    def check_size(self, size: Size) -> None:
        """Raise ValueError for an input, in pixels, that it cannot take; says which it can."""
        return None

    def side_taps(self) -> int:
        """How many maps a second path through it would have; 0 without one."""
        return 0

    def with_second_path(self, asked: bool) -> Self:
        """This with a second path or without; unchanged where it can have none.

        Raises:
            pydantic.ValidationError: it could have one, but not with its other fields.
        """
        return self
