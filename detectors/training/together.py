"""Training steps that several workers take together: batch norms see the whole batch.

PyTorch's `SyncBatchNorm` does so on GPUs only, and replaces the modules, which pruning knows by
their classes. Here the function that all batch norms call is replaced while steps are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from detectors.group import Group, Share

alone = functional.batch_norm


@contextlib.contextmanager
def together(share: Share) -> Iterator[None]:
    """Within it, losses and batch norms are those of whole batches, of which each worker of a group
    computes its share; all of them enter it."""
    group = share.group
    if group.size == 1:
        yield
        return

    def batch_norm(
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        kept = running_mean, running_var
        if not training:
            return alone(input, *kept, weight, bias, training, momentum, eps)
        return _Joint.apply(input, weight, bias, kept, momentum, eps, group)

    functional.batch_norm = batch_norm
    try:
        with share.counted():
            yield
    finally:
        functional.batch_norm = alone


class _Joint(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, over all axes of [N, C, ...] but C."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        kept: tuple[Tensor | None, Tensor | None],
        momentum: float,
        eps: float,
        group: Group,
    ) -> Tensor:
        values, axes = x.float(), _axes(x)
        variances, means = torch.var_mean(values, axes, correction=0)
        counts = torch.full_like(means[:1], x.numel() // x.shape[1])
        channels = len(means)
        every = group.gathered(torch.cat((means, variances, counts)))
        means, variances, counts = every.split((channels, channels, 1), 1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        running_mean, running_var = kept
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse, count)
        ctx.group = group
        scale = inverse if weight is None else inverse * weight
        made = (values - _along(mean, x)) * _along(scale, x)
        return (made if bias is None else made + _along(bias, x)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        x, weight, mean, inverse, count = ctx.saved_tensors
        given, axes = grad_outputs[0].float(), _axes(x)
        normal = (x.float() - _along(mean, x)) * _along(inverse, x)
        own = torch.stack((given.sum(axes), (given * normal).sum(axes)))
        # Each worker's parameters get its own part; only the input depends on other workers.
        of_bias, of_weight = own.clone()
        first, second = ctx.group.sum(own) / count
        scale = inverse if weight is None else inverse * weight
        of_x = (given - _along(first, x) - normal * _along(second, x)) * _along(scale, x)
        of_weight = of_weight if ctx.needs_input_grad[1] else None
        of_bias = of_bias if ctx.needs_input_grad[2] else None
        return of_x.to(x.dtype), of_weight, of_bias, None, None, None, None


def _axes(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]


def _along(values: Tensor, x: Tensor) -> Tensor:
    """[C] as [1, C, 1, ...]."""
    return values.view(1, -1, *[1] * (x.ndim - 2))
