"""The result of a trial that a trainer of one's own ran, from the figures that it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from compress import planned_detector
from detectors.describe import describe
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from detectors.timing.measure import measure
from detectors.timing.store import SpeedStore
from launch.figures import FIGURES, is_own, known, of_source, own_figures, value_of
from launch.trial.result import REPORTED, Outcome, TrialResult
from searchspace.errors import InputError
from searchspace.measuring import MeasureConfig
from searchspace.trial import TrialConfig

FIELDS = {"metrics": Metrics.model_fields, "cost": Cost.model_fields}
"""By source, what holds a figure that is no user's."""

SIZES = ("params", "macs")
"""Costs that are counted."""

DOUBT = "reported by the trainer, not measured by Sparrow"


@dataclass(frozen=True)
class Reported:
    """Makes results of reported figures.

    Attributes:
        needed: the figures that a result must have: objectives, and those with a bound.
        device: where speeds that are not reported are measured.
        speeds: folder of cached speeds; see `SpeedStore`.
    """

    needed: Sequence[str]
    device: torch.device
    speeds: Path

    def result(
        self, config: TrialConfig, figures: Mapping[str, float], seconds: float
    ) -> TrialResult:
        """The result of a trial.

        Parameters and multiply-accumulates that are not reported are those of the detector that
        the configuration builds, with the planned share of its channels removed. Where neither
        FPS nor latency is reported, or another needed cost is not, that detector is measured
        without training. Metrics that are not reported are unknown.

        Raises:
            InputError: a figure is unknown, cannot be reported, has an impossible value, or is
                needed and missing; the message names it.
            RuntimeUnavailable: it is to be measured, but its runtime is not installed here.
        """
        told = {known(name): _reported(name, value) for name, value in figures.items()}
        missing = [name for name in of_source("metrics", self.needed) if name not in told]
        if missing:
            raise InputError(
                f"{', '.join(missing)} is missing, an objective or a bound of the study: report "
                f"it, as in study.tell(trial, {{{missing[0]!r}: 0.31}}), or say why there is none "
                "with failed='...'"
            )
        outcome = Outcome(metrics=_metrics(told), cost=self._cost(config, told))
        return TrialResult(
            config=config,
            dense=outcome,
            compact=None,
            removed_share=0.0,
            seconds=seconds,
            predicted=outcome.cost,
            trained=REPORTED,
        )

    def _cost(self, config: TrialConfig, told: Mapping[str, float]) -> Cost:
        detector, how = planned_detector(config, self._measured), config.deployment
        speed = _speed(told, how.batch)
        needed = (name for name in of_source("cost", self.needed) if not is_own(name))
        if speed and all(name in SIZES or name in speed for name in needed):
            cost = _unmeasured(detector, how, speed)
        else:
            cost = self._measured(detector, how)
        sizes = {name: int(told[name]) for name in SIZES if name in told}
        cost = cost.model_copy(update=sizes | (_as_reported(speed) if speed else {}))
        own = own_figures("cost", detector, cost) | _own("cost", told)
        return cost.model_copy(update={"own": own})

    def _measured(self, detector: Detector, how: MeasureConfig) -> Cost:
        return measure(detector, how, self.device, store=SpeedStore(self.speeds))


def _reported(name: str, value: object) -> float:
    """The value of a figure, checked."""
    if not is_own(name) and name not in FIELDS[FIGURES[name].source]:
        raise InputError(
            f"{name}: it follows from other figures, or is measured by Sparrow; leave it out"
        )
    return value_of(name, value)


def _metrics(told: Mapping[str, float]) -> Metrics:
    names = (name for name in of_source("metrics", FIGURES) if name in Metrics.model_fields)
    return Metrics.model_validate(
        {name: told.get(name) for name in names}
        | {"small_objects": None, "classes": {}, "own": _own("metrics", told)}
    )


def _own(source: str, told: Mapping[str, float]) -> dict[str, float]:
    """The reported figures among those that modules of users registered."""
    return {n: value for n, value in told.items() if is_own(n) and FIGURES[n].source == source}


def _speed(told: Mapping[str, float], batch: int) -> dict[str, float]:
    """FPS and latency of a batch, each from the other if need be; empty if neither is reported."""
    found = {name: told[name] for name in ("fps", "latency_ms") if name in told}
    if len(found) == 1:
        [value] = found.values()
        other = "latency_ms" if "fps" in found else "fps"
        found[other] = 1000 * batch / value
    return found


def _as_reported(speed: Mapping[str, float]) -> dict[str, object]:
    """The fields of a cost with reported speeds: what was measured of these no longer holds."""
    gone = dict.fromkeys(("fps_low", "fps_high", "raw_fps", "network_fps", "nominal_ms"))
    return {**speed, **gone, "trusted": False, "doubt": DOUBT}


def _unmeasured(detector: Detector, how: MeasureConfig, speed: Mapping[str, float]) -> Cost:
    """The cost of a detector whose speed is reported."""
    found = describe(detector)
    return Cost(
        fps=speed["fps"],
        latency_ms=speed["latency_ms"],
        spread=0.0,
        params=found.params,
        macs=found.macs,
        device="the trainer's device",
        threads=None,
        runtime=how.runtime,
        precision=how.precision,
        batch=how.batch,
        input_size=detector.config.canvas.size,
    )
