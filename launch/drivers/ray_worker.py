"""A trial in a Ray process: it communicates by reports to Tune."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from detectors.training.notice import NOTICE
from launch.drivers.attempt import attempt
from launch.drivers.ray_answers import Answers
from launch.drivers.ray_meter import TargetMeter
from launch.drivers.travel import arrived
from launch.drivers.watch import Ended
from launch.study.failures import Failure, failure_of
from launch.trial.copies import bring, here
from launch.trial.data import TrialData
from launch.trial.result import TrialResult
from launch.trial.teachers import LoadTeacher, PackedDetector, teachers_in
from searchspace import TrialConfig, load_plugins
from searchspace.errors import InputError

GO_ON, END = "go on", "end"
"""Answers to a trial that asks whether it continues."""

ENDINGS = frozenset({"failed", "finished", "ended"})
"""A last report has one of them; `ended` is a trial that the study has ended already."""

Tell = Callable[[Mapping[str, Any]], None]
"""Sends a report."""


@dataclass
class _AskingWatch:
    """Asks the driver whether a trial continues, by a report.

    Attributes:
        rungs: see `Watch`.
        start: when the attempt started.
    """

    answers: Answers
    rungs: tuple[int, ...]
    tell: Tell
    start: float = field(default_factory=time.monotonic)

    def predicted(self, cost: Cost) -> None:
        self._ask({"predicted": cost.model_dump_json()})

    def reached(self, epochs: int, metrics: Metrics) -> None:
        self._ask({"rung": epochs, "metrics": metrics.model_dump_json()})

    def _ask(self, about: dict[str, Any]) -> None:
        question = uuid.uuid4().hex
        self.tell(about | {"question": question, "seconds": time.monotonic() - self.start})
        if self.answers.take(question) != GO_ON:
            raise Ended


@dataclass(frozen=True)
class Given:
    """What a process of a trial is given.

    Attributes:
        config: of Tune's trial, see `StudySearcher.suggest`.
        answers: of the driver to its questions.
        teachers: saved detectors by name.
        device: on which it runs; None for a GPU if there is one.
        weights: see `run_trial`.
        plugins: to be loaded first.
        capped: whether it may take no more of the GPU's memory than its share of the GPU.
    """

    config: Mapping[str, Any]
    answers: Answers
    data: TrialData
    teachers: Mapping[str, PackedDetector]
    device: str | None
    meter: TargetMeter | None
    weights: Path | None
    plugins: tuple[str, ...]
    capped: bool = False

    @property
    def folder(self) -> Path:
        return here(self.config["folder"])

    def prepare(self) -> None:
        """Make this process ready for the trial: plugins, threads, memory."""
        assigned = prepare_worker(self.plugins)
        if self.capped:
            torch.cuda.set_per_process_memory_fraction(min(1.0, assigned["GPU"]))

    def load_teacher(self) -> LoadTeacher:
        """Loads detectors by name: those known before the search are in Ray's object store, those
        of its own trials in the study's folder."""
        folders = self.config["detectors"]

        def load(name: str) -> Detector:
            if name in self.teachers:
                return self.teachers[name].unpack()
            there = {name: bring(here(folders[name]))} if name in folders else {}
            return teachers_in(there)(name)

        return load

    def run(self, tell: Tell) -> dict[str, Any]:
        """Run the trial, which reports each epoch; returns its last report."""
        config = self.config
        try:
            ancestor = bring(here(config["ancestor"])) if config["ancestor"] else None
            data = self.data.here()
        except (InputError, OSError) as error:
            return ending_in_words(failure_of(error, self.folder, 0.0))
        outcome = attempt(
            TrialConfig.model_validate_json(config["config"]),
            data,
            self.folder,
            self.device,
            on_epoch=lambda stage, epoch, losses: tell({"stage": stage, "epochs": epoch, **losses}),
            watch=_AskingWatch(self.answers, tuple(config["rungs"]), tell),
            stages=here(config["stages"]),
            load_teacher=self.load_teacher(),
            meter=self.meter,
            weights=self.weights,
            ancestor=ancestor,
        )
        return ending_in_words(outcome)


def prepare_worker(plugins: Sequence[str]) -> Mapping[str, float]:
    """Load plugins into a process of Ray, and let it use the CPUs that it has been assigned.

    Returns:
        All that it has been assigned, by Ray's names of resources.
    """
    load_plugins(arrived(plugins))
    assigned = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(assigned["CPU"])))
    return assigned


def run_on_worker(config: dict[str, Any], **given: Any) -> None:
    """Run a trial in Tune's process of it; it reports each epoch, and finally its ending.

    Args:
        given: see `Given`.
    """
    all_given = Given(config=config, **given)
    all_given.prepare()
    tune.report(all_given.run(_tell_while_heard))


def _tell_while_heard(report: Mapping[str, Any]) -> None:
    """Report, unless the training was given notice: the thread that would take the report waits for
    the training to end then, as the report would wait for it."""
    if not NOTICE.given:
        tune.report(dict(report))


def ending_in_words(outcome: TrialResult | Failure | Ended) -> dict[str, Any]:
    """The last report of a trial."""
    if isinstance(outcome, TrialResult):
        return {"finished": True}
    if isinstance(outcome, Ended):
        return {"ended": True}
    return {"failed": outcome.reason, "blame": outcome.blame, "seconds": outcome.seconds}
