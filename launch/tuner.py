"""Ray Tune as the driver: it supplies processes, placement and retries; the study decides."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when ray is imported or started: one log format is enough, trials are given absolute paths,
# and the study prints its own progress.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Trials are what a machine of the search is for; Ray would run them with the least priority.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import torch
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.search import Searcher

from launch.attempt import Failure, attempt
from launch.study import Study
from launch.target import TargetMeter, check_target
from launch.teachers import PackedDetector, load_teacher, named_teachers
from launch.trial import SPEEDS, TrialData, TrialResult
from searchspace import TrialConfig

RETRIES = 2
"""How often a trial is started again after its process or node was lost."""


@dataclass(frozen=True)
class Resources:
    """What Ray is to use.

    Attributes:
        cpus: CPUs of a trial.
        gpus: GPUs of a trial, may be a fraction.
        address: of a running cluster; None starts Ray on this machine.
        measure_on: resource of the nodes that detectors are scored and measured on; None measures
            where they were trained.
    """

    cpus: float = 1
    gpus: float = 0
    address: str | None = None
    measure_on: str | None = None

    def workers(self) -> int:
        """How many trials fit into the cluster at once."""
        have = ray.cluster_resources()
        fit = have.get("CPU", 0) / self.cpus
        return int(min(fit, have.get("GPU", 0) / self.gpus) if self.gpus else fit)

    def check(self) -> None:
        """Raise ValueError where the cluster could never place a trial or a measurement."""
        have = ray.cluster_resources()
        for name, wanted in (("CPU", self.cpus), ("GPU", self.gpus)):
            if wanted > have.get(name, 0):
                raise ValueError(
                    f"a trial asks for {wanted:g} {name}s, the cluster has {have.get(name, 0):g}"
                )
        if self.measure_on:
            check_target(self.measure_on)


class StudySearcher(Searcher):
    """Hands Tune the study's proposals and the study Tune's endings.

    Its own state is only which of Tune's trials is which of the study's; nothing is lost with it.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher; the study, its locks and callbacks stay in this process."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        record = self._study.propose()
        if record is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = record.number
        folder = self._study.trial_folder(record).resolve()
        return {
            "config": record.config.model_dump_json(),
            "folder": str(folder),
            "stages": str(self._study.stages.resolve()),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to learn from an epoch yet: a trial's end decides."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        number = self._numbers.pop(trial_id)
        if error:
            lost = Failure(f"its process was lost {RETRIES + 1} times", lasting=False)
            self._study.end(number, lost)
        elif result and "failed" in result:
            failure = Failure(result["failed"], result["lasting"], result["seconds"])
            self._study.end(number, failure)
        elif result and "finished" in result:
            file = Path(result["finished"])
            self._study.end(number, TrialResult.model_validate_json(file.read_text()))
        # Otherwise the search was interrupted: the trial stays unfinished in the journal.

    def save(self, checkpoint_path: str) -> None:
        """The study lies on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a study is resumed from its folder, not from Tune's")


def run_on_ray(study: Study, data: TrialData, resources: Resources) -> None:
    """Run the study's trials side by side until it proposes no more.

    The study's folder must be visible under the same path to all nodes.

    Raises:
        ValueError: no node could ever place a trial or a measurement.
        KeyboardInterrupt: the search was interrupted; it can be resumed.
    """
    started = not ray.is_initialized()
    if started:
        ray.init(
            resources.address,
            include_dashboard=False if resources.address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        resources.check()
        study.workers = resources.workers()
        _tuner(study, data, resources).fit()
    finally:
        if started:
            ray.shutdown()
    if any(record.state == "running" for record in study.records):
        raise KeyboardInterrupt


def _tuner(study: Study, data: TrialData, resources: Resources) -> tune.Tuner:
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
        ),
        {"CPU": resources.cpus, "GPU": resources.gpus},
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=str(study.folder.resolve()),
            name="ray",
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[JsonLoggerCallback()],
            verbose=0,
        ),
    )


def _run_on_worker(
    config: dict[str, Any],
    data: TrialData,
    teachers: Mapping[str, PackedDetector],
    device: str | None,
    meter: TargetMeter | None,
) -> None:
    """A trial in Ray's worker process: reports each epoch, and at last how it ended."""
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
        on_epoch=lambda stage, epoch, losses: tune.report(
            {"stage": stage, "epochs": epoch, **losses}
        ),
    )
    if isinstance(outcome, Failure):
        tune.report(
            {"failed": outcome.reason, "lasting": outcome.lasting, "seconds": outcome.seconds}
        )
    else:
        tune.report({"finished": str(folder / "result.json")})
