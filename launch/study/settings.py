"""The settings of a study: everything that it needs to be resumed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launch.constraints import Constraint, figures_of
from launch.decisions.rules import Rule
from launch.figures import DEFAULT, Figure, Objectives
from launch.study.known import KnownResults
from launch.study.samplers import Sampler, usual_sampler
from launch.trial.data import SettingsError
from launch.trial.result import TrialResult
from searchspace.compression import Ratio
from searchspace.errors import InputError
from searchspace.plugins import load_plugins
from searchspace.reading import Unreadable, in_words, parse_json, parse_model, read_text

SETTINGS = "study.json"

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's generators take."""


StoppedAs = Literal["pruned", "rescaled"]
"""How a stopped trial is reported to the sampler: as PRUNED, or COMPLETE with AP_small as it would
have become if it had grown like that of others."""

TOLD_AS: StoppedAs = "rescaled"
"""The default, by `benchmarks.search.compare`."""


class StudyError(InputError):
    """A study folder that cannot be used as asked; the message names it and the fix."""


MOST_TRIALS = 1_000_000
MOST_TIME = 1e7
"""Minutes or hours; more is a slip."""


def resume_command(study: Path) -> str:
    """What to type to go on with a study."""
    return f"sparrow search --resume {shlex.quote(str(study))}"


class SplitPaths(BaseModel):
    """Where a split lies, as absolute paths."""

    model_config = ConfigDict(frozen=True)

    images: Path
    annotations: Path


class StudySettings(BaseModel):
    """Everything that `--resume` needs; lies in `study.json`.

    Attributes:
        plugins: what is loaded before the rest is read: paths of Python files, names of modules.
        space: the space as `Space.dump` gives it.
        fingerprint: of the data; a resumed study refuses other data.
        dropped: in words, what `skip_bad` left out of the data.
        papers: the papers' systems that lie in the space are the first trials.
        trials: how many are proposed in all, failed ones included.
        minutes: no trial is proposed that would probably end later than this; None for no limit.
        device_hours: no trial is proposed with which the trials' own times would probably sum up to
            more than this; None for no limit.
        weights: folder or file of published weights; None downloads them.
        teachers: folders of the teachers that the space names, by these names.
        trial_timeout: minutes that an attempt at a trial may take before it is ended for good; None
            for no limit but that of a trial which gives no sign of life.
        device: what trials run on; None takes a GPU where there is one.
        measure_on: Ray's resource of the nodes that detectors are scored and measured on; None
            for where they were trained.
        sampler: what proposes configurations after the planned ones; by default the usual one.
        objectives: figures of the finished detector that the front is over, each in its own
            direction.
        gate: designs that cannot reach the front any more are not trained.
        early_stopping: the rule by which trials are stopped; None trains all to their end.
        stopped_as: how the sampler is told of a stopped trial.
        constraints: what a finished detector must keep to; others never come onto the front.
        ladder: the ratios at which the best of the trained detectors are pruned.
        inherit: what the sampler draws, and its ladders, are trained for a share of their epochs,
            from the detector of the nearest relative that is trained.
        known: results of elsewhere that the sampler is told of before its first proposal. They are
            not run again, and never come onto the front.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    plugins: tuple[str, ...] = ()
    space: dict[str, Any]
    train: SplitPaths
    val: SplitPaths
    fingerprint: str
    skip_bad: bool = False
    dropped: tuple[str, ...] = ()
    papers: bool = True
    trials: int = Field(ge=1, le=MOST_TRIALS)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    minutes: float | None = Field(default=None, gt=0, le=MOST_TIME)
    device_hours: float | None = Field(default=None, gt=0, le=MOST_TIME)
    weights: Path | None = None
    teachers: dict[str, Path] = {}
    trial_timeout: float | None = Field(default=None, gt=0, le=MOST_TIME)
    device: str | None = Field(default=None, min_length=1)
    measure_on: str | None = Field(default=None, min_length=1)
    objectives: Objectives = DEFAULT
    constraints: tuple[Constraint, ...] = ()
    gate: bool = False
    sampler: Sampler = Field(
        default_factory=lambda read: usual_sampler(bool(read["constraints"]) or read["gate"])
    )
    early_stopping: Rule | None = None
    stopped_as: StoppedAs = TOLD_AS
    ladder: tuple[Ratio, ...] = ()
    inherit: bool = False
    known: tuple[KnownResults, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What it must know of a detector."""
        return figures_of(self.objectives, self.constraints)

    def broken_by(self, result: TrialResult) -> tuple[str, ...]:
        """The constraints that a trial's final detector does not keep to."""
        return tuple(str(c) for c in self.constraints if c.broken_by(result.figure(c.figure)))


def changed(settings: StudySettings, **changes: Any) -> StudySettings:
    """The settings with some of them changed; None leaves one as it is.

    Raises:
        SettingsError: they do not hold for a study.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return settings_of(**settings.model_dump() | given)


def settings_of(**fields: Any) -> StudySettings:
    """Settings from the arguments of a search; raises `SettingsError`, which names them."""
    try:
        return StudySettings(**fields)
    except ValidationError as error:
        raise SettingsError(in_words(error)) from None


def read_settings(folder: Path) -> StudySettings:
    """The settings of the study in `folder`, whose plugins are loaded.

    Raises:
        StudyError: there is no study.
        PluginError: a plugin that it was begun with is missing or broken.
    """
    file = folder / SETTINGS
    if not file.exists():
        raise StudyError(f"{folder}: no study there (no study.json); give the folder of a study")
    fix = "put back a copy of the file"
    try:
        tree = parse_json(file, read_text(file, fix), fix)
        load_plugins(_plugins(tree), moved=True)
        return parse_model(file, tree, StudySettings, fix)
    except Unreadable as error:
        raise StudyError(str(error)) from None


def _plugins(tree: Any) -> list[str]:
    """The plugins that a study's file names; whatever else it holds is judged afterwards."""
    named = tree.get("plugins") if isinstance(tree, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
