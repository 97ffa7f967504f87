"""What a group of workers reserves of a cluster, and whether the cluster has it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from searchspace.errors import InputError
from searchspace.words import counted

Amounts = Mapping[str, float]
"""By Ray's names of resources."""


@dataclass(frozen=True)
class Workers:
    """The workers that train a detector together.

    Attributes:
        count: how many there are.
        each: what each of them reserves.
    """

    count: int
    each: Amounts

    @property
    def on_gpus(self) -> bool:
        return self.each.get("GPU", 0) > 0

    def __str__(self) -> str:
        one = self.count == 1
        return f"{counted(self.count, 'worker')} with {_cores(self.each)}{'' if one else ' each'}"

    def on_node(self, have: Amounts) -> int:
        """How many of them fit on a node with these resources."""
        return int(min(have.get(name, 0) / amount for name, amount in self.each.items()))

    def room(self, nodes: Sequence[Amounts]) -> int:
        """How many of them fit on nodes with these resources."""
        return sum(map(self.on_node, nodes))


@dataclass(frozen=True)
class Reservation:
    """What the workers of a trial, or of a long training, reserve together.

    Attributes:
        what: what they train, in words.
        option: what the option of a resource is called, such as `--{}-per-trial`.
        count: the workers.
        cpus, gpus: of all of them; a single worker may have a share of a GPU.
        further: further resources of all of them.

    Raises:
        InputError: Ray does not support such an amount, or it cannot be shared out.
    """

    what: str
    option: str
    count: int
    cpus: float
    gpus: float = 0.0
    further: Amounts = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, amount, least in (
            (self.option.format("cpus"), self.cpus, 1.0),
            (self.option.format("gpus"), self.gpus, 0.0),
        ):
            whole = amount <= 1 or (math.isfinite(amount) and amount == int(amount))
            if not (amount >= least and whole):
                below = "whole numbers" if least else "whole numbers, 0, or a share of one"
                raise InputError(f"{option} {amount:g}: Ray only supports {below}")
            if self.count > 1 and amount % self.count:
                raise InputError(
                    f"{option} {amount:g}: it is shared by the {self.count} workers of "
                    f"{self.what}, which need the same; give a multiple of {self.count}"
                )

        if self.gpus > self.count:
            option = self.option.format("gpus")
            raise InputError(
                f"{option} {self.gpus:g}: each of the {self.count} workers of {self.what} trains "
                f"on one GPU; give {self.option.format('workers')} {self.gpus:g}, or leave it out"
            )

    @property
    def whole(self) -> dict[str, float]:
        """What all workers reserve."""
        whole = {"CPU": self.cpus, "GPU": self.gpus, **self.further}
        return {name: amount for name, amount in whole.items() if amount}

    @property
    def workers(self) -> Workers:
        """The workers, with what each of them reserves."""
        return Workers(self.count, {k: v / self.count for k, v in self.whole.items()})

    def check(self, nodes: Sequence[Amounts]) -> None:
        """Raise `InputError` if a cluster has no room for all workers.

        Args:
            nodes: the resources of each of its nodes.
        """
        workers = self.workers
        room = workers.room(nodes)
        if room >= self.count:
            return
        lacking = (
            name
            for name in self.further
            if name in workers.each
            and max(node.get(name, 0) for node in nodes) < workers.each[name]
        )
        if (name := next(lacking, None)) is not None:
            each = f"{workers.each[name]:g} of the resource {name!r}"
            raise InputError(
                f"{self._needs(each, f'{self.whole[name]:g}')}, and no node has that much: "
                f"lower {self._options('memory', 'resources')}"
            )
        if room:
            raise InputError(
                f"{self.what} has {workers}, {_cores(self.whole)} in all, and there is room for "
                f"{room}: lower {self._options('workers')}"
            )
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        raise InputError(
            f"{self._needs(_cores(workers.each), _cores(self.whole))}, and no node has "
            f"that many: the largest has {largest.get('CPU', 0):g} CPUs and "
            f"{largest.get('GPU', 0):g} GPUs: lower {self._options('cpus', 'gpus')}"
        )

    def _needs(self, each: str, whole: str) -> str:
        """What no node has, of one worker, and where there are more, of all of them."""
        if self.count == 1:
            return f"{self.what} needs {each}"
        return f"a worker of {self.what} needs {each}, as {self.count} of them share {whole}"

    def _options(self, *resources: str) -> str:
        return " or ".join(map(self.option.format, resources))


def of_this_machine() -> dict[str, float]:
    """What Ray has here, if it is started here."""
    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def _cores(amounts: Amounts) -> str:
    names = [name for name in ("CPU", "GPU") if name in amounts]
    return " and ".join(f"{amounts[n]:g} {n}{'' if amounts[n] == 1 else 's'}" for n in names)
