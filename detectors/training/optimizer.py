"""The optimiser of a training, and the rates and decays of its parameters."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from detectors.detector import Detector
from searchspace.training import TrainConfig


def optimizer_for(
    detector: Detector, trained: nn.Module, config: TrainConfig
) -> torch.optim.Optimizer:
    """The optimiser of the parameters of `trained`, of which the detector is a part.

    It is fused: one kernel for many parameters, on a GPU and on a CPU. AdamW takes a quarter of the
    time that it takes parameter by parameter, which was an eighth of a step of a narrow detector.
    """
    factors: dict[Tensor, float] = {}
    for name, parameter in detector.named_parameters():
        of_part = config.rates.backbone if name.startswith("backbone.") else 1.0
        factors[parameter] = of_part * (config.rates.new if name in detector.new_parts else 1.0)
    return optimizer_of(trained.parameters(), factors, config)


def optimizer_of(
    parameters: Iterable[Tensor], factors: Mapping[Tensor, float], config: TrainConfig
) -> torch.optim.Optimizer:
    """The optimiser of some parameters.

    Args:
        factors: on the learning rate, of parameters that have one of their own.
    """
    groups = _parameter_groups(parameters, factors, config)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        fused=True,
    )


def _parameter_groups(
    trained: Iterable[Tensor], factors: Mapping[Tensor, float], config: TrainConfig
) -> list[dict[str, Any]]:
    """The parameters by factor on their rate, matrices before vectors."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for parameter in trained:
        if parameter.requires_grad:
            key = factors.get(parameter, 1.0), parameter.ndim <= 1
            groups.setdefault(key, []).append(parameter)
    # Scales and biases are not decayed: only slimming's penalty may act on scales.
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * factor,
            "weight_decay": 0.0 if vectors else config.weight_decay,
        }
        for (factor, vectors), parameters in sorted(groups.items(), key=operator.itemgetter(0))
    ]
