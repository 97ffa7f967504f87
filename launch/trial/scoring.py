"""The stages of a trial that say how good its detectors are: their figures, stored under what
determines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from compress import Plan, predict_cost
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.figures import Source, own_versions
from launch.files import DETECTOR
from launch.trial.data import TrialData
from launch.trial.meter import Meter, score
from launch.trial.store import Artefact, Store
from searchspace.config import own_code
from searchspace.digests import digest_of
from searchspace.trial import TrialConfig

NOT_PRUNING = {"sparsity", "finetune_epochs", "finetune_rate", "distillation", "rounds"}
"""Fields of a pruning that affect the training but not which channels are removed."""

SCORING = ("max_detections", "metrics")
"""Fields of a measurement's configuration that say how detections are scored."""


@dataclass(frozen=True)
class Scoring:
    """The costs and metrics of one trial's detectors.

    Attributes:
        store: the artefacts, of this trial only or shared with others.
        device: the device for training.
        meter: scores and measures detectors, there or elsewhere.
        plan: the channels that the detector does not have from the beginning, see `run_trial`.
    """

    config: TrialConfig
    data: TrialData
    store: Store
    device: torch.device
    meter: Meter
    plan: Plan | None = field(default=None, kw_only=True)

    def predict(self) -> Cost:
        """The predicted cost of the detector, measured before training."""
        pruning = self.config.compress.pruning
        inputs = {
            **self._described(),
            "pruning": pruning.cause(*NOT_PRUNING),
            "seed": self.config.seed,
            "measure": self._measured_on(),
            **_own("cost"),
        }
        cost, _ = self.store.record(
            "predict",
            inputs,
            Cost,
            lambda: predict_cost(self.config, self.meter.measure, self.plan),
        )
        return cost

    def evaluate(self, model: Artefact) -> Metrics:
        """COCO's metrics of the deployed detector on the validation split."""
        config, calibration = self.config.deployment, self.config.compress.calibration
        inputs = {
            "input": model.key,
            "data": self.data.val.fingerprint,
            "form": (config.runtime, config.precision, calibration, self.meter.hardware),
            **self._scored(),
        }
        metrics, _ = self.store.record(
            "evaluate",
            inputs,
            Metrics,
            lambda: self.meter.evaluate(self._load(model), config, calibration),
        )
        return metrics

    def measure(self, model: Artefact) -> Cost:
        """The cost of a detector on the meter's hardware; after a first look, with the tiles that
        it looked at on the validation split."""
        config = self.config.deployment
        inputs = {"input": model.key, "measure": self._measured_on(), **_own("cost")}
        tiles = self.config.detector.canvas.tiles
        if tiles is not None and tiles.threshold is not None:
            looked_at = (self.evaluate(model).inputs or 1) - 1
            config = config.changed(tiles=looked_at)
            inputs["tiles"] = looked_at
        cost, _ = self.store.record(
            "measure", inputs, Cost, lambda: self.meter.measure(self._load(model), config)
        )
        return cost

    def score_rung(self, inputs: Mapping[str, Any], epochs: int, snapshot: Detector) -> Metrics:
        """COCO's metrics of a training's snapshot, in PyTorch."""
        key = self.store.artefact("train", inputs).key
        data = self.data
        rung = {"input": key, "epochs": epochs, "data": data.val.fingerprint}
        rung |= self._scored()
        most, engine = self.config.measure.max_detections, self.config.measure.metrics
        metrics, _ = self.store.record(
            "rung",
            rung,
            Metrics,
            lambda: score(
                snapshot, data.val, self.device, most, engine, bounded=False, cache=data.cache
            ),
        )
        return metrics

    def _described(self) -> dict[str, Any]:
        """What determines the detector before its training: its configuration, the channels that
        it does not have, and users' code."""
        inputs: dict[str, Any] = {"detector": self.config.detector.cause()}
        if self.plan is not None:
            inputs["removed"] = digest_of(self.plan.removed)
        code = own_code(self.config)
        return inputs | ({"code": code} if code else {})

    def _load(self, model: Artefact) -> Detector:
        return Detector.load(model.folder / DETECTOR).to(self.device)

    def _scored(self) -> dict[str, Any]:
        """What determines the metrics, besides detector and data: how detections are scored, where
        it is not as usual, and users' figures."""
        cause = self.config.measure.cause()
        return {name: cause[name] for name in SCORING if name in cause} | _own("metrics")

    def _measured_on(self) -> dict[str, Any]:
        """The inputs that determine a measurement, besides the detector."""
        config = self.config.deployment
        inputs = {"config": config.cause(*SCORING), "hardware": self.meter.hardware}
        # Without a fixed load, the speed depends on the detections on the images.
        fixed = config.candidates is not None
        return inputs if fixed else inputs | {"data": self.data.val.fingerprint}


def _own(source: Source) -> dict[str, Any]:
    """What determines the figures that modules of users registered; nothing where there is none."""
    versions = own_versions(source)
    return {"own": versions} if versions else {}
