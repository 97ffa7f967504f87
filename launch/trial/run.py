"""One trial: train, prune, fine-tune, evaluate, measure. Runs without Ray and without Optuna."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import torch
from pydantic import BaseModel

from compress import Plan
from detectors.activity import shown_by
from detectors.data.readers import DataSource
from detectors.files import publish, write_atomically
from detectors.group import Group
from detectors.timing.cost import Cost
from detectors.training.compiling import Choice
from launch.files import (
    COMPACT,
    DENSE,
    DETECTOR,
    FITTED,
    INT8,
    PLAN,
    PREDICTED,
    PROGRESS,
    RESULT,
    SPEEDS,
    STAGES,
    STEPS,
    TRIAL,
    figures_file,
)
from launch.trial.ancestor import ANCESTOR, Ancestor
from launch.trial.data import TrialData, TrialError, given_path
from launch.trial.memory import OutOfMemory, free_memory, read_fitted, take_less
from launch.trial.meter import LocalMeter, Meter
from launch.trial.preconditions import check_fits
from launch.trial.progress import Part, Progress
from launch.trial.result import Outcome, TrialResult, read_result
from launch.trial.rounds import removal_in, rounds
from launch.trial.stages import OnRung, Stages
from launch.trial.store import Artefact, Store
from launch.trial.teachers import LoadTeacher, load_teacher
from launch.trial.training import OnEpoch
from launch.trial.widths import plan_beside
from launch.trial.workers import check_shares
from searchspace.compression import Int8
from searchspace.errors import InputError
from searchspace.plugins import load_plugins
from searchspace.reading import Unreadable, read_model
from searchspace.trial import TrialConfig

DEVICES = ("cpu", "cuda")

OnPredicted = Callable[[Cost], None]


class TrialOptions(TypedDict, total=False):
    """Further options of a study's trial; see `run_trial`."""

    stages: Path
    load_teacher: LoadTeacher
    meter: Meter | None
    weights: Path | None
    ancestor: Path | None
    plan: Plan | None


logger = logging.getLogger(__name__)


def run_trial(
    config: TrialConfig,
    data: TrialData | DataSource | Path | str,
    out: Path | str,
    device: torch.device | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
    stages: Path | None = None,
    load_teacher: LoadTeacher = load_teacher,
    meter: Meter | None = None,
    on_predicted: OnPredicted | None = None,
    rungs: tuple[int, ...] = (),
    on_rung: OnRung | None = None,
    weights: Path | None = None,
    ancestor: Path | None = None,
    plan: Plan | None = None,
) -> TrialResult:
    """Run one trial, or the rest of an interrupted one.

    It writes to `out`: `trial.json`, `predicted.json`, `dense/` with `dense.json`, `plan.json`,
    `compact/` with `compact.json`, `int8/`, `result.json`, and `progress.jsonl`. Without pruning
    there is no plan, and `compact` only if the detector is trained further (`finetune_epochs` above
    0). A stage whose artefact is in `stages` already, from this or another trial, is not run again.
    Training resumes from its last checkpoint, see `detectors.training.train.fit`.
    One that runs out of memory is tried once more with its batches in twice as many parts. In a
    group of `torch.distributed`, the first process calls this, and the others
    `launch.trial.workers.follow`: they train together.

    Args:
        data: the data, or their source or folder.
        device: by default `cuda` if there is a GPU.
        progress: show a bar of each epoch on a terminal.
        stages: folder of the stages' artefacts, which may be shared with other trials; by default
            `stages` in `out`.
        load_teacher: loads the teachers that the configuration names; by default from their
            folders.
        meter: scores and measures; by default on the training device.
        on_predicted: called before training with the predicted cost of the final detector.
        rungs: numbers of training epochs after which `on_rung` is called with the metrics of a
            snapshot. An exception from it or from `on_predicted` ends the trial, and the next call
            resumes there.
        weights: a folder or file with the published weights of the backbone, instead of a
            download.
        ancestor: the folder of a saved detector whose weights the training starts from, if they
            fit, or of shared weights, of which it takes its slices; `out/ancestor.json` records it.
        plan: channels that are removed before the training, so that a pruned detector is trained
            at its widths; `out/plan.json` records it.

    Raises:
        RuntimeUnavailable: the form in which the detector is to be measured is not available.
        SettingsError: `out` is empty.
        TrialError: `out` holds another trial, or the configuration does not fit the data, a teacher
            or the number of processes.
        DataError: the data cannot be used.
        TrainingFailed: a loss is not finite.
        WeightsUnavailable: its published initial weights are not available.
        pydantic.ValidationError: weights `auto`, and the detector has other settings than those
            that the weights were trained with.
    """
    out, device = given_path("out", out), pick_device(device)
    load_plugins()
    config, data = config.started(), TrialData.of(data)
    check_fits(config, data, load_teacher, plan)
    check_shares(config, data)
    noted = Progress(out / PROGRESS, config.epochs)
    store = Store(Path(stages or out / STAGES), noted.begin)
    todo = Stages(
        data.decide(config),
        data,
        store,
        device,
        meter or LocalMeter(data, device, store.folder / SPEEDS),
        load_teacher,
        on_epoch,
        bars=progress,
        progress=noted,
        rungs=rungs,
        on_rung=on_rung,
        weights=weights,
        ancestor=ancestor,
        kept=read_fitted(out),
        plan=plan,
    )
    with shown_by(noted.show, also=True):
        try:
            return _Trial(config, out, todo, on_predicted).result()
        except OutOfMemory as error:
            todo = _with_less(todo, out, error)
        # Only here: the error keeps what the training had in memory.
        free_memory()
        return _Trial(config, out, todo, on_predicted).result()


def _with_less(todo: Stages, out: Path, error: OutOfMemory) -> Stages:
    """The stages with batches in more parts; raises the error if that was tried or cannot be."""
    # Of several workers, the others are in the middle of a step.
    alone = Group.current().size == 1
    less = take_less(todo.config, out, todo.fitted, str(error)) if alone else None
    if less is None:
        raise error
    return replace(todo, kept=less)


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """The requested device; by default a GPU if there is one.

    Raises:
        ValueError: the device is unknown, or not in this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = _named_device(device)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= gpus:
        have = f"this machine has {gpus}, numbered from 0" if gpus else "no GPU is usable here"
        raise InputError(f"device {device!s}: {have}; give cpu, or leave the device out")
    return found


def check_for_ray(device: torch.device | str | None, elsewhere: bool) -> torch.device:
    """The device of trials that run in Ray's processes.

    Args:
        elsewhere: whether they run on a cluster, whose nodes may differ from this machine.

    Raises:
        ValueError: see `pick_device`; or a numbered GPU is given, but Ray assigns GPUs itself.
    """
    if device is not None and _named_device(device).index:
        raise InputError(
            f"device {device!s}: Ray assigns a GPU to each trial: give cuda, and select GPUs with "
            "CUDA_VISIBLE_DEVICES"
        )
    return _named_device(device) if device is not None and elsewhere else pick_device(device)


def _named_device(device: torch.device | str) -> torch.device:
    """A device by its name, whether it is in this machine or not."""
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in DEVICES:
        raise InputError(f"device {device!s}: unknown; give cpu, cuda, or a number as in cuda:1")
    return found


@dataclass(frozen=True)
class _Trial:
    """Runs a trial through its stages, and writes the files in its folder.

    Attributes:
        config: as given; that of the stages has the number of detections that the data need.
    """

    config: TrialConfig
    out: Path
    stages: Stages
    on_predicted: OnPredicted | None

    def result(self) -> TrialResult:
        file = self.out / RESULT
        if not file.exists():
            self.stages.check_start()
        self._claim_folder()
        if file.exists():
            try:
                return read_result(file)
            except ValueError as error:
                logger.warning(f"{error}: written again from the stages")
        self._write(RESULT, self._run())
        return read_result(file)

    def _claim_folder(self) -> None:
        cause, config, start = self.out / TRIAL, self.config, self.stages.start
        ancestor = self.out / ANCESTOR
        if not cause.exists():
            if start:
                write_atomically(ancestor, start.model_dump_json(indent=1))
            if self.stages.plan:
                self._write(PLAN, self.stages.plan)
            self._write(TRIAL, config)
            return
        fix = "remove the file if the folder is this trial's, or choose an empty folder"
        try:
            there = read_model(cause, TrialConfig, fix)
            began = read_model(ancestor, Ancestor, fix) if ancestor.exists() else None
            removed = plan_beside(cause)
        except Unreadable as error:
            raise TrialError(str(error)) from None
        plan = self.stages.plan
        same_start = (began and began.fingerprint) == (start and start.fingerprint)
        same_widths = (removed and removed.removed) == (plan and plan.removed)
        if there != config or not (same_start and same_widths):
            raise TrialError(f"{self.out} holds another trial: choose an empty folder")

    def _run(self) -> TrialResult:
        start = time.monotonic()
        predicted = self.stages.predict()
        self._write(PREDICTED, predicted)
        if self.stages.fitted:
            self._write(FITTED, self.stages.fitted)
        if self.on_predicted:
            self.on_predicted(predicted)
        final = dense = self.stages.train()
        dense_outcome = self._outcome(DENSE, dense)
        plan, compact, quantised = self.stages.plan, None, None
        share = plan.share if plan else 0.0
        if not self.config.compress.leaves_dense:
            final, share = self._second_part(dense, share)
            compact = self._outcome(COMPACT, final)
        if isinstance(self.config.compress.quantisation, Int8):
            int8, quantised = self.stages.quantise(final)
            publish(int8.folder / DETECTOR, self.out / INT8)
        return TrialResult(
            config=self.config,
            dense=dense_outcome,
            compact=compact,
            removed_share=share,
            seconds=time.monotonic() - start,
            ancestor=self.stages.start,
            predicted=predicted,
            trained=dense.key,
            quantised=quantised,
            fitted=self.stages.fitted,
            steps=_choices({DENSE: dense} | ({COMPACT: final} if compact else {})),
            workers=Group.current().size,
        )

    def _second_part(self, dense: Artefact, share: float) -> tuple[Artefact, float]:
        """The final detector, and the share of its channels that was removed, before as well."""
        if not self.config.compress.prunes:
            return self.stages.train_on(dense), share
        model, whole = dense, None
        removal = self.config.compress.removal
        for part in rounds(removal):
            plan, pruned = self.stages.prune(model, removal_in(removal, part.number, whole))
            whole = plan if whole is None else whole.then(plan)
            self._write(PLAN, whole)
            model = self.stages.finetune(model, plan, pruned, part, dense)
        return model, whole.share if whole else 0.0

    def _outcome(self, name: Part, model: Artefact) -> Outcome:
        publish(model.folder / DETECTOR, self.out / name)
        metrics = self.stages.evaluate(model)
        self.stages.progress.scored(name, metrics)
        cost = self.stages.measure(model)
        self.stages.progress.scored(name, cost)
        outcome = Outcome(metrics=metrics, cost=cost)
        self._write(figures_file(name), outcome)
        return outcome

    def _write(self, name: str, value: BaseModel) -> None:
        write_atomically(self.out / name, value.model_dump_json(indent=1))


def _choices(models: Mapping[str, Artefact]) -> dict[str, Choice]:
    """Whether steps were compiled, as their trainings noted it; earlier versions did not."""
    files = {name: model.folder / STEPS for name, model in models.items()}
    return {
        name: read_model(file, Choice, "remove the artefact, which is then made again")
        for name, file in files.items()
        if file.exists()
    }
