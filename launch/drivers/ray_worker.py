"""A trial in a Ray process: it communicates by reports to Tune."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.drivers.attempt import attempt
from launch.drivers.ray_meter import TargetMeter
from launch.drivers.watch import Ended
from launch.files import RESULT
from launch.study.failures import Failure
from launch.trial.data import TrialData
from launch.trial.teachers import LoadTeacher, PackedDetector, teachers_in
from searchspace import TrialConfig, load_plugins

GO_ON, END = "go on", "end"
"""Answers to a trial that asks whether it continues."""


@dataclass
class _AskingWatch:
    """Asks the driver whether a trial continues, by a report; the answer is a file.

    Attributes:
        answers: folder of the answers, visible to all nodes.
        rungs: see `Watch`.
        start: when the attempt started.
    """

    answers: Path
    rungs: tuple[int, ...]
    start: float = field(default_factory=time.monotonic)

    def predicted(self, cost: Cost) -> None:
        self._ask({"predicted": cost.model_dump_json()})

    def reached(self, epochs: int, metrics: Metrics) -> None:
        self._ask({"rung": epochs, "metrics": metrics.model_dump_json()})

    def _ask(self, about: dict[str, Any]) -> None:
        # Each question has a unique name, so no old file can be taken for the answer.
        question = uuid.uuid4().hex
        tune.report(about | {"question": question, "seconds": time.monotonic() - self.start})
        if (self.answers / question).read_text() != GO_ON:
            raise Ended


def _loader(shared: Mapping[str, PackedDetector], folders: Mapping[str, str]) -> LoadTeacher:
    """Loads detectors by name: those known before the search are in Ray's object store, those of
    its own trials on disk."""
    load = teachers_in({name: Path(folder) for name, folder in folders.items()})
    return lambda name: shared[name].unpack() if name in shared else load(name)


def run_on_worker(
    config: dict[str, Any],
    data: TrialData,
    teachers: Mapping[str, PackedDetector],
    device: str | None,
    meter: TargetMeter | None,
    weights: Path | None,
    plugins: tuple[str, ...],
    capped: bool = False,
) -> None:
    """Run a trial in a Ray worker process; it reports each epoch, and finally its ending.

    Args:
        capped: whether it may take no more of the GPU's memory than its share of the GPU.
    """
    load_plugins(plugins)
    assigned = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(assigned["CPU"])))
    if capped:
        torch.cuda.set_per_process_memory_fraction(min(1.0, assigned["GPU"]))
    folder = Path(config["folder"])
    outcome = attempt(
        TrialConfig.model_validate_json(config["config"]),
        data,
        folder,
        device,
        on_epoch=lambda stage, epoch, losses: tune.report(
            {"stage": stage, "epochs": epoch, **losses}
        ),
        watch=_AskingWatch(Path(config["answers"]), tuple(config["rungs"])),
        stages=Path(config["stages"]),
        load_teacher=_loader(teachers, config["detectors"]),
        meter=meter,
        weights=weights,
        ancestor=Path(config["ancestor"]) if config["ancestor"] else None,
    )
    if isinstance(outcome, Ended):
        return
    if isinstance(outcome, Failure):
        tune.report({"failed": outcome.reason, "blame": outcome.blame, "seconds": outcome.seconds})
    else:
        tune.report({"finished": str(folder / RESULT)})
