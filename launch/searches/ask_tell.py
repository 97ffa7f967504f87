"""Ask and tell: a study whose trials are run by a trainer of one's own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from detectors.files import write_atomically
from detectors.own_folder import lock_folder
from launch.figures import DEFAULT, FigureName
from launch.files import RESULT, SPEEDS, TRIAL, final_folder
from launch.records import Param, TrialRecord
from launch.report import Front
from launch.searches import check_more, report
from launch.searches.inputs import with_form
from launch.searches.tracking import Tracking
from launch.study.failures import Failure, SearchStopped
from launch.study.opening import open_study
from launch.study.recovery import check_new
from launch.study.search_options import TrackerName
from launch.study.search_settings import SearchSettings, changed
from launch.study.settings import StudyError, StudySettings, read_settings, settings_of
from launch.study.study import OnEnd
from launch.trial.data import given_path
from launch.trial.errors import SettingsError
from launch.trial.reported import Reported
from launch.trial.run import pick_device
from searchspace import Space, TrialConfig, load_plugins, load_space
from searchspace.errors import InputError
from searchspace.names import closest

OPTIONS = (
    "trials", "minutes", "hours", "device_hours", "constraints", "sampler", "seed", "papers",
    "device", "track", "storage", "study_name",
)  # fmt: skip
"""The options of a search that say nothing of how trials are run."""


@dataclass(frozen=True)
class AskedTrial:
    """A trial to run.

    Attributes:
        number: its number in the study, from 0.
        config: what to train.
        params: the choices that its configuration was drawn by.
        folder: a folder of its own, for whatever it leaves; it exists.
    """

    number: int
    config: TrialConfig
    params: Mapping[str, Param]
    folder: Path

    @property
    def detector(self) -> Path:
        """The folder that `member.load()` reads; save a `Detector` there for it."""
        return self.folder / final_folder(self.config)


class Study:
    """A study whose trials are run by a trainer of one's own.

    One process at a time works in its folder. With `storage`, others share the study from folders
    of their own: each asks for trials and tells theirs, and has the results of all.

    `ask` gives a configuration, `tell` takes its figures. A result is on disk before the sampler
    hears of it, so a study that was interrupted goes on with `Study.open`, and trials without a
    result are asked for again. `sparrow trials` and `sparrow report` read its folder as any other.

    Attributes:
        folder: the study's folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: StudySettings | None,
        tracking: Tracking,
        storage: str | None = None,
    ) -> None:
        """A new study with `settings`, or the one in `folder`; use `create` and `open`."""
        self.folder = folder
        with contextlib.ExitStack() as opened:
            opened.enter_context(tracking)
            self._study = opened.enter_context(
                open_study(folder, settings, tracking.on_end, storage)
            )
            self._open = opened.pop_all()
        settings = self._study.settings
        self._reported = Reported(
            settings.figures,
            pick_device(settings.resources.device),
            self._study.stages / SPEEDS,
        )
        self._began: dict[int, float] = {}

    @classmethod
    def create(
        cls,
        folder: Path | str,
        space: Space | str | Path,
        objectives: Sequence[FigureName] = DEFAULT,
        on_end: OnEnd | None = None,
        plugins: Sequence[Path | str] = (),
        **options: Any,
    ) -> Self:
        """Begin a study.

        Args:
            folder: must be new or empty.
            space: a space, the name of one that ships, or a TOML file.
            objectives: the figures that the front is over, the most important first.
            on_end: called with each trial that ends, and what is left of the budget.
            plugins: as in `launch.search`.
            **options: of those of `launch.search`: `trials`, `minutes`, `hours`, `device_hours`,
                `constraints`, `sampler`, `seed`, `papers`, `track`, `storage` and `study_name`, the
                database in which processes share a study, and its name there, and `device`, where
                speeds that are not reported are measured.

        Raises:
            SettingsError: there is no such option, or its value is invalid.
            SpaceError, PluginError: the space or a plugin cannot be used.
            StudyError: the folder holds a study.
        """
        load_plugins(plugins)
        for name in options:
            if name not in OPTIONS:
                raise SettingsError(
                    f"{name}: a study of a trainer of one's own has no such option"
                    f"{closest(name, OPTIONS)}"
                )
        asked = SearchSettings.of(objectives=tuple(objectives), **options)
        pick_device(asked.resources.device)
        lock_folder()
        folder = given_path("folder", folder)
        check_new(folder)
        space = space if isinstance(space, Space) else load_space(space)
        # Detectors of all trials are measured in the same form.
        space = with_form(space, asked.resources.device)
        tracking = Tracking(asked.tracking.track, folder, on_end)
        return cls(folder, settings_of(asked, plugins=load_plugins(), space=space.dump()), tracking)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        trials: int | None = None,
        on_end: OnEnd | None = None,
        track: TrackerName | None = None,
        storage: str | None = None,
    ) -> Self:
        """Go on with a study.

        Args:
            trials: how many trials there shall be in all, if that changes.
            on_end: see `create`.
            track: where its trials are logged from now on; also those that were not logged before.
            storage: the database of a shared study; by default that of `SPARROW_STORAGE`.

        Raises:
            StudyError: there is no study, another process works on it, or Sparrow runs its trials.
            SettingsError: it holds more trials already, or `track` names no tracker that can be
                used.
        """
        folder = given_path("folder", folder)
        settings = changed(read_settings(folder), **({} if track is None else {"track": track}))
        if not settings.is_asked:
            raise StudyError(f"{folder}: Sparrow runs the trials of this study; resume it instead")
        study = cls(folder, None, Tracking(settings.tracking.track, folder, on_end), storage)
        if trials is not None:
            with contextlib.ExitStack() as failing:
                failing.callback(study.close)
                check_more(study._study, trials)
                study._study.extend(trials)
                failing.pop_all()
        return study

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The trials that were asked for, with their results."""
        return self._study.records

    def ask(self) -> AskedTrial | None:
        """The next trial to run; None if the budget is spent or the space has nothing new, and
        with `waits`, only for now.

        The first is the space's baseline; then come some of the papers' systems, unless `papers` is
        False; then the sampler draws. Several trials may be asked for before the first is told.

        Raises:
            SearchStopped: the latest trials all failed for the same reason.
        """
        record = self._study.propose()
        if record is None:
            if self._study.stopped_by:
                raise SearchStopped(
                    f"the latest trials all failed: {self._study.stopped_by.rstrip('.')}; mend "
                    f"the cause, then go on with launch.Study.open({str(self.folder)!r})"
                )
            return None
        folder = self._study.trial_folder(record)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TRIAL, record.config.started().model_dump_json(indent=1))
        self._began[record.number] = time.monotonic()
        return AskedTrial(record.number, record.config, record.params, folder)

    @property
    def waits(self) -> bool:
        """Whether there is nothing to ask for only until other trials end: those of other
        processes may have to be taken over, if these fall silent."""
        return self._study.waits

    def tell(
        self,
        trial: AskedTrial | int,
        figures: Mapping[str, float] | None = None,
        *,
        failed: str | None = None,
    ) -> None:
        """Report how a trial ended.

        Args:
            trial: the trial, or its number.
            figures: by name, such as `{"ap_small": 0.31, "fps": 80.0}`; see `launch.figures`. All
                objectives are needed but for costs, which Sparrow counts and measures on the
                untrained detector where they are not reported.
            failed: why it has no figures; the sampler then avoids such designs.

        Raises:
            InputError: no such trial, or one that has ended; or a figure is unknown, missing, or
                has an impossible value.
            RuntimeUnavailable: a speed is to be measured in a runtime that is not installed.
        """
        record = self._running(trial)
        began = self._began.get(record.number)
        seconds = 0.0 if began is None else time.monotonic() - began
        if (figures is None) == (failed is None):
            raise InputError(
                f"trial {record.number}: give either its figures, or why it has none (failed='...')"
            )
        if figures is None:
            self._study.end(record.number, Failure(failed or "no reason given", "design", seconds))
            return
        try:
            result = self._reported.result(record.config, figures, seconds)
        except InputError as error:
            raise InputError(f"trial {record.number}: {error}") from None
        folder = self._study.trial_folder(record)
        write_atomically(folder / RESULT, result.model_dump_json(indent=1))
        self._study.end(record.number, result)

    def front(self) -> Front:
        """The front of the trials so far; the report is written into the study's folder."""
        return report(self.folder)

    def close(self) -> None:
        """Let other processes open the study, once its last trials are logged where they are
        tracked."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _running(self, trial: AskedTrial | int) -> TrialRecord:
        number = trial.number if isinstance(trial, AskedTrial) else trial
        record = next((r for r in self.records if r.number == number), None)
        if record is None:
            raise InputError(f"trial {number}: it was not asked for; tell a trial that ask() gave")
        if record.state != "running":
            raise InputError(
                f"trial {number} was told already, and is {record.state}; ask() gives another one"
            )
        return record
