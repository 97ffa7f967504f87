"""One attempt at a trial of a study; every possible ending is a returned value."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from detectors.files import is_away
from detectors.patience import patiently
from detectors.remote import RemoteError
from detectors.training.notice import NOTICE
from launch.drivers.kernel_kills import noticing_kills
from launch.drivers.watch import Ended, Watch
from launch.files import TRACEBACK
from launch.records import TrialRecord
from launch.study.failures import Failure, failure_of
from launch.study.study import Study
from launch.trial.copies import bring, kept
from launch.trial.data import TrialData
from launch.trial.log import TrialLog, keep_traceback, trial_log
from launch.trial.result import TrialResult
from launch.trial.run import TrialOptions, run_trial
from launch.trial.teachers import teachers_in
from launch.trial.training import OnEpoch
from searchspace import TrialConfig
from searchspace.errors import first_line


def attempt(
    config: TrialConfig,
    data: TrialData,
    folder: Path,
    device: str | None,
    on_epoch: OnEpoch | None = None,
    watch: Watch | None = None,
    run: Callable[..., TrialResult] = run_trial,
    **given: Unpack[TrialOptions],
) -> TrialResult | Failure | Ended:
    """Run or resume a trial; no error in it ends the search.

    The trial's folder keeps a `log.txt`, and the `traceback.txt` of an attempt that failed until a
    later one succeeds. If its storage has gone, the trial waits for it, for two minutes, and goes
    on from its last checkpoint. In a study at an address, all of it is there when this returns.

    Args:
        watch: if it ends the trial, `Ended` is returned: the watch knows why.
        given: further arguments of `run_trial`.
    """
    start = time.monotonic()
    try:
        with NOTICE.held(), kept(folder):
            return _attempt(config, data, folder, on_epoch, watch, run, **given, device=device)
    except RemoteError as error:
        return Failure(str(error), "surroundings", time.monotonic() - start)


def _attempt(
    config: TrialConfig,
    data: TrialData,
    folder: Path,
    on_epoch: OnEpoch | None,
    watch: Watch | None,
    run: Callable[..., TrialResult],
    **given: Any,
) -> TrialResult | Failure | Ended:
    start = time.monotonic()

    def once() -> TrialResult:
        with trial_log(folder) as log:
            return run(
                config,
                data,
                folder,
                on_epoch=_noted(log, on_epoch),
                **given,
                **_callbacks(watch),
            )

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with noticing_kills(config, folder):
            result = _while_away(once, folder)
        (folder / TRACEBACK).unlink(missing_ok=True)
        return result
    except Ended as ended:
        return ended
    except Exception as error:
        return failure_in(error, data, folder, time.monotonic() - start)


def _while_away(run: Callable[[], TrialResult], folder: Path) -> TrialResult:
    """Run a trial, again with growing pauses while the storage of its folder has gone."""

    def once() -> TrialResult:
        if not os.path.isdir(folder):
            # Otherwise its folders would be made where the remote is not.
            raise FileNotFoundError(errno.ENOENT, "it has gone", str(folder))
        return run()

    def passing(error: Exception) -> str | None:
        gone = not isinstance(error, Ended) and is_away(error, folder)
        return first_line(error) if gone else None

    return patiently(once, passing, folder)


def failure_in(error: Exception, data: TrialData, folder: Path, seconds: float) -> Failure:
    """Why a trial fails that an error ends; the trial's folder keeps its traceback."""
    if os.path.isdir(folder):
        keep_traceback(error, folder)
    if gone := _gone_image(error, data):
        return Failure(f"{gone} is missing: restore the data", "surroundings", seconds)
    return failure_of(error, folder, seconds)


def given_to(study: Study, record: TrialRecord) -> TrialOptions:
    """The options of an attempt at a trial, besides its configuration and folder."""
    ancestor, detectors = study.ancestor(record), study.detectors(record)
    return TrialOptions(
        stages=study.stages.resolve(),
        load_teacher=teachers_in({name: bring(p) for name, p in detectors.items()}),
        weights=study.settings.start.weights,
        ancestor=ancestor and bring(ancestor).resolve(),
    )


def _noted(log: TrialLog, on_epoch: OnEpoch | None) -> OnEpoch:
    """`on_epoch`, preceded by logging the epoch's losses."""

    def note(stage: str, epoch: int, losses: dict[str, float]) -> None:
        log.note_epoch(stage, epoch, losses)
        if on_epoch:
            on_epoch(stage, epoch, losses)

    return note


def _gone_image(error: Exception, data: TrialData) -> Path | None:
    """The image that existed when the data were read and whose absence caused the error."""
    if not isinstance(error, FileNotFoundError) or error.filename is None:
        return None
    file = Path(os.fsdecode(error.filename))
    images = (record.path for split in (data.train, data.val) for record in split.images)
    return file if file in images else None


def _callbacks(watch: Watch | None) -> dict[str, Any]:
    if watch is None:
        return {}
    return {"on_predicted": watch.predicted, "rungs": watch.rungs, "on_rung": watch.reached}
