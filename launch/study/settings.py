"""The settings of a study: everything that is needed to resume it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launch.constraints import Constraint, figures_of
from launch.decisions.rules import Rule
from launch.figures import DEFAULT, Figure, Objectives
from launch.files import FORMAT, SETTINGS
from launch.study.known import KnownResults
from launch.study.samplers import Sampler, usual_sampler
from launch.trial.data import SettingsError
from launch.trial.result import TrialResult
from searchspace.compression import Ratio
from searchspace.errors import InputError
from searchspace.plugins import load_plugins
from searchspace.reading import Unreadable, in_words, parse_json, parse_model, read_text, shown

MAX_SEED = 2**32 - 1
"""The largest seed that numpy's generators take."""


StoppedAs = Literal["pruned", "rescaled"]
"""How a stopped trial is reported to the sampler: as PRUNED, or as COMPLETE with AP_small
extrapolated by the growth of other trials."""

TOLD_AS: StoppedAs = "rescaled"
"""The default, by `benchmarks.search.compare`."""


class StudyError(InputError):
    """A study folder that cannot be used as asked; the message names it and the fix."""


MOST_TRIALS = 1_000_000
MOST_TIME = 1e7
"""Minutes or hours; more is certainly a mistake."""


def resume_command(study: Path) -> str:
    """The command that resumes a study."""
    return f"sparrow search --resume {shlex.quote(str(study))}"


class SplitPaths(BaseModel):
    """The absolute paths of a split."""

    model_config = ConfigDict(frozen=True)

    images: Path
    annotations: Path


class StudySettings(BaseModel):
    """Everything that `--resume` needs; stored in `study.json`.

    Attributes:
        format: of the study's folder, see `launch.files`.
        plugins: paths of Python files and names of modules, loaded before the rest is read.
        space: the space as `Space.dump` gives it.
        fingerprint: fingerprint of the data; a resumed study rejects other data.
        dropped: what `skip_bad` dropped from the data, in words.
        papers: the papers' systems in the space are the first trials.
        trials: total number of proposed trials, failed ones included.
        minutes: no trial starts that would probably end later than this; None for no limit.
        device_hours: budget of the trials' total time; no trial starts that would probably exceed
            it; None for no limit.
        weights: folder or file of published weights; None downloads them.
        teachers: folders of the teachers that the space names, by these names.
        trial_timeout: minutes after which an attempt at a trial is ended as failed; None for no
            limit except that of trials without a sign of life.
        device: the device of trials; None for a GPU if there is one.
        measure_on: Ray resource of the nodes on which detectors are scored and measured; None to
            measure where they were trained.
        sampler: proposes configurations after the planned ones.
        objectives: figures that the search optimises, each in its own direction.
        gate: designs whose predicted upper bound the front dominates are not trained.
        early_stopping: the rule by which trials are stopped; None trains all to their end.
        stopped_as: how a stopped trial is reported to the sampler.
        constraints: bounds on the figures of detectors on the front.
        ladder: the ratios at which the best trained detectors are pruned.
        inherit: the sampler's draws, and their ladders, start from the most similar trained design
            and are trained for a share of the epochs.
        known: results that are reported to the sampler before its first draw. They are not run
            again, and are never on the front.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = FORMAT
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
        """All figures of objectives and constraints."""
        return figures_of(self.objectives, self.constraints)

    def broken_by(self, result: TrialResult) -> tuple[str, ...]:
        """The constraints that a trial's final detector violates."""
        return tuple(str(c) for c in self.constraints if c.broken_by(result.figure(c.figure)))


def changed(settings: StudySettings, **changes: Any) -> StudySettings:
    """The settings with some of them changed; None keeps a setting.

    Raises:
        SettingsError: they are invalid.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return settings_of(**settings.model_dump() | given)


def settings_of(**fields: Any) -> StudySettings:
    """Settings from the arguments of a search; raises `SettingsError` with the invalid ones."""
    try:
        return StudySettings(**fields)
    except ValidationError as error:
        raise SettingsError(in_words(error)) from None


def read_settings(folder: Path) -> StudySettings:
    """The settings of the study in `folder`, whose plugins are loaded.

    Raises:
        StudyError: there is no study.
        PluginError: one of its plugins is missing or broken.
    """
    file = folder / SETTINGS
    if not file.exists():
        raise StudyError(f"{folder}: there is no study (no study.json); give a study's folder")
    fix = "restore a copy of the file"
    try:
        tree = parse_json(file, read_text(file, fix), fix)
        _check_format(file, tree)
        load_plugins(_plugins(tree), moved=True)
        return parse_model(file, tree, StudySettings, fix)
    except Unreadable as error:
        raise StudyError(str(error)) from None


def _check_format(file: Path, tree: Any) -> None:
    found = tree.get("format") if isinstance(tree, dict) else FORMAT
    if found != FORMAT:
        wrote = "without a format" if found is None else f"of format {shown(found)}"
        raise StudyError(
            f"{file}: a study {wrote}, written by another version of Sparrow; this one reads "
            f"format {FORMAT}: go on with the version that wrote it, or begin another study"
        )


def _plugins(tree: Any) -> list[str]:
    """The plugins in a study's file; its other content is checked later."""
    named = tree.get("plugins") if isinstance(tree, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
