"""Which maps a detector makes of which: its composition, read off the network that is built.

No part says what it reads. A step of the neck is run on the shapes of its inputs alone, and what
its outputs were computed from is followed back, so that steps of users are shown like all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from detectors.describe import skeleton
from detectors.detector import Detector
from detectors.dry_run import dry_run, once_per_shape
from detectors.features import Features, size_of
from searchspace.detector import DetectorConfig


@dataclass(frozen=True)
class FeatureMap:
    """A map between the parts of a detector.

    Attributes:
        part: what makes it: 0 is the backbone, k the kth step of the neck.
        channels, height, width: its shape.
        second_path: the backbone's second path made it.
        sources: places among all maps of those that it is computed from; none for the backbone's.
    """

    part: int
    channels: int
    height: int
    width: int
    second_path: bool = False
    sources: tuple[int, ...] = ()


@dataclass(frozen=True)
class Composition:
    """The maps of a detector.

    Attributes:
        maps: in the order in which they are made.
        read: places of those that the head reads, finest first.
    """

    maps: tuple[FeatureMap, ...]
    read: tuple[int, ...]


def composition(detector: Detector | DetectorConfig) -> Composition:
    """The maps of a detector, pruned or not, or of the one that a configuration builds."""
    return _composed(skeleton(detector))


@once_per_shape
def _composed(detector: Detector) -> Composition:
    watched = _Watched()
    hooks = []
    for number, step in enumerate(detector.neck.children(), 1):
        hooks.append(step.register_forward_pre_hook(watched.enters))
        hooks.append(
            step.register_forward_hook(lambda m, i, made, n=number: watched.leaves(n, i[0], made))
        )
    backbone = detector.backbone.register_forward_hook(lambda m, i, made: watched.taps(made))
    outputs = dry_run(detector, [*hooks, backbone])
    return Composition(tuple(watched.maps), tuple(watched.place_of(x) for x in outputs.maps))


class _Watched:
    """The maps that were seen so far, each with its place, by the tensor that holds it."""

    def __init__(self) -> None:
        self.maps: list[FeatureMap] = []
        self._places: dict[int, int] = {}
        self._held: list[Tensor] = []  # An id is that of a tensor only while it lives.

    def place_of(self, x: Tensor) -> int:
        return self._places[id(x)]

    def taps(self, made: Features) -> None:
        """The maps of the backbone."""
        for x in _each_once(made):
            side = any(x is other for other in made.side)
            self._see(x, FeatureMap(0, x.shape[1], *size_of(x), second_path=side))

    def enters(self, step: nn.Module, given: tuple[Any, ...]) -> tuple[Features]:
        """The inputs of a step, cut off from what they were computed from."""
        [features] = given
        cut = {id(x): x.detach().requires_grad_() for x in _each_once(features)}
        for x in _each_once(features):
            self._hold(cut[id(x)], self.place_of(x))
        return (
            Features(
                maps=[cut[id(x)] for x in features.maps],
                top=cut[id(features.top)],
                side=[cut[id(x)] for x in features.side],
            ),
        )

    def leaves(self, number: int, given: Features, made: Features) -> None:
        """The new maps of a step, which may be computed from each other."""
        new = [x for x in _each_once(made) if id(x) not in self._places]
        # One computation may have several outputs, such as the halves of a map.
        places = enumerate(new, len(self.maps))
        known = {(x.grad_fn, x.output_nr): place for place, x in places if x.grad_fn}
        for x in new:
            found = {*self._sources(x, known)}
            shape = x.shape[1], *size_of(x)
            self._see(x, FeatureMap(number, *shape, sources=tuple(sorted(found))))

    def _sources(self, x: Tensor, known: dict[tuple[Any, int], int]) -> Iterator[int]:
        """The places of the maps that a tensor was computed from.

        Args:
            known: the places of maps by the last computation of each and the number of its output
                there, which is followed no further.
        """
        seen = set()
        todo = [*x.grad_fn.next_functions] if x.grad_fn else []
        while todo:
            output = todo.pop()
            if output in known:
                yield known[output]
                continue
            node, _ = output
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)  # None but for tensors without a history.
            if id(leaf) in self._places:
                yield self._places[id(leaf)]
            todo += node.next_functions

    def _see(self, x: Tensor, seen: FeatureMap) -> None:
        self._hold(x, len(self.maps))
        self.maps.append(seen)

    def _hold(self, x: Tensor, place: int) -> None:
        self._places[id(x)] = place
        self._held.append(x)


def _each_once(features: Features) -> list[Tensor]:
    """The maps of features, then those of the second path, then the top if it is none of these."""
    return list({id(x): x for x in (*features.maps, *features.side, features.top)}.values())
