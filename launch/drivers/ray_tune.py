"""Ray Tune as the driver: it supplies processes, placement and retries; the study decides."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read when ray is imported or started: one log format is enough, trials are given absolute paths,
# and the study prints its own progress.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# An interrupt ends the search where it stands; Tune would end its step first, which may wait.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# Trials are what a machine of the search is for; Ray would run them with the least priority.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import torch
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.search import Searcher

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.drivers.attempt import attempt
from launch.drivers.deadlines import Limits, limits
from launch.drivers.ray_meter import TargetMeter, check_target
from launch.drivers.ray_start import connected, logged_to
from launch.drivers.ray_watch import HangGuard
from launch.drivers.watch import Ended
from launch.figures import Figure
from launch.files import write_atomically
from launch.study.failures import Failure
from launch.study.study import Study
from launch.trial.data import TrialData
from launch.trial.result import RESULT, TrialResult, read_result
from launch.trial.run import SPEEDS
from launch.trial.teachers import PackedDetector, load_teacher, named_teachers
from searchspace import TrialConfig, load_plugins

RETRIES = 2
"""How often a trial is started again after its process or node was lost."""

RAY_LOG = "ray.log"
"""What Ray said of a study's trials, in the study's folder."""

GO_ON, END = "go on", "end"
"""Answers to a trial that asks whether it goes on."""


@dataclass(frozen=True)
class Resources:
    """What Ray is to use.

    Attributes:
        cpus: CPUs of a trial.
        gpus: GPUs of a trial, may be a fraction.
        address: of a running cluster; None starts Ray on this machine.
        measure_on: resource of the nodes that detectors are scored and measured on; None measures
            where they were trained.

    Raises:
        ValueError: an amount that Ray does not give out.
    """

    cpus: float = 1
    gpus: float = 0
    address: str | None = None
    measure_on: str | None = None

    def __post_init__(self) -> None:
        for option, amount, least in (
            ("--cpus-per-trial", self.cpus, 1.0),
            ("--gpus-per-trial", self.gpus, 0.0),
        ):
            whole = amount <= 1 or (math.isfinite(amount) and amount == int(amount))
            if not (amount >= least and whole):
                below = "whole numbers" if least else "whole numbers, 0, or a share of one"
                raise ValueError(f"{option} {amount:g}: Ray gives out {below}")

    def on_node(self, have: Mapping[str, float]) -> int:
        """How many trials fit at once on a node that has some resources."""
        fit = have.get("CPU", 0) / self.cpus
        return int(min(fit, have.get("GPU", 0) / self.gpus) if self.gpus else fit)

    def workers(self) -> int:
        """How many trials fit into the cluster at once."""
        return sum(map(self.on_node, _nodes()))

    def check(self, figures: Sequence[Figure]) -> None:
        """Raise ValueError where no node could ever hold a trial, or measure the figures."""
        nodes = _nodes()
        if not any(map(self.on_node, nodes)):
            gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
            largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
            raise ValueError(
                f"a trial asks for {self.cpus:g} CPUs{gpus}, and no node of the cluster has as "
                f"much: the largest has {largest.get('CPU', 0):g} CPUs and "
                f"{largest.get('GPU', 0):g} GPUs: lower --cpus-per-trial or --gpus-per-trial"
            )
        if self.measure_on:
            check_target(self.measure_on, figures)


def _nodes() -> list[Mapping[str, float]]:
    """What each node of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def ready(resources: Resources, figures: Sequence[Figure]) -> Iterator[None]:
    """A connection to a Ray that can run a search's trials.

    Raises:
        RayAddressError, RayStartError: there is no such Ray.
        ValueError: no node could ever hold a trial, or measure the figures.
    """
    with connected(resources.address):
        resources.check(figures)
        yield


class StudySearcher(Searcher):
    """Hands Tune the study's proposals and the study Tune's endings.

    Its own state is only which of Tune's trials is which of the study's; nothing is lost with it.

    Attributes:
        overruns: by Tune's name of a trial, why its process was ended.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self._numbers: dict[str, int] = {}
        self.overruns: Mapping[str, Failure] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher; the study, its locks and callbacks stay in this process."""
        return {}

    def number(self, trial_id: str) -> int | None:
        """The study's number of one of Tune's trials; None where the study has ended it."""
        return self._numbers.get(trial_id)

    def limits(self, number: int) -> Limits:
        """What a trial may take by now."""
        study = self._study
        return limits(study.record(number), study.records, study.settings.trial_timeout)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        record = self._study.propose()
        if record is None:
            return None if self._study.waits else Searcher.FINISHED
        self._numbers[trial_id] = record.number
        folder = self._study.trial_folder(record).resolve()
        return {
            "config": record.config.model_dump_json(),
            "folder": str(folder),
            "answers": str(self._answers(trial_id)),
            "rungs": self._study.rungs(record),
            "stages": str(self._study.stages.resolve()),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Answer a trial that asks whether it goes on.

        Tune lets it run on when this has returned, so the answer lies there by then. Tune's own way
        to stop a trial would leave its thread asleep, with the locks that it holds, until another
        trial needs the process.
        """
        if "question" not in result:
            return
        goes_on = trial_id in self._numbers and self._judge(self._numbers[trial_id], result)
        if not goes_on:
            self._numbers.pop(trial_id, None)
        answer = GO_ON if goes_on else END
        write_atomically(self._answers(trial_id) / result["question"], answer)

    def _judge(self, number: int, result: dict[str, Any]) -> bool:
        seconds = result["seconds"]
        if "rung" in result:
            metrics = Metrics.model_validate_json(result["metrics"])
            return self._study.reach(number, result["rung"], metrics, seconds)
        return self._study.foresee(number, Cost.model_validate_json(result["predicted"]), seconds)

    def _answers(self, trial_id: str) -> Path:
        """Where the answers to one of Tune's trials lie."""
        return _answers(self._study) / trial_id

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        shutil.rmtree(self._answers(trial_id), ignore_errors=True)
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return  # the study has ended it
        if error and trial_id in self.overruns:
            self._study.end(number, self.overruns[trial_id])
        elif error:
            why = f"its process was lost {RETRIES + 1} times: see {self._study.folder / RAY_LOG}"
            self._study.end(number, Failure(why, "passing"))
        elif result and "failed" in result:
            failure = Failure(result["failed"], result["blame"], result["seconds"])
            self._study.end(number, failure)
        elif result and "finished" in result:
            self._study.end(number, _outcome(Path(result["finished"])))
        # Otherwise the search was interrupted: the trial stays unfinished in the journal.

    def save(self, checkpoint_path: str) -> None:
        """The study lies on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a study is resumed from its folder, not from Tune's")


def _outcome(file: Path) -> TrialResult | Failure:
    """The result that a worker says lies in a file."""
    try:
        return read_result(file)
    except (OSError, ValueError) as error:
        return Failure(f"its result cannot be read: {error}", "passing")


def _answers(study: Study) -> Path:
    """Where the answers to all trials lie, for all nodes to see."""
    return study.folder.resolve() / "ray" / "answers"


def run_on_ray(
    study: Study,
    data: TrialData,
    resources: Resources,
    say: Callable[[str], None] = lambda words: None,
) -> None:
    """Run the study's trials side by side until it proposes no more.

    It runs within `ready`. The study's folder must be visible under the same path to all nodes.
    What Ray has to say lies in its `ray.log`.

    Args:
        say: told when trials have been silent for long.

    Raises:
        KeyboardInterrupt: the search was interrupted; it can be resumed.
    """
    # Of a search that was killed: its trials ask anew.
    shutil.rmtree(_answers(study), ignore_errors=True)
    study.workers = resources.workers()
    searcher = StudySearcher(study)
    guard = HangGuard(searcher.number, searcher.limits, say)
    searcher.overruns = guard.overruns
    with logged_to(study.folder / RAY_LOG), guard.watching():
        _tuner(study, data, resources, searcher, guard).fit()
    unfinished = any(record.state == "running" for record in study.records)
    if unfinished and not study.stopped_by:
        raise KeyboardInterrupt


def _tuner(
    study: Study,
    data: TrialData,
    resources: Resources,
    searcher: StudySearcher,
    guard: HangGuard,
) -> tune.Tuner:
    target = resources.measure_on
    meter = TargetMeter.on(target, data, study.stages.resolve() / SPEEDS) if target else None
    teachers = {n: PackedDetector.of(load_teacher(n)) for n in named_teachers(study.space)}
    # Parameters are put into Ray's object store once; a node's workers share its arrays.
    trainable = tune.with_resources(
        tune.with_parameters(
            _run_on_worker,
            data=data,
            teachers=teachers,
            device=study.settings.device,
            meter=meter,
            weights=study.settings.weights,
            plugins=load_plugins(),
        ),
        {"CPU": resources.cpus, "GPU": resources.gpus},
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=str(study.folder.resolve()),
            name="ray",
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[JsonLoggerCallback(), guard],
            verbose=0,
        ),
    )


@dataclass
class _AskingWatch:
    """Asks the driver whether a trial goes on, by a report; the answer lies in a file.

    Attributes:
        answers: folder of the answers, which all nodes see.
        rungs: see `Watch`.
        start: when the attempt began.
    """

    answers: Path
    rungs: tuple[int, ...]
    start: float = field(default_factory=time.monotonic)

    def predicted(self, cost: Cost) -> None:
        self._ask({"predicted": cost.model_dump_json()})

    def reached(self, epochs: int, metrics: Metrics) -> None:
        self._ask({"rung": epochs, "metrics": metrics.model_dump_json()})

    def _ask(self, about: dict[str, Any]) -> None:
        # No two questions have one name, so no node can take an old file for the answer.
        question = uuid.uuid4().hex
        tune.report(about | {"question": question, "seconds": time.monotonic() - self.start})
        if (self.answers / question).read_text() != GO_ON:
            raise Ended


def _run_on_worker(
    config: dict[str, Any],
    data: TrialData,
    teachers: Mapping[str, PackedDetector],
    device: str | None,
    meter: TargetMeter | None,
    weights: Path | None,
    plugins: tuple[str, ...],
) -> None:
    """A trial in Ray's worker process: reports each epoch, and at last how it ended."""
    load_plugins(plugins)
    torch.set_num_threads(max(1, int(ray.get_runtime_context().get_assigned_resources()["CPU"])))
    folder = Path(config["folder"])
    outcome = attempt(
        TrialConfig.model_validate_json(config["config"]),
        data,
        folder,
        device,
        Path(config["stages"]),
        load_teacher=lambda name: teachers[name].unpack(),
        meter=meter,
        weights=weights,
        on_epoch=lambda stage, epoch, losses: tune.report(
            {"stage": stage, "epochs": epoch, **losses}
        ),
        watch=_AskingWatch(Path(config["answers"]), tuple(config["rungs"])),
    )
    if isinstance(outcome, Ended):
        return
    if isinstance(outcome, Failure):
        tune.report({"failed": outcome.reason, "blame": outcome.blame, "seconds": outcome.seconds})
    else:
        tune.report({"finished": str(folder / RESULT)})
