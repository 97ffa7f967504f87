"""The contract of a neck step."""

from __future__ import annotations

from abc import ABC, abstractmethod

from searchspace.config import Config
from searchspace.geometry import Levels


class NeckStep(Config, ABC):
    """One step of a neck: it is given feature maps and leaves others.

    A step is two classes. Its configuration, a subclass of this one, says in `levels` what maps the
    step makes, before any image is seen and without torch. Its `nn.Module` makes them::

        @NECK_STEPS.register                     # searchspace.necks
        class Attention(NeckStep):
            kind: Literal["attention"] = "attention"
            level: Index = 0

            def levels(self, before: Levels, width: float) -> Levels: ...

        @builds(Attention)                       # detectors.building
        class AttentionStep(nn.Module):
            def __init__(self, step: Attention, before: Levels, width: float) -> None: ...
            def forward(self, features: Features) -> Features: ...

    The module's constructor is called with the configuration and with what `levels` was called
    with. Its `forward` is called with `detectors.features.Features`: tensors [N, C, H, W] of the
    sizes that `before` has, in the same order. It returns features of exactly the sizes that
    `levels` returned, and changes neither the tensors nor the lists that it was given: use
    `dataclasses.replace(features, maps=...)`. Weights are stored under the name of the kind
    and of the module's attributes.

    Attributes:
        kind: the name of the step in files; a `Literal` with itself as default.
    """

    kind: str

    @abstractmethod
    def levels(self, before: Levels, width: float) -> Levels:
        """What this step leaves of what it is given.

        Args:
            before: `maps`, which the head or a later step may read, finest first; `top`, the map
                from which growth continues (the last tap of the backbone at first, which later need
                not be among the maps); `side`, the maps of the backbone's second path, finest
                first, empty without one; `refined`, the indices of maps that an earlier step made
                better for the head, so that a step that discards one of them should refuse to.
            width: the detector's width multiplier. Every number of channels in the step's fields
                is meant at width 1: use `searchspace.geometry.scaled(channels, width)`.

        Returns:
            A new `Levels`; what the step leaves alone is the same object as before, by
            `dataclasses.replace`, `before.with_map` or, for a map that is made better for the
            head, `before.with_refined`. In particular `top` is the same object unless growth shall
            continue from another map. A step that makes all maps anew sets `refined` to
            `frozenset()`.

        Raises:
            ValueError: the step cannot be built on these maps. The message says what is wrong, with
                the numbers, and what to change; the detector puts the step's place before it.
        """

    @property
    def reads_side(self) -> bool:
        """Whether it reads a map of the second path, which is there only if some step does."""
        return False

    @property
    def reads_top(self) -> bool:
        """Whether it makes maps from `top`, as `extend` does."""
        return False

    @property
    def only_sets_top(self) -> bool:
        """Whether all it does is to set `top`, as `split`; refused if no step then reads it."""
        return False
