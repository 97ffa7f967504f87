from __future__ import annotations

import pytest

from launch.records import Finished, TrialRecord
from launch.report.speed import prediction_errors, speed_facts
from tests.launch.report.studies import ended, outcome, record


def measured(
    number: int, fps: float, predicted: float | None = None, **cost: object
) -> TrialRecord:
    """A finished trial with these figures of its final cost."""
    found = record(number, 0.2, fps)
    final = found.result.dense
    final = final.model_copy(update={"cost": final.cost.model_copy(update=cost)})
    result = found.result.model_copy(
        update={
            "dense": final,
            "predicted": outcome(0.1, predicted or fps).cost,
        }
    )
    return found.model_copy(update={"ending": Finished(result=result)})


def test_a_study_without_results_has_nothing_to_say() -> None:
    assert speed_facts([]) == {}
    assert speed_facts([ended(0, "running"), ended(1, "failed", reason="x")]) == {}


def test_every_form_is_named_once() -> None:
    trials = [
        measured(0, 50, runtime="openvino", precision="bfloat16"),
        measured(1, 60, runtime="openvino", precision="bfloat16"),
        measured(2, 70, runtime="onnxruntime", precision="int8", batch=8),
    ]
    assert speed_facts(trials)["Deployed as"] == (
        "openvino bfloat16, onnxruntime int8 in batches of 8, for both accuracy and speed"
    )


def test_untrusted_speeds_are_listed_with_reasons() -> None:
    sure = {"trusted": True, "doubt": None}
    assert speed_facts([measured(0, 50, **sure)])["Speeds"] == (
        "the machine was quiet enough for all of them"
    )
    trials = [measured(0, 50, **sure), *(measured(k, 50, doubt=f"noise {k}") for k in range(1, 8))]
    words = speed_facts(trials)["Speeds"]
    assert words.startswith("7 of 8 are not trusted: trial 1: noise 1; trial 2: noise 2; ")
    assert words.endswith("trial 5: noise 5; ...")


def test_predictions_are_set_beside_what_was_measured() -> None:
    trials = [
        measured(0, 100, predicted=101),
        measured(1, 100, predicted=90),
        measured(2, 100, predicted=102),
        ended(4, "failed", reason="x"),
    ]
    assert prediction_errors(trials) == {
        0: pytest.approx(0.01), 1: pytest.approx(-0.1), 2: pytest.approx(0.02)
    }  # fmt: skip
    assert speed_facts(trials)["Speed predicted before training"] == (
        "median error 2.0%, at most 10.0% over 3 trials"
    )
    assert "Speed predicted before training" not in speed_facts(trials[3:])


def test_the_images_of_detectors_with_tiles_are_declared() -> None:
    sizes = {"image_size": (1080, 1920)}
    trials = [
        measured(0, 50),
        measured(1, 9, inputs=4, **sizes),
        measured(2, 7, inputs=2.51, **sizes),
    ]
    assert speed_facts(trials)["Images per second with tiles"] == (
        "images of 1920\N{MULTIPLICATION SIGN}1080 px, in 2.51 or 4 parts"
    )
    assert "Images per second with tiles" not in speed_facts(trials[:1])
