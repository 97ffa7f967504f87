"""Workers that train one detector together: each computes its share of every batch.

They are the processes of `torch.distributed`'s default group, where one was initialised; else a
process works alone. All of them hold the same weights and take the same steps: what is divided by a
number of positives is divided by that of the whole batch, and the gradients are summed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from searchspace.errors import InputError

T = TypeVar("T")

CPU = torch.device("cpu")


class WorkerLost(BaseException):
    """Another worker of the group does not answer any more.

    It is no `Exception`: nothing is wrong with the training, which goes on from its checkpoint once
    the group has been started again.
    """


@dataclass(frozen=True)
class Group:
    """The workers of a group, as one of them sees them.

    Attributes:
        rank: number of this worker, from 0.
        size: number of all.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Group:
        """The default group of `torch.distributed`; without one, this process alone."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this is the first worker, which reads and writes files and reports."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all workers of a tensor that is like theirs; it is changed in place.

        Raises:
            WorkerLost: another worker does not answer.
        """
        if self.size > 1:
            with _heard():
                distributed.all_reduce(tensor)
        return tensor

    def any(self, said: bool) -> bool:
        """Whether a worker says so; all of them ask. No device is waited for. Raises
        `WorkerLost`."""
        if self.size == 1:
            return said
        return bool(self.sum(torch.tensor([int(said)], device=CPU)).item())

    def gathered(self, tensor: Tensor) -> Tensor:
        """The tensors [N, ...] of all workers, [size, N, ...]; raises `WorkerLost`."""
        every = tensor.new_empty((self.size * len(tensor), *tensor.shape[1:]))
        with _heard():
            distributed.all_gather_into_tensor(every, tensor)
        return every.view(self.size, *tensor.shape)

    def from_first(self, value: T | None = None) -> T:
        """The first worker's value, on all workers; the others wait for it. Raises `WorkerLost`.

        Args:
            value: a picklable object without tensors of a GPU; only the first worker's counts.
        """
        box: list[Any] = [value]
        if self.size > 1:
            with _heard():
                distributed.broadcast_object_list(box, src=0, device=CPU)
        return box[0]


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # of each backend another one
        raise WorkerLost(f"another worker of the group does not answer: {error}") from error


@dataclass(frozen=True)
class Share:
    """One worker's share of every batch: consecutive images, as many as others have or one more.

    Each worker's loss is weighted by its share of the images, so that their sum is the loss of the
    whole batch, be it a mean over images or a sum over positives that was divided by `divisor`.

    Attributes:
        batch: number of images of a whole batch.

    Raises:
        ValueError: there are more workers than images.
    """

    group: Group = Group()
    batch: int = 1

    def __post_init__(self) -> None:
        if self.batch < self.group.size:
            raise InputError(
                f"a batch of {self.batch} cannot be shared by {self.group.size} workers: raise "
                "train.batch_size, or take fewer workers"
            )

    @property
    def least(self) -> int:
        """Number of images of the smallest share."""
        return self.batch // self.group.size

    @property
    def weight(self) -> float:
        """This worker's part of all images."""
        return len(self.of(range(self.batch))) / self.batch

    def of(self, batch: Sequence[T]) -> Sequence[T]:
        """This worker's part of a batch."""
        most, more = divmod(len(batch), self.group.size)
        rank = self.group.rank
        first = rank * most + min(rank, more)
        return batch[first : first + most + (rank < more)]

    def weighted(self, losses: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """This worker's part of the losses of the whole batch, of which it is given its own."""
        if self.group.size == 1:
            return losses
        return {name: self.weight * value for name, value in losses.items()}

    def summed(
        self, losses: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]
    ) -> Mapping[str, Tensor]:
        """The losses of the whole batch; the gradients of parameters become those of it, too."""
        if self.group.size == 1:
            return losses
        gradients = [p.grad for p in parameters if p.grad is not None]
        values = [*gradients, *(value.detach() for value in losses.values())]
        flat = self.group.sum(torch.cat([value.float().flatten() for value in values]))
        parts = [
            part.view(value.shape)
            for part, value in zip(flat.split([v.numel() for v in values]), values, strict=True)
        ]
        torch._foreach_copy_(gradients, parts[: len(gradients)])
        return dict(zip(losses, parts[len(gradients) :], strict=True))

    def takes_turns(self, device: torch.device) -> bool:
        """Whether this worker's steps wait for measurements on a device.

        Of several workers on the CPUs of one node, the first one's steps do, and the others wait
        for it: two that waited by themselves could wait for each other.
        """
        alone = self.group.size == 1 or device.type != "cpu"
        return alone or os.environ.get("LOCAL_RANK", "0") == "0"

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Within it, `divisor` counts what all workers have; all of them enter it."""
        global _counted
        before, _counted = _counted, self
        try:
            yield
        finally:
            _counted = before


ALONE = Share()

_counted = ALONE


def divisor(total: Tensor) -> Tensor:
    """The number by which a loss that was summed over some elements of a batch is divided.

    Args:
        total: their number or weight in the images at hand, without a gradient.

    Returns:
        The total, at least 1. In a training by several workers, that of the whole batch, times this
        worker's part of its images.
    """
    share = _counted
    if share.group.size == 1:
        return total.clamp(min=1)
    return share.group.sum(total.clone()).clamp(min=1) * share.weight
