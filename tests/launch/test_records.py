"""How trials end: one table of states, and the report of each to the sampler."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from launch.constraints import Constraint
from launch.records import (
    EARLY,
    STATES,
    UNTRAINED,
    Ending,
    Failed,
    Finished,
    Gated,
    Infeasible,
    Stopped,
    TrialRecord,
)
from launch.study.optuna_study import OptunaStudy, in_file
from searchspace import Space
from tests.launch.made_up import cost, metrics, result
from tests.launch.report.studies import record

ENDINGS = (Finished, Failed, Infeasible, Gated, Stopped)
BOUND = Constraint(figure="params", sense="max", bound=10)


def test_every_state_but_running_is_an_ending() -> None:
    assert {ending.model_fields["state"].default for ending in ENDINGS} == {*STATES} - {"running"}
    assert EARLY == ("infeasible", "gated", "stopped")
    assert UNTRAINED == ("infeasible", "gated")


@pytest.fixture
def begun(space: Space) -> TrialRecord:
    config = space.baseline()
    return record(0).model_copy(
        update={
            "config": config, "params": space.to_params(config), "ending": None, "seconds": 5,
            "predicted": cost(50, params=12), "midway": {2: metrics(0.3)},
        }
    )  # fmt: skip


def test_a_trial_ends_with_all_that_its_ending_says(begun: TrialRecord) -> None:
    stopped = begun.ended(Stopped(reason="behind", growth=1.5), seconds=20)
    assert (stopped.state, stopped.reason, stopped.seconds) == ("stopped", "behind", 25)
    assert (stopped.result, stopped.broken, stopped.lasting) == (None, (), False)
    again = stopped.promoted_from(2)
    assert (again.state, again.reason, again.promoted, again.again) == ("running", None, 2, True)
    retried = begun.ended(Failed(reason="lost"), 1).tried_again()
    assert (retried.state, retried.retries, retried.again) == ("running", 1, True)
    assert TrialRecord.model_validate_json(stopped.model_dump_json()) == stopped


@pytest.mark.parametrize(
    ("ending", "stopped_as", "state", "ap_small", "bounds"),
    [
        (None, "pruned", TrialState.RUNNING, None, []),
        (Failed(reason="r"), "pruned", TrialState.FAIL, None, []),
        (Failed(reason="r", lasting=True), "pruned", TrialState.PRUNED, None, []),
        (Infeasible(broken=("b",)), "pruned", TrialState.PRUNED, None, [0.2]),
        (Gated(reason="r"), "rescaled", TrialState.PRUNED, None, [0.2]),
        (Stopped(reason="r", growth=2.0), "pruned", TrialState.PRUNED, None, [0.2]),
        (Stopped(reason="r"), "rescaled", TrialState.PRUNED, None, [0.2]),
        (Stopped(reason="r", growth=2.0), "rescaled", TrialState.COMPLETE, 0.6, [0.2]),
        ("finished", "rescaled", TrialState.COMPLETE, 0.1, [99_999]),
    ],
)
def test_each_ending_is_reported_to_the_sampler(
    begun: TrialRecord, space: Space, tmp_path: Path, ending: Ending | str | None,
    stopped_as: Any, state: TrialState, ap_small: float | None, bounds: list[float],
) -> None:  # fmt: skip
    if ending == "finished":
        ending = Finished(result=result(begun))
    ended = begun.model_copy(update={"ending": ending})
    log = partial(in_file, tmp_path / "log")
    study = OptunaStudy(log, space, ("ap_small", "fps"), (BOUND,), [ended], stopped_as)
    [trial] = study._study.trials
    assert trial.state == state
    assert (trial.values and trial.values[0]) == pytest.approx(ap_small)
    assert list((trial.constraints or {}).values()) == pytest.approx(bounds)
