"""MLflow and Weights & Biases, through their own libraries and where their own settings say.

Neither addresses nor keys pass through Sparrow: MLflow reads `MLFLOW_TRACKING_URI` and
`MLFLOW_EXPERIMENT_NAME`, Weights & Biases `WANDB_MODE`, `WANDB_PROJECT` and its login.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from launch.records import Param, State
from launch.report.history import Scalar
from launch.study.search_options import TrackerName
from launch.trial.errors import SettingsError
from searchspace.words import install

MOST_METRICS, MOST_PARAMS = 1000, 100
"""The most metrics and parameters that MLflow takes at once."""

MOST_CHARACTERS = 5000
"""Of a tag of MLflow."""

PROJECT = "sparrow"
"""The project of Weights & Biases if `WANDB_PROJECT` names none."""


@dataclass(frozen=True)
class Tracked:
    """A trial as it is logged.

    Attributes:
        study: the name of the study's folder.
        params: the choices that drew it.
        figures: those that are known.
        about: its state, reason and design, and what else is said of it.
        curve: the numbers of its learning curve that were not logged before.
    """

    name: str
    study: str
    state: State
    params: Mapping[str, Param]
    figures: Mapping[str, float]
    about: Mapping[str, str]
    curve: Sequence[Scalar]


class Tracker(Protocol):
    """Where trials are logged, each as one run. Methods raise whatever its library does."""

    def begin(self, trial: Tracked) -> str:
        """The name of a new run."""
        ...

    def log(self, run: str, trial: Tracked) -> None:
        """Log a trial into a run and end it; again, if the trial went on after it had ended."""
        ...


class Mlflow:
    """Runs of the experiment that `MLFLOW_EXPERIMENT_NAME` names, else of one called as the
    study."""

    STATUS: Mapping[State, str] = {"finished": "FINISHED", "failed": "FAILED"}
    ENDED_EARLY = "KILLED"

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient  # loads for seconds

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient()

    def begin(self, trial: Tracked) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or trial.study
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        return self._client.create_run(experiment, run_name=trial.name).info.run_id

    def log(self, run: str, trial: Tracked) -> None:
        from mlflow.entities import Metric, Param, RunTag

        end = max((one.step for one in trial.curve), default=0)
        at = round(1000 * max((one.time for one in trial.curve), default=0.0))
        metrics = [
            Metric(one.name, one.value, round(1000 * one.time), one.step) for one in trial.curve
        ]
        metrics += [Metric(name, value, at, end) for name, value in trial.figures.items()]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])
        params = [Param(name, str(value)) for name, value in trial.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(run, params=params[start : start + MOST_PARAMS])
        tags = [RunTag(name, text[:MOST_CHARACTERS]) for name, text in trial.about.items()]
        self._client.log_batch(run, tags=tags)
        self._client.set_terminated(run, self.STATUS.get(trial.state, self.ENDED_EARLY))


class Wandb:
    """Runs of the project that `WANDB_PROJECT` names, else of `PROJECT`, in a group for the study;
    its own files lie in `WANDB_DIR`, else in the study's folder."""

    def __init__(self, folder: Path) -> None:
        import wandb  # loads for seconds

        self._init = wandb.init
        self._settings = wandb.Settings(
            silent=True, console="off", x_disable_stats=True, disable_git=True
        )
        self._folder = os.environ.get("WANDB_DIR") or str(folder)

    def begin(self, trial: Tracked) -> str:
        return uuid.uuid4().hex[:8]

    def log(self, run: str, trial: Tracked) -> None:
        steps: dict[int, dict[str, float]] = defaultdict(dict)
        for one in trial.curve:
            steps[one.step][one.name] = one.value
        begun = self._init(
            id=run,
            resume="allow",
            reinit="create_new",
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            group=trial.study,
            name=trial.name,
            config=dict(trial.params),
            dir=self._folder,
            settings=self._settings,
        )
        try:
            for step in sorted(steps):
                begun.log(steps[step], step=step)
            begun.summary.update({**trial.figures, **trial.about})
        finally:
            begun.finish(exit_code=int(trial.state == "failed"))


@dataclass(frozen=True)
class Kind:
    """A tracker by its name.

    Attributes:
        module: what has to be installed.
        make: the tracker for a study's folder.
        check: raises `SettingsError` if nothing can be logged.
    """

    module: str
    make: Callable[[Path], Tracker]
    check: Callable[[], None] = lambda: None


def _check_login() -> None:
    """Raise `SettingsError` where Weights & Biases would ask for a login while the search runs."""
    import wandb

    if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
        raise SettingsError(
            "track wandb: nobody is logged in; run wandb login, set WANDB_API_KEY, or keep the "
            "runs on this machine with WANDB_MODE=offline"
        )


KINDS: dict[TrackerName, Kind] = {
    "mlflow": Kind("mlflow", Mlflow),
    "wandb": Kind("wandb", Wandb, _check_login),
}


def check_tracker(name: TrackerName) -> Kind:
    """What logs to a tracker; raises `SettingsError` if it is not installed or cannot log."""
    kind = KINDS[name]
    if find_spec(kind.module) is None:
        raise SettingsError(f"track {name}: it is not installed; {install(name)}")
    kind.check()
    return kind
