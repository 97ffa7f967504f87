"""One attempt at a trial of a study, with every way it can end as a value."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from detectors.runtimes import RuntimeUnavailable
from detectors.train import TrainingFailed
from launch.meter import Meter
from launch.teachers import LoadTeacher, load_teacher
from launch.trial import OnEpoch, TrialData, TrialError, TrialResult, run_trial
from launch.watch import Ended, Watch
from searchspace import TrialConfig


@dataclass(frozen=True)
class Failure:
    """Why a trial came to no result.

    Attributes:
        reason: for the report.
        lasting: the configuration itself is to blame, so the sampler shall learn from it.
        seconds: wall time that it took.
    """

    reason: str
    lasting: bool
    seconds: float = 0.0


def attempt(
    config: TrialConfig,
    data: TrialData,
    folder: Path,
    device: str | None,
    stages: Path | None = None,
    load_teacher: LoadTeacher = load_teacher,
    meter: Meter | None = None,
    on_epoch: OnEpoch | None = None,
    watch: Watch | None = None,
    run: Callable[..., TrialResult] = run_trial,
) -> TrialResult | Failure | Ended:
    """Run a trial, or go on with it; whatever goes wrong in it does not end the search.

    Arguments are those of `run_trial`, but for `watch`. Where that ends the trial, `Ended` comes
    back: it knows why.
    """
    start = time.monotonic()
    try:
        return run(
            config,
            data,
            folder,
            device=device,
            on_epoch=on_epoch,
            stages=stages,
            load_teacher=load_teacher,
            meter=meter,
            **_callbacks(watch),
        )
    except Ended as ended:
        return ended
    except (TrialError, TrainingFailed, RuntimeUnavailable) as error:
        reason, lasting = str(error), True
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason, lasting = f"out of memory: {error}", True
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        reason, lasting = f"{type(error).__name__}: {error} ({place})", False
    return Failure(reason, lasting, time.monotonic() - start)


def _callbacks(watch: Watch | None) -> dict[str, Any]:
    if watch is None:
        return {}
    return {"on_predicted": watch.predicted, "rungs": watch.rungs, "on_rung": watch.reached}
