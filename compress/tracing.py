"""The dependency graph of a detector by torch-pruning, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
import torch_pruning as tp
from torch import Tensor
from torch_pruning.dependency import Group

from detectors.blocks import L2Norm
from detectors.detector import Detector
from detectors.dry_run import dry_run
from detectors.features import Predictions


class Graph(tp.DependencyGraph):
    """torch-pruning's graph of a detector."""

    def outputs_of(self, layer: torch.nn.Module, channels: Sequence[int]) -> Group:
        """All that is removed with output channels of a convolution."""
        return self.get_pruning_group(layer, tp.prune_conv_out_channels, list(channels))


class _L2NormPruner(tp.BasePruningFunc):
    """Tells torch-pruning how to remove channels from the scales of an `L2Norm`."""

    def prune_out_channels(self, layer: L2Norm, idxs: Sequence[int]) -> L2Norm:
        keep = sorted(set(range(len(layer.weight))) - set(idxs))
        layer.weight = self._prune_parameter_and_grad(layer.weight, keep, 0)
        return layer

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: L2Norm) -> int:
        return len(layer.weight)

    get_in_channels = get_out_channels


@torch.enable_grad()
def traced(detector: Detector) -> Graph:
    """The graph, found with shapes only."""
    training = detector.training
    graph = Graph()
    graph.build_dependency(
        detector,
        example_inputs=None,
        forward_fn=lambda detector, _: _tensors(dry_run(detector).predictions),
        customized_pruners={L2Norm: _L2NormPruner()},
        verbose=False,
    )
    detector.train(training)
    return graph


def _tensors(predictions: Predictions) -> list[Tensor]:
    made = [getattr(predictions, field.name) for field in fields(predictions)]
    return [x for x in made if isinstance(x, Tensor)]
