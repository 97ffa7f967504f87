"""One trial: train, prune, fine-tune, evaluate, measure. Runs without Ray and without Optuna."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ConfigDict

from compress import Plan, prune, sparsity_term
from detectors.cost import Cost
from detectors.data.coco import CocoSplit, DataSource, read_source
from detectors.data.loader import TrainingLoader, evaluation_batches
from detectors.detector import Detector
from detectors.evaluate import Metrics, evaluate
from detectors.imagenet import load_imagenet_backbone
from detectors.speed import measure
from detectors.train import TrainingFailed, fit
from detectors.weights import load_shapes_backbone
from searchspace.compression import Slimming
from searchspace.training import TrainConfig
from searchspace.trial import TrialConfig

FRAMES = 8
"""Validation images that frames per second are measured on."""

GPU_LOADERS = 4
"""Processes that load images for a GPU; on a CPU the trial's own one does."""

START = {"shapes": load_shapes_backbone, "imagenet": load_imagenet_backbone}
"""What fills a backbone, by `train.weights`."""


M = TypeVar("M", bound=BaseModel)

OnEpoch = Callable[[str, int, dict[str, float]], None]
"""Told after each epoch: the stage (`dense` or `compact`), epochs done, mean losses."""


class TrialError(ValueError):
    """A configuration and data that do not go together; names field, value and fix."""


class Outcome(BaseModel):
    """What a detector scores and costs."""

    model_config = ConfigDict(frozen=True)

    metrics: Metrics
    cost: Cost


class TrialResult(BaseModel):
    """The end of a trial.

    Attributes:
        config: the whole cause of it.
        dense: the trained detector.
        compact: the pruned and fine-tuned one; None if nothing was pruned.
        removed_share: share of the prunable channels that went.
        seconds: time spent on it, by stage.
        folder: where its artefacts lie, relative to the working folder it ran in.
    """

    model_config = ConfigDict(frozen=True)

    config: TrialConfig
    dense: Outcome
    compact: Outcome | None
    removed_share: float
    seconds: float

    @property
    def final(self) -> Outcome:
        """The outcome of the detector that would be deployed."""
        return self.compact or self.dense

    def figure(self, name: str) -> float | None:
        """A metric or cost of the final detector by its name, e.g. `ap_small` or `fps`."""
        holder = self.final.metrics if name in Metrics.model_fields else self.final.cost
        return getattr(holder, name)


@dataclass(frozen=True)
class TrialData:
    """Both splits, read and checked once and then used by any number of trials."""

    train: CocoSplit
    val: CocoSplit

    @classmethod
    def read(cls, source: DataSource, skip_bad: bool = False) -> TrialData:
        """Raises `DataError` with every problem found."""
        return cls(*read_source(source, skip_bad))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(category.name for category in self.train.categories)


def run_trial(
    config: TrialConfig,
    data: TrialData | DataSource | Path | str,
    out: Path | str,
    device: torch.device | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
) -> TrialResult:
    """Run one trial, or what is left of it.

    Every stage leaves its artefact in `out` and is not run again where that lies already:
    `trial.json`, `dense/` with `dense.json`, `plan.json`, `compact/` with `compact.json`,
    `result.json`. Training stages go on from their last epoch.

    Args:
        data: read splits, or where they lie.
        device: `cuda` where there is one, by default.

    Raises:
        TrialError: `out` holds another trial, or the configuration does not fit the data.
        DataError: the data cannot be used.
        TrainingFailed: a loss is not finite.
    """
    if not isinstance(data, TrialData):
        source = data if isinstance(data, DataSource) else DataSource.from_folder(Path(data))
        data = TrialData.read(source)
    trial = _Trial(config, data, Path(out), pick_device(device), on_epoch, progress)
    return trial.run()


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The device asked for, else a GPU where there is one."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def check_fits(config: TrialConfig, data: TrialData) -> None:
    """Raise `TrialError` where a configuration and data do not go together."""
    if config.detector.num_classes != data.train.num_classes:
        raise TrialError(
            f"detector.num_classes is {config.detector.num_classes}, but the data have "
            f"{data.train.num_classes} categories ({', '.join(data.classes)}): set it to "
            f"{data.train.num_classes}"
        )


@dataclass(frozen=True)
class _Trial:
    config: TrialConfig
    data: TrialData
    out: Path
    device: torch.device
    on_epoch: OnEpoch | None
    progress: bool

    def run(self) -> TrialResult:
        check_fits(self.config, self.data)
        self._claim_folder()
        return _once(self.out / "result.json", TrialResult, self._result)

    def _claim_folder(self) -> None:
        cause = self.out / "trial.json"
        if not cause.exists():
            write_atomically(cause, self.config.model_dump_json(indent=1))
        elif TrialConfig.model_validate_json(cause.read_text()) != self.config:
            raise TrialError(f"{self.out} holds another trial: choose an empty folder")

    def _result(self) -> TrialResult:
        start = time.monotonic()
        dense_outcome = _once(self.out / "dense.json", Outcome, self._train)
        compact, share = None, 0.0
        if isinstance(self.config.compress.pruning, Slimming):
            compact = _once(self.out / "compact.json", Outcome, self._compress)
            share = Plan.model_validate_json((self.out / "plan.json").read_text()).share
        return TrialResult(
            config=self.config,
            dense=dense_outcome,
            compact=compact,
            removed_share=share,
            seconds=time.monotonic() - start,
        )

    def _train(self) -> Outcome:
        torch.manual_seed(self.config.seed)
        detector = Detector(self.config.detector, self.data.classes)
        if self.config.train.weights != "none":
            START[self.config.train.weights](detector)
        pruning = self.config.compress.pruning
        terms = [sparsity_term(pruning.sparsity)] if isinstance(pruning, Slimming) else []
        self._fit(detector, "dense", self.config.train, terms)
        return self._outcome(detector)

    def _compress(self) -> Outcome:
        pruning = self.config.compress.pruning
        detector = Detector.load(self.out / "dense").to(self.device)
        plan = prune(detector, pruning)
        write_atomically(self.out / "plan.json", plan.model_dump_json(indent=1))
        recipe = self.config.train.model_copy(
            update={
                "epochs": pruning.finetune_epochs,
                "learning_rate": self.config.train.learning_rate * pruning.finetune_rate,
            }
        )
        self._fit(detector, "compact", recipe, [])
        return self._outcome(detector)

    def _fit(self, detector: Detector, stage: str, recipe: TrainConfig, terms: list) -> None:
        size, checkpoint = self.config.detector.input_size, self.out / f"{stage}.checkpoint"
        workers = GPU_LOADERS if self.device.type == "cuda" else 0
        loader = TrainingLoader(self.data.train, recipe, size, self.config.seed, workers)
        report = self.on_epoch and (lambda epoch, losses: self.on_epoch(stage, epoch, losses))
        fit(
            detector,
            loader,
            recipe,
            self.device,
            terms=terms,
            checkpoint=checkpoint,
            on_epoch=report,
            progress=self.progress,
        )
        detector.save(self.out / stage)
        checkpoint.unlink()

    def _outcome(self, detector: Detector) -> Outcome:
        size = self.config.detector.input_size
        _, frames = next(evaluation_batches(self.data.val, size, FRAMES))
        return Outcome(
            metrics=evaluate(detector, self.data.val, self.device),
            cost=measure(detector, self.config.measure, self.device, frames.float() / 255),
        )


def _once(path: Path, model: type[M], make: Callable[[], M]) -> M:
    """The artefact at `path`, made first where it is not there yet."""
    if not path.exists():
        write_atomically(path, make().model_dump_json(indent=1))
    return model.model_validate_json(path.read_text())


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is never seen half-written, and is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


__all__ = [
    "Outcome",
    "TrainingFailed",
    "TrialData",
    "TrialError",
    "TrialResult",
    "check_fits",
    "pick_device",
    "run_trial",
]
