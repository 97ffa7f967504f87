"""The serial driver: a study in one process, without Ray."""

from __future__ import annotations

from launch.attempt import attempt
from launch.study import Study
from launch.trial import TrialData


def run_locally(study: Study, data: TrialData) -> None:
    """Run trial after trial until the study proposes no more."""
    while (record := study.propose()) is not None:
        folder = study.trial_folder(record)
        device = study.settings.device
        study.end(record.number, attempt(record.config, data, folder, device, study.stages))
