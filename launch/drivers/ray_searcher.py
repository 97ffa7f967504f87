"""The mapping between Ray Tune's trials and a study's, and the answers to waiting trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from detectors.evaluate import Metrics
from detectors.timing.cost import Cost
from launch.drivers.deadlines import Limits, limits
from launch.drivers.driver import next_trial
from launch.drivers.ray_answers import Answers
from launch.drivers.ray_worker import END, GO_ON
from launch.files import RAY_LOG, RESULT
from launch.study.failures import Failure
from launch.study.study import Study
from launch.trial.copies import fetch_trial, portable
from launch.trial.result import TrialResult, read_result

RETRIES = 2
"""How often a trial is restarted after its process or node was lost."""


class StudySearcher(Searcher):
    """Passes the study's proposals to Tune, and Tune's endings to the study.

    Its only state is the mapping between Tune's trials and the study's, which may be lost.

    Args:
        most: how many trials may run at once; None for as many as Tune finds room for.

    Attributes:
        answers: passes answers on to the trials.
        overruns: by Tune's trial id, why its process was ended.
    """

    def __init__(self, study: Study, answers: Answers, most: int | None = None) -> None:
        super().__init__()
        self._study, self._most = study, most
        self.answers = answers
        self._numbers: dict[str, int] = {}
        self.overruns: Mapping[str, Failure] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher; the study with its locks and callbacks is left out."""
        return {}

    def number(self, trial_id: str) -> int | None:
        """The study's number of a Tune trial; None if the study has ended it."""
        return self._numbers.get(trial_id)

    def limits(self, number: int) -> Limits:
        """The current limits of a trial."""
        study = self._study
        return limits(study.record(number), study.longest, study.settings.budget.trial_timeout)

    # pyrefly: ignore[bad-override] (Ray takes `FINISHED`, which is a text, but does not say so)
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._most is not None and len(self._numbers) >= self._most:
            return None
        # Tune does not bear to wait without any trial.
        record = self._study.propose() if self._numbers else next_trial(self._study)
        if record is None:
            return None if self._study.waits else Searcher.FINISHED
        self._numbers[trial_id] = record.number
        folder = self._study.trial_folder(record)
        ancestor = self._study.ancestor(record)
        return {
            "config": record.config.model_dump_json(),
            "folder": portable(folder),
            "rungs": self._study.rungs(record),
            "stages": portable(self._study.stages),
            "ancestor": ancestor and portable(ancestor),
            "detectors": {n: portable(p) for n, p in self._study.detectors(record).items()},
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Answer a trial that asks whether it continues.

        Tune's own way to stop a trial would leave its thread asleep, holding its locks, until
        another trial needs the process.
        """
        if "question" not in result:
            return
        goes_on = trial_id in self._numbers and self._judge(self._numbers[trial_id], result)
        if not goes_on:
            self._numbers.pop(trial_id, None)
        self.answers.give(result["question"], GO_ON if goes_on else END)

    def _judge(self, number: int, result: dict[str, Any]) -> bool:
        seconds = result["seconds"]
        if "rung" in result:
            metrics = Metrics.model_validate_json(result["metrics"])
            return self._study.note_rung(number, result["rung"], metrics, seconds)
        return self._study.note_prediction(
            number, Cost.model_validate_json(result["predicted"]), seconds
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return  # the study has ended it
        folder = self._study.trial_folder(self._study.record(number))
        fetch_trial(folder)
        if error and trial_id in self.overruns:
            self._study.end(number, self.overruns[trial_id])
        elif error:
            why = f"its process was lost {RETRIES + 1} times; see {self._study.folder / RAY_LOG}"
            self._study.end(number, Failure(why, "passing"))
        elif result and "failed" in result:
            failure = Failure(result["failed"], result["blame"], result["seconds"])
            self._study.end(number, failure)
        elif result and "finished" in result:
            self._study.end(number, _outcome(folder / RESULT))
        # Otherwise the search was interrupted: the trial stays unfinished in the journal.

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a study is resumed from its folder, not from Tune's")


def _outcome(file: Path) -> TrialResult | Failure:
    """The outcome that a worker wrote to a file."""
    try:
        return read_result(file)
    except (OSError, ValueError) as error:
        return Failure(f"its result cannot be read: {error}", "passing")
