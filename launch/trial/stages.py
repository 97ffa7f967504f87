"""The stages of a trial: train, prune, fine-tune, evaluate, measure.

Each leaves one artefact in a store, named by a hash of everything that determines it: the part of
the configuration that it depends on, the data's fingerprint, the seed, and the name of the artefact
that it starts from. Trials that differ only in later stages share the earlier ones.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from compress import (
    Plan,
    calibration_images,
    plan_pruning,
    quantise,
    recalibrate,
    replay,
)
from compress.targets import brief
from detectors.data.loader import Batch
from detectors.data.pixels import WHOLE
from detectors.detector import Detector
from detectors.evaluate import Metrics
from detectors.files import write_atomically
from detectors.runtimes import load_detector
from detectors.runtimes.agreement import Agreement, agreement
from detectors.training.compiling import Choice, noted_by
from detectors.training.train import OnSnapshot, Snapshots, fit
from detectors.weights.published import State
from launch.files import AGREEMENT, CHECKPOINT, DETECTOR, SCRATCH, START, STEPS
from launch.trial.ancestor import Ancestor, has_shared_weights, load_ancestor
from launch.trial.initial_weights import fill, load_start, make_sure_of
from launch.trial.memory import Fitted, fitted, naming_parts
from launch.trial.progress import NOWHERE, Progress
from launch.trial.rounds import Round
from launch.trial.scoring import NOT_PRUNING, Scoring
from launch.trial.store import Artefact
from launch.trial.teachers import LoadTeacher, fingerprint, fingerprint_of_tensors
from launch.trial.training import (
    OnEpoch,
    Training,
    fine_tuning,
    stored_form,
    training_loader,
)
from launch.trial.workers import announce, share_of
from searchspace.augmentation import MultiScale
from searchspace.compression import Int8, Pruning
from searchspace.distillation import PARENT, Distillation, NoDistillation
from searchspace.training import AUTO, TrainConfig
from searchspace.trial import sparsity

GRADIENT_BATCHES = 8
"""Training batches for the gradients of the pruning criterion."""

STATISTICS_BATCHES = 16
"""Training batches for batch-norm statistics of a pruned detector without fine-tuning, and of one
that starts from shared weights."""

COMPARED = 32
"""The most validation images for comparing int8 with float."""

OnRung = Callable[[int, Metrics], None]
"""Called at each rung of the training with the finished epochs and the metrics of a snapshot."""


@dataclass(frozen=True)
class Stages(Scoring):
    """The stages of one trial, as functions from artefacts to artefacts.

    Attributes:
        load_teacher: loads the saved detectors that the configuration names.
        rungs: numbers of training epochs after which a snapshot is scored and `on_rung` is called.
            An exception from it ends the training, which another attempt resumes.
        weights: a folder or file with published weights; None downloads them.
        ancestor: a saved detector whose weights the training starts from, if they fit, or shared
            weights of which it takes its slices.
        bars: whether a bar of each epoch is shown on a terminal.
        progress: takes notes of the epochs.
        kept: how its batches fitted into memory when the trial began, if that is known.
    """

    load_teacher: LoadTeacher
    on_epoch: OnEpoch | None = None
    bars: bool = False
    progress: Progress = NOWHERE
    rungs: tuple[int, ...] = ()
    on_rung: OnRung | None = None
    weights: Path | None = None
    ancestor: Path | None = None
    kept: Fitted | None = None

    @functools.cached_property
    def fitted(self) -> Fitted | None:
        """How its batches fit into memory; None where they are in as many parts as the
        configuration says."""
        if self.kept and self.kept.short:
            return self.kept
        if self.config.train.accumulate != AUTO:
            return None
        share = share_of(self.config)
        return self.kept or fitted(share, self.store, self.device, self.load_teacher)

    @functools.cached_property
    def recipe(self) -> TrainConfig:
        """The recipe of the training, with the number of parts of a batch."""
        train = self.config.train
        return train.changed(accumulate=self.fitted.accumulate) if self.fitted else train

    @functools.cached_property
    def start(self) -> Ancestor | None:
        """What the training starts from, if anything."""
        if self.ancestor is None:
            return None
        found = load_ancestor(self.ancestor, self.config.detector)
        return Ancestor(folder=self.ancestor.resolve(), fingerprint=fingerprint(found))

    @functools.cached_property
    def _saved_start(self) -> str | None:
        """The fingerprint of the saved detector that `train.weights` names, if any."""
        saved = self._saved
        if saved is None:
            return None
        is_detector = isinstance(saved, Detector)
        return fingerprint(saved) if is_detector else fingerprint_of_tensors(saved)

    @functools.cached_property
    def _saved(self) -> Detector | State | None:
        name = self.config.train.start
        return None if name is None else load_start(name, self.load_teacher)

    def train(self) -> Artefact:
        """The trained detector, before pruning."""
        training, inputs = self._dense()
        recipe = training.recipe

        def make(work: Path) -> None:
            torch.manual_seed(self.config.seed)
            detector = Detector(self.config.detector, self.data.classes)
            folder, config = self.ancestor, self.config.detector
            ancestor = load_ancestor(folder, config) if folder else None
            start = fill(detector, recipe, self.weights, ancestor, self._saved, self.plan)
            write_atomically(work / START, json.dumps(start, indent=1))
            if folder and has_shared_weights(folder):
                batches = self._first_batches(STATISTICS_BATCHES)
                recalibrate(detector.to(self.device), batches)
            self._fit(detector, training, work, self.rungs, at_rung)

        def at_rung(epochs: int, snapshot: Detector) -> None:
            metrics = self.score_rung(inputs, epochs, snapshot)
            self.progress.scored("dense", metrics, rung=epochs)
            if self.on_rung:
                self.on_rung(epochs, metrics)

        return self.store.once("train", inputs, make)

    def check_start(self) -> None:
        """Raise `WeightsUnavailable` if training needs published weights that are not available."""
        if self.config.train.weights != "imagenet":
            return
        _, inputs = self._dense()
        if not self.store.artefact("train", inputs).folder.is_dir():
            make_sure_of(self.config, self.weights)

    def prune(self, model: Artefact, removal: Pruning | None = None) -> tuple[Plan, Artefact]:
        """The channels to remove from a trained detector.

        Args:
            removal: the pruning of one round, see `removal_in`; by default all of it at once.
        """
        pruning = removal or self.config.compress.removal
        inputs = {
            "input": model.key,
            "pruning": pruning.cause(*NOT_PRUNING),
        }
        if pruning.target == "latency":
            inputs["measure"] = self._measured_on()
        how = brief(self.config.deployment)

        def make() -> Plan:
            return plan_pruning(
                self._load(model),
                pruning,
                batches=lambda: self._first_batches(GRADIENT_BATCHES),
                fps=lambda pruned: self.meter.measure(pruned, how).fps,
                seed=self.config.seed,
            )

        return self.store.record("prune", inputs, Plan, make)

    def finetune(
        self,
        model: Artefact,
        plan: Plan,
        pruned: Artefact,
        part: Round | None = None,
        parent: Artefact | None = None,
    ) -> Artefact:
        """A trained detector without the channels of a plan, fine-tuned.

        Args:
            part: the round; by default the only one.
            parent: the detector before all rounds, if that is not `model`.
        """
        removal = self.config.compress.removal
        part = part or Round(1, removal.finetune_epochs, 0, 0.0)
        teacher = self._teacher(removal.distillation, parent or model)
        return self._train_on(model, pruned.key, part, removal.distillation, teacher, plan)

    def train_on(self, dense: Artefact) -> Artefact:
        """The trained detector with all channels, trained further like a pruned one."""
        part = Round(1, self.config.compress.pruning.finetune_epochs, 0, 0.0)
        return self._train_on(dense, dense.key, part, NoDistillation(), None, None)

    def _train_on(
        self,
        model: Artefact,
        start: str,
        part: Round,
        lesson: Distillation,
        teacher: Detector | None,
        plan: Plan | None,
    ) -> Artefact:
        """The second part of the training, or a round of it.

        Args:
            start: key of the artefact that it starts from.
            lesson: its distillation, from `teacher`.
            plan: the channels to remove first.
        """
        train = self.recipe
        recipe = fine_tuning(train, self.config.compress.pruning.finetune_rate, part.epochs)
        training = Training(
            "compact", recipe, lesson, teacher, part.sparsity, self._saved_start, part.before
        )

        def make(work: Path) -> None:
            torch.manual_seed(self.config.seed)
            detector = self._load(model)
            if plan is not None:
                replay(detector, plan)
            if part.epochs:
                self._fit(detector, training, work)
            else:
                recalibrate(detector, self._first_batches(STATISTICS_BATCHES))
                detector.save(work / DETECTOR)

        inputs = {"input": start, **training.inputs()}
        return self.store.once("finetune", inputs | self._samples(), make)

    def quantise(self, model: Artefact) -> tuple[Artefact, Agreement]:
        """A detector in int8, as a model of its runtime, and its agreement with the detector on
        validation images.
        """
        config = self.config.compress.quantisation
        if not isinstance(config, Int8):
            raise TypeError("compress.quantisation is none: there is nothing to quantise")
        inputs = {
            "input": model.key,
            "quantisation": config.cause(),
            "data": self.data.train.fingerprint,
        }

        def make(work: Path) -> None:
            canvas = self.config.detector.canvas
            images = calibration_images(self.data.train, config.images, canvas)
            detector = Detector.load(model.folder / DETECTOR)
            quantise(detector, config, images, work / DETECTOR)
            quantised = load_detector(work / DETECTOR)
            shown = calibration_images(self.data.val, COMPARED, canvas)
            found = agreement(detector, quantised, shown)
            (work / AGREEMENT).write_text(found.model_dump_json(indent=1), encoding="utf-8")

        artefact = self.store.once("quantise", inputs, make)
        file = artefact.folder / AGREEMENT
        return artefact, Agreement.model_validate_json(file.read_text(encoding="utf-8"))

    def _dense(self) -> tuple[Training, dict[str, Any]]:
        """The training of the detector before it is pruned, and everything that determines it."""
        recipe = self.recipe
        teacher = self._teacher(recipe.distillation, None)
        strength = sparsity(self.config)
        training = Training(
            "dense", recipe, recipe.distillation, teacher, strength, self._saved_start
        )
        inputs = self._described() | training.inputs() | self._samples()
        # Like a teacher, it counts by content, not by path.
        return training, inputs | ({"ancestor": self.start.fingerprint} if self.start else {})

    def _samples(self) -> dict[str, Any]:
        """The inputs that determine the training batches, besides the recipe."""
        samples = {"data": self.data.train.fingerprint, "seed": self.config.seed}
        form = stored_form(self.config, self.data)
        return samples if form == WHOLE else samples | {"pixels": str(form)}

    def _first_batches(self, most: int) -> Iterator[Batch]:
        """The first of the training, at most so many, on the detector's own input."""
        recipe = self.config.train.changed(multi_scale=MultiScale())
        loader = training_loader(self.config, self.data, recipe, self.device)
        return itertools.islice(loader.epoch(0), most)

    def _teacher(self, distillation: Distillation, parent: Artefact | None) -> Detector | None:
        if isinstance(distillation, NoDistillation):
            return None
        if distillation.teacher == PARENT and parent is not None:
            return self._load(parent)
        return self.load_teacher(distillation.teacher)

    def _fit(
        self,
        detector: Detector,
        training: Training,
        work: Path,
        rungs: tuple[int, ...] = (),
        at_rung: OnSnapshot | None = None,
    ) -> None:
        recipe = training.recipe
        loader = training_loader(self.config, self.data, recipe, self.device)
        announce(self.config, training, detector)

        def note(choice: Choice) -> None:
            write_atomically(work / STEPS, choice.model_dump_json(indent=1))

        with naming_parts(recipe.parts), noted_by(note):
            fit(
                detector,
                loader,
                recipe,
                terms=training.terms(detector.to(self.device)),
                checkpoint=work / SCRATCH / CHECKPOINT,
                on_epoch=training.reporting(self.progress, self.on_epoch, loader),
                progress=self.bars,
                snapshots=Snapshots(rungs, at_rung) if at_rung else None,
            )
        detector.save(work / DETECTOR)
