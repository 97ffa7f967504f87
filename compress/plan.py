"""`Plan`: the channels that pruning removes from a detector, and its size before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from compress.channels import ChannelGraph, convolution
from detectors.describe import count_macs, count_params, skeleton
from detectors.detector import Detector
from searchspace.errors import InputError
from searchspace.reading import read_model


class Size(BaseModel):
    """Parameters and multiply-accumulates of a detector, see `detectors.describe`."""

    model_config = ConfigDict(frozen=True)

    params: int
    macs: int

    @classmethod
    def of(cls, detector: Detector) -> Size:
        return cls(params=count_params(detector), macs=count_macs(detector))


class Plan(BaseModel):
    """The channels that pruning removes.

    Attributes:
        removed: by convolution, the output channels to remove (with everything that depends on
        them).
        channels: by convolution, its number of output channels before pruning.
        unprunable: convolutions that are not pruned at any ratio, with the reason.
        before, after: size of the detector before and after pruning.
    """

    model_config = ConfigDict(frozen=True)

    removed: dict[str, tuple[int, ...]]
    channels: dict[str, int]
    unprunable: dict[str, str]
    before: Size
    after: Size

    @property
    def share(self) -> float:
        """The share of the prunable channels that is removed."""
        return sum(map(len, self.removed.values())) / max(sum(self.channels.values()), 1)

    def then(self, later: Plan) -> Plan:
        """Both as one, for the detector of this plan; `later` is of what this one leaves of it."""
        removed = dict(self.removed)
        for root, gone in later.removed.items():
            already = set(self.removed.get(root, ()))
            left = [channel for channel in range(self.channels[root]) if channel not in already]
            removed[root] = tuple(sorted(already.union(left[place] for place in gone)))
        return self.model_copy(update={"removed": removed, "after": later.after})


def read_plan(path: Path) -> Plan:
    """Read a plan from a file.

    Raises:
        ValueError: the file is missing or damaged; the message names it and the field.
    """
    return read_model(Path(path), Plan, "give the plan of a pruned trial")


def plan_by_widths(narrow: Detector) -> Plan | None:
    """A plan that gives a detector of the same configuration the widths of a pruned one.

    Which channels were removed does not follow from the widths: here it is the last of each layer.
    None if none were.
    """
    whole = skeleton(narrow.config)
    if _shapes(whole) == _shapes(narrow):
        return None  # Nor can every network be traced that is never pruned.
    graph = ChannelGraph(whole)
    channels = {root: graph.count(root) for root in graph.groups}
    kept = {root: convolution(narrow.get_submodule(root), root).out_channels for root in channels}
    removed = {
        root: tuple(range(kept[root], count))
        for root, count in channels.items()
        if kept[root] < count
    }
    return Plan(
        removed=removed,
        channels=channels,
        unprunable=graph.fixed,
        before=Size.of(whole),
        after=Size.of(narrow),
    )


def replay(detector: Detector, plan: Plan) -> None:
    """Remove the channels of a plan from the detector that it was made for, in place.

    Raises:
        ValueError: the plan is for another detector, or would empty a layer. The detector is then
            unchanged.
    """
    graph = ChannelGraph(detector)
    for root, gone in plan.removed.items():
        _check(graph, root, gone, plan.channels.get(root))
    remove(graph, plan.removed)


def remove(graph: ChannelGraph, removed: Mapping[str, Sequence[int]]) -> None:
    """Remove output channels of convolutions, and everything that depends on them."""
    for root, gone in removed.items():
        graph.remove(root, gone)


def _shapes(detector: Detector) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}


def _check(graph: ChannelGraph, root: str, gone: tuple[int, ...], channels: int | None) -> None:
    if root not in graph.groups:
        why = graph.fixed.get(root, "this detector has no such prunable convolution")
        raise InputError(f"plan.removed.{root}: {why}; is it the plan of another detector?")
    count = graph.count(root)
    if channels != count:
        raise InputError(
            f"plan.channels.{root} is {channels}, but the convolution has {count} channels: it is "
            "the plan of another detector, or has been replayed already"
        )
    if len(set(gone)) != len(gone) or not all(0 <= channel < count for channel in gone):
        raise InputError(f"plan.removed.{root}: give channels 0 to {count - 1}, each once")
    if len(gone) == count:
        raise InputError(f"plan.removed.{root} would remove all of its {count} channels")
