"""Global channel pruning by batch-norm scales, through torch-pruning's dependency graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch_pruning as tp
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from detectors.blocks import L2Norm
from detectors.detector import Detector
from searchspace.compression import Slimming

MIN_CHANNELS = 8


class Plan(BaseModel):
    """Which channels go.

    Attributes:
        removed: by convolution, the output channels that go (with all that depends on them).
        channels: by convolution, how many it has before.
        unprunable: convolutions whose outputs stay whatever the ratio, with the reason.
    """

    model_config = ConfigDict(frozen=True)

    removed: dict[str, tuple[int, ...]]
    channels: dict[str, int]
    unprunable: dict[str, str]

    @property
    def share(self) -> float:
        """The share of the prunable channels that goes."""
        return sum(map(len, self.removed.values())) / max(sum(self.channels.values()), 1)


@dataclass(frozen=True)
class _Group:
    """Channels that can only go together with the outputs of convolution `root`."""

    root: str
    importance: Tensor = field(repr=False)

    def protected(self, floor: float) -> int:
        """How many of its channels stay whatever their importance."""
        count = len(self.importance)
        return min(count, max(MIN_CHANNELS, round(floor * count)))


def prune(detector: Detector, config: Slimming) -> Plan:
    """Remove the channels of smallest batch-norm scale, in place.

    One global threshold cuts `config.ratio` of all prunable channels; each layer keeps at least 8
    channels and `config.floor` of them (network slimming, section 3).
    """
    plan = plan_pruning(detector, config)
    replay(detector, plan)
    return plan


def plan_pruning(detector: Detector, config: Slimming) -> Plan:
    """Decide which channels `prune` removes; the detector is left as it is.

    Raises:
        ValueError: no batch norm scales any channel that could go.
    """
    groups, unprunable = _groups(detector)
    if not groups:
        raise ValueError(
            "compress.pruning slimming: no batch norm scales any channel of this detector; set "
            "norm of its backbone or of steps of its neck, or pruning to none"
        )
    scores = torch.cat([g.importance for g in groups])
    cut = int(config.ratio * len(scores))
    threshold = scores.sort().values[cut]
    removed = {}
    for group in groups:
        order = group.importance.argsort()
        below = int((group.importance < threshold).sum())
        below = min(below, len(order) - group.protected(config.floor))
        removed[group.root] = tuple(sorted(order[:below].tolist()))
    return Plan(
        removed={root: gone for root, gone in removed.items() if gone},
        channels={g.root: len(g.importance) for g in groups},
        unprunable=unprunable,
    )


def replay(detector: Detector, plan: Plan) -> None:
    """Remove the channels of a plan from the detector that it was made for, in place."""
    graph = _dependencies(detector)
    modules = dict(detector.named_modules())
    for root, gone in plan.removed.items():
        group = graph.get_pruning_group(modules[root], tp.prune_conv_out_channels, list(gone))
        group.prune()


def _groups(detector: Detector) -> tuple[list[_Group], dict[str, str]]:
    graph = _dependencies(detector)
    names = {module: name for name, module in detector.named_modules()}
    importance = tp.importance.BNScaleImportance(normalizer=None)
    outputs = [m for m in detector.head.modules() if isinstance(m, nn.Conv2d)]
    unprunable = {names[m]: "its outputs are the head's numbers" for m in outputs}
    groups = []
    for group in graph.get_all_groups(ignored_layers=outputs, root_module_types=[nn.Conv2d]):
        root = names[group[0].dep.target.module]
        scores = importance(group)
        if scores is None:
            unprunable[root] = "no batch norm scales its outputs"
        else:
            groups.append(_Group(root, scores.detach().float().cpu()))
    return groups, unprunable


def _dependencies(detector: Detector) -> tp.DependencyGraph:
    training = detector.training
    graph = tp.DependencyGraph().build_dependency(
        detector,
        example_inputs=torch.zeros(1, 3, *detector.config.size, device=detector.device),
        forward_fn=_raw_outputs,
        unwrapped_parameters=[
            (layer.weight, 0) for layer in detector.modules() if isinstance(layer, L2Norm)
        ],
    )
    detector.train(training)
    return graph


def _raw_outputs(detector: Detector, images: Tensor) -> tuple[Tensor, Tensor]:
    predictions = detector.predict(images)
    return predictions.boxes, predictions.classes
