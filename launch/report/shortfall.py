"""Why a search began fewer trials than it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from launch.decisions.budget import Budget, Spent, is_spent, likely_most
from launch.records import TrialRecord
from launch.report.words import show_seconds
from launch.study.settings import StudySettings


def shortfall(settings: StudySettings, records: Sequence[TrialRecord]) -> str:
    """A sentence on why there are fewer trials than were asked for; empty where there are as many,
    or where the trials were given one by one."""
    asked = settings.budget.trials
    if settings.is_given or len(records) >= asked:
        return ""
    begun = f"{len(records)} of the {asked} trials asked for were begun"
    if any(record.state == "running" for record in records):
        return f"{begun} so far: the search is running, or was interrupted and can be resumed."
    return f"{begun}: {_why(settings, records)}."


def _why(settings: StudySettings, records: Sequence[TrialRecord]) -> str:
    finished = [record.seconds for record in records if record.state == "finished"]
    device = sum(record.seconds for record in records)
    hours, seconds = settings.budget.device_hours, settings.budget.time_limit
    needs = f"another would probably have taken {show_seconds(likely_most(finished))}"
    spent = Spent(len(records), running=0, elapsed=0.0, device=device, finished=finished)
    if hours is not None and is_spent(Budget(settings.budget.trials, None, hours), spent):
        return f"{needs}, more than was left of {hours:.3g} device-hours"
    if seconds is not None and finished:
        return (
            f"{needs}, more than was left of the {show_seconds(seconds)} that the search might take"
        )
    if records and all(record.state == "failed" for record in records[-2:]):
        return f"the search ended after failures, the last of which is trial {records[-1].number}"
    return "the sampler found no further design that had not been tried, or the search was stopped"
