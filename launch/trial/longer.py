"""The long training of a detector that a search has found, as a trial of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compress import Plan
from launch.files import COMPACT, DENSE
from launch.trial.data import TrialData, TrialError
from launch.trial.training import fine_tuning
from searchspace.compression import Unpruned
from searchspace.distillation import PARENT, ChannelWise, Distillation, NoDistillation
from searchspace.trial import TrialConfig
from searchspace.words import counted

NAMED = 10
"""The most classes that a message names."""


@dataclass(frozen=True)
class Trainable:
    """A detector that can be trained for long.

    Attributes:
        config: of the trial that trained it; of a published system, its own; of a saved detector
            from elsewhere, the usual recipe.
        folder: of the trained detector in float32; None if nothing has trained it yet.
        classes: names of its classes; empty if they are not known.
        plan: the channels that it does not have.
        folders: where the saved detectors that its configuration names lie, where that is not at
            the path that it names.
    """

    config: TrialConfig
    folder: Path | None = None
    classes: tuple[str, ...] = ()
    plan: Plan | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)

    def longer(self, epochs: int, anew: bool = False, teacher: Path | None = None) -> TrialConfig:
        """The trial that trains it for a number of epochs, over which its schedule is spread.

        From its weights, the learning rate is that of its recipe for a fine-tuning; anew, all of
        its recipe is. Channels that were pruned stay removed either way, and no more are. What
        nothing has trained yet is trained as a whole, and pruned as its configuration says.

        Args:
            anew: from the weights that its recipe starts from, not from its own.
            teacher: a saved detector that teaches it; by default the one of its last training, if
                there was one.
        """
        config, compress = self.config, self.config.compress
        recipe = config.train.lasting(epochs)
        if self.folder is not None and not anew:
            recipe = fine_tuning(recipe, compress.pruning.finetune_rate, epochs)
            recipe = recipe.changed(weights=str(self.folder))
        elif recipe.start is not None:
            recipe = recipe.changed(weights=self._place(recipe.start))
        if self.folder is not None:
            rate = compress.pruning.finetune_rate
            compress = compress.changed(pruning=Unpruned(finetune_rate=rate))
        recipe = recipe.changed(distillation=self._lesson(teacher))
        return config.changed(train=recipe, compress=compress)

    def finds_classes(self, data: TrialData) -> bool:
        """Whether it finds the classes of the data, in their order."""
        if self.classes:
            return self.classes == data.classes
        return self.config.detector.num_classes == len(data.classes)

    def check_classes(self, data: TrialData) -> None:
        """Raise `TrialError` if the data have other classes than a trained detector finds."""
        if self.folder is not None and not self.finds_classes(data):
            number = counted(self.config.detector.num_classes, "class", "classes")
            own = f"{number} ({_some(self.classes)})" if self.classes else f"{number} without names"
            theirs = f"{counted(len(data.classes), 'class', 'classes')} ({_some(data.classes)})"
            raise TrialError(
                f"{self.folder}: it finds {own}, and the data have {theirs}: give data with its "
                "classes in the same order, or have it learn those of the data with --set "
                f"detector.num_classes={len(data.classes)}, where classes of the same name keep "
                "what it knows of them"
            )

    def _lesson(self, teacher: Path | None) -> Distillation:
        lessons: dict[str, Distillation] = dict(self.config.lessons)
        # What a detector was taught in its fine-tuning is no part of what it was before.
        if self.folder is not None and self.folder.name == COMPACT:
            lesson = next(reversed(lessons.values()), NoDistillation())
        else:
            lesson = lessons.get("train.distillation", NoDistillation())
        if isinstance(lesson, NoDistillation):
            return lesson if teacher is None else ChannelWise(teacher=str(teacher))
        return lesson.changed(teacher=str(teacher) if teacher else self._place(lesson.teacher))

    def _place(self, name: str) -> str:
        """Where a saved detector that the configuration names lies."""
        if name == PARENT and self.folder is not None:
            return str(self.folder.parent / DENSE)
        return str(self.folders.get(name, name))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])
