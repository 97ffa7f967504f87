"""Scoring and measuring of detectors on nodes of the target's kind, wherever they were trained.

Such nodes have a custom Ray resource, of which each measurement takes one, so that those of a node
run one after the other. They take no CPUs from Ray, so that waiting trials cannot block them;
training steps on that node pause meanwhile (`detectors.quiet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from pydantic import BaseModel
from ray.exceptions import RayTaskError

from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from detectors.timing.energy import energy_counter
from detectors.timing.measure import hardware_name
from launch.drivers.travel import arrived
from launch.figures import ENERGY, FigureName
from launch.trial.copies import here
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.run import pick_device
from launch.trial.teachers import PackedDetector
from searchspace.errors import InputError
from searchspace.measuring import MeasureConfig
from searchspace.plugins import load_plugins

M = TypeVar("M", bound=BaseModel)

GPUS_STAY_VISIBLE = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}
"""Ray hides the GPUs from a task that does not request any, unless this is set."""


@dataclass(frozen=True)
class TargetMeter:
    """Scores and measures on a node that has a resource.

    Attributes:
        resource: a custom resource of Ray.
        data: the trial's data in Ray's object store.
        speeds: folder of cached speeds in the study, see `portable`.
        hardware: the device that such a node measures on.
    """

    resource: str
    data: ray.ObjectRef
    speeds: str
    hardware: str

    @classmethod
    def on(cls, resource: str, data: TrialData, speeds: str) -> TargetMeter:
        """A meter for the nodes with a resource; waits until one of them answers."""
        hardware = ray.get(_placed(_hardware, resource).remote())
        return cls(resource, ray.put(data), speeds, hardware)

    def evaluate(self, detector: Detector, config: MeasureConfig, calibration: int = 0) -> Metrics:
        return self._ask("evaluate", Metrics, detector, config, calibration)

    def measure(self, detector: Detector, config: MeasureConfig) -> Cost:
        return self._ask("measure", Cost, detector, config)

    def _ask(
        self,
        method: str,
        model: type[M],
        detector: Detector,
        config: MeasureConfig,
        *more: int,
    ) -> M:
        given = PackedDetector.of(detector), config.model_dump_json(), *more
        about = method, load_plugins(), self.data, self.speeds
        task = _placed(_answer, self.resource).remote(*about, *given)
        return model.model_validate_json(result_of(task))


def result_of(task: ray.ObjectRef) -> Any:
    """The result of a task; what was raised in it is raised as if it had happened here."""
    try:
        return ray.get(task)
    except RayTaskError as error:
        raise error.cause from None


def check_target(resource: str, figures: Sequence[FigureName] = ()) -> None:
    """Raise `ValueError` if no node of the cluster has a resource to measure on, or if such a node
    cannot read one of the figures.
    """
    if ray.cluster_resources().get(resource, 0) < 1:
        raise InputError(
            f"no node has the resource {resource!r} to measure on: start a node of that kind with "
            f"ray start --address ... --resources '{{\"{resource}\": 1}}'"
        )
    if ENERGY in figures:
        try:
            ray.get(_placed(_check_energy, resource).remote())
        except RayTaskError as error:
            raise InputError(f"{ENERGY} on nodes with {resource!r}: {error.cause}") from None


def _placed(task: Any, resource: str) -> Any:  # Ray's types of tasks do not know `options`
    """A task for a node with the resource, outside the CPUs of its trial."""
    return task.options(
        resources={resource: 1}, scheduling_strategy="DEFAULT", runtime_env=GPUS_STAY_VISIBLE
    )


@ray.remote(num_cpus=0)
def _hardware() -> str:
    return hardware_name(pick_device())


@ray.remote(num_cpus=0)
def _check_energy() -> None:
    energy_counter(pick_device())


@ray.remote(num_cpus=0)
def _answer(
    method: str,
    plugins: tuple[str, ...],
    data: TrialData,
    speeds: str,
    detector: PackedDetector,
    config: str,
    *more: int,
) -> str:
    """The answer of this node's own meter, as JSON."""
    load_plugins(arrived(plugins))
    ask = getattr(LocalMeter(data.here(), pick_device(), here(speeds)), method)
    answer = ask(detector.unpack(), MeasureConfig.model_validate_json(config), *more)
    return answer.model_dump_json()
