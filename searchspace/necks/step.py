"""The contract of a neck step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from searchspace.config import Config
from searchspace.geometry import Levels
from searchspace.registry import Registry


class NeckStep(Config, ABC):
    """One step of a neck: it turns feature maps into others.

    A step is two classes. Its configuration, a subclass of this one, declares in `levels` the maps
    that the step returns, before any image is seen and without torch. Its `nn.Module` computes
    them::

        @NECK_STEPS.register                     # searchspace.necks
        class Attention(NeckStep):
            kind: Literal["attention"] = "attention"
            level: Index = 0

            def levels(self, before: Levels, width: float) -> Levels: ...

        @builds(Attention)                       # detectors.building
        class AttentionStep(nn.Module):
            def __init__(self, step: Attention, before: Levels, width: float) -> None: ...
            def forward(self, features: Features) -> Features: ...

    The module's constructor gets the configuration and the arguments of `levels`. Its `forward`
    gets `detectors.features.Features`: tensors [N, C, H, W] with the sizes in `before`, in the same
    order. It returns features with exactly the sizes that `levels` returned, and must not change
    the tensors or lists it was given: use `dataclasses.replace(features, maps=...)`. Weights are
    stored under the name of the kind and of the module's attributes.

    Attributes:
        kind: the name of the step in files; a `Literal` with itself as default.
    """

    kind: str

    @abstractmethod
    def levels(self, before: Levels, width: float) -> Levels:
        """The maps after this step.

        Args:
            before: the maps before this step: `maps`, which the head or a later step may read,
                finest first; `top`, the map from which further levels grow (at first the last tap
                of the backbone; later it need not be among the maps); `side`, the maps of the
                backbone's second path, finest first, empty without one; `refined`, the indices of
                maps that an earlier step refined for the head; a step should raise rather than
                discard one of them.
            width: the detector's width multiplier. Channels in the step's fields are for width 1:
                use `searchspace.geometry.scaled(channels, width)`.

        Returns:
            A new `Levels`; unchanged parts are the same objects as before: use
            `dataclasses.replace`, `before.with_map` or, for a map that is refined for the head,
            `before.with_refined`. In particular, `top` is the same object unless growth continues
            from another map. A step that replaces all maps sets `refined` to `frozenset()`.

        Raises:
            ValueError: the step cannot be built on these maps. The message says what is wrong, with
                the numbers, and how to fix it; the detector prepends the step's position.
        """

    @property
    def reads_side(self) -> bool:
        """Whether it reads a map of the second path, which is only built if some step does."""
        return False

    @property
    def reads_top(self) -> bool:
        """Whether it grows maps from `top`, like `extend`."""
        return False

    @property
    def only_sets_top(self) -> bool:
        """Whether it only sets `top`, like `split`; rejected if no later step reads that."""
        return False


NECK_STEPS = Registry[NeckStep]("neck step")

Step = Annotated[NeckStep, NECK_STEPS]
"""Any registered step."""
