"""The losses of a training's steps, which stay on the device until they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from searchspace.errors import SparrowError

READ_EVERY = 50
"""Steps after which losses are read, at most: reading waits for the device."""


class TrainingFailed(SparrowError, RuntimeError):
    """Training cannot continue; the message says where and what to change."""


class Losses:
    """The losses of an epoch and the norms of its gradients, step by step.

    Nothing may be saved or shown of a training whose last steps have not been read: they may have
    broken the weights.

    Args:
        epoch: counted from 0.
        steps: steps before this epoch.
        advice: what to change if a loss is not finite.
        known: the losses of its steps that an earlier attempt took.
    """

    def __init__(
        self, epoch: int, steps: int, advice: str, known: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self._epoch, self._steps, self._advice = epoch, steps, advice
        self._unread: list[tuple[tuple[str, ...], Tensor]] = []
        self._read = [dict(losses) for losses in known]

    @property
    def known(self) -> list[dict[str, float]]:
        """The losses of all steps so far, which it reads."""
        self.read()
        return self._read

    def add(self, losses: Mapping[str, Tensor], norm: Tensor) -> None:
        """Note the losses of a step and the norm of its gradients, each a scalar on the device.

        Every `READ_EVERY` steps, it reads them.
        """
        values = torch.stack([value.detach().float() for value in (*losses.values(), norm)])
        self._unread.append((tuple(losses), values))
        if len(self._unread) >= READ_EVERY:
            self.read()

    def read(self) -> None:
        """Wait for all steps so far and read their losses.

        Raises:
            TrainingFailed: a loss or a gradient is not finite.
        """
        if not self._unread:
            return
        values = iter(torch.cat([row for _, row in self._unread]).tolist())
        unread, self._unread = self._unread, []
        for names, _ in unread:
            losses = {name: next(values) for name in names}
            self._check(losses, next(values))
            self._read.append(losses)

    def means(self) -> dict[str, float]:
        """The mean of each loss over all steps of the epoch."""
        steps = self.known
        return {name: sum(losses[name] for losses in steps) / len(steps) for name in steps[0]}

    def _check(self, losses: dict[str, float], norm: float) -> None:
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        if broken:
            what = f"the loss is not finite ({', '.join(broken)})"
        elif not math.isfinite(norm):
            what = f"the gradient is not finite, its norm is {norm}"
        else:
            return
        batch = len(self._read) + 1
        raise TrainingFailed(
            f"{what} in epoch {self._epoch + 1} at its batch {batch}, step {self._steps + batch} "
            f"of the training ({losses}): {self._advice}"
        )
