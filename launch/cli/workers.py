"""The options of `sparrow train` for several workers, and what these reserve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ConfigDict, Field

from launch.cli.options import Options
from launch.study.options import Option, Text
from launch.study.resource_options import MOST_WORKERS

if TYPE_CHECKING:
    from launch.drivers.reservation import Reservation


MOST_CPUS = 1_000_000


class WorkerOptions(Options):
    """Which workers train together; without any of the options, the command itself trains.

    Attributes:
        workers, gpus: None where they follow from the other.
        cpus: None for one for each worker.
    """

    model_config = ConfigDict(title="Several workers")

    workers: int | None = Field(
        default=None,
        ge=1,
        le=MOST_WORKERS,
        description="Processes that train it together, each on its share of every batch, on this "
        "machine or a cluster; by default as many as there are --gpus, else one.",
    )
    gpus: int | None = Field(
        default=None,
        ge=1,
        le=MOST_WORKERS,
        description="GPUs of all workers; where they train on GPUs, one by default for each.",
    )
    cpus: int | None = Field(
        default=None,
        ge=1,
        le=MOST_CPUS,
        description="CPU cores of all workers; one by default for each.",
    )
    address: Annotated[Text | None, Option("ADDRESS")] = Field(
        default=None,
        description="Running Ray cluster whose nodes train: HOST:PORT, or auto. They must share "
        "the folder of the training, and the data.",
    )

    @property
    def alone(self) -> bool:
        """Whether the command itself trains."""
        return all(value is None for _, value in self)

    @property
    def count(self) -> int:
        return self.workers or self.gpus or 1

    def check(self, device: str | None) -> None:
        """Raise what `reserved` raises, where there are workers."""
        if not self.alone:
            self.reserved(device)

    def reserved(self, device: str | None) -> Reservation:
        """What the workers reserve.

        Args:
            device: that was given.

        Raises:
            InputError: there is no such device, no cluster answers at the address, an amount
                cannot be shared out, or this machine, if no cluster is joined, does not have it.
        """
        # Only here: a help text needs neither torch nor Ray.
        from launch.drivers.ray_address import check_address, starts_here
        from launch.drivers.reservation import Reservation, of_this_machine
        from launch.trial.run import check_for_ray

        check_address(self.address)
        here = starts_here(self.address)
        on_gpus = check_for_ray(device, elsewhere=not here).type == "cuda"
        if self.gpus and device is not None and not on_gpus:
            raise typer.BadParameter(
                f"{self.gpus}: --device is {device}; give one of the two", param_hint="--gpus"
            )
        found = Reservation(
            "the training",
            "--{}",
            self.count,
            cpus=self.cpus or self.count,
            gpus=self.gpus or self.count * on_gpus,
        )
        if here:
            found.check([of_this_machine()])
        return found
