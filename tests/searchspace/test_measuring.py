from __future__ import annotations

import pytest
from pydantic import ValidationError

from searchspace import CompressConfig, TrialConfig, load_space
from searchspace.compression import Int8
from searchspace.domains import Choice, Fixed
from searchspace.measuring import MeasureConfig
from searchspace.space import Space


def test_a_precision_needs_a_runtime() -> None:
    with pytest.raises(ValidationError, match="precision bfloat16 under runtime auto: name the"):
        MeasureConfig(precision="bfloat16")
    assert MeasureConfig(runtime="openvino", precision="bfloat16").precision == "bfloat16"


@pytest.mark.parametrize(
    ("field", "value"),
    [("runtime", "onxruntime"), ("precision", "fp16"), ("batch", 0), ("seconds", 0)],
)
def test_what_cannot_be_measured_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        MeasureConfig(**{"runtime": "eager", field: value})


def test_an_unquantised_trial_is_deployed_as_it_is_measured() -> None:
    config = TrialConfig(measure=MeasureConfig(runtime="eager"))
    assert config.deployment == config.measure


def test_a_quantised_trial_is_deployed_in_eight_bits_whatever_runs_the_others() -> None:
    measure = MeasureConfig(runtime="channels_last", precision="bfloat16", threads=2)
    config = TrialConfig(measure=measure, compress=CompressConfig(quantisation=Int8()))
    assert config.deployment.model_dump() == {
        **measure.model_dump(), "runtime": "openvino", "precision": "int8"
    }  # fmt: skip


def test_a_trial_has_one_way_to_eight_bits() -> None:
    with pytest.raises(ValidationError, match=r"trial quantises by compress\.quantisation"):
        TrialConfig(measure=MeasureConfig(runtime="openvino", precision="int8"))


def test_runtime_and_precision_can_be_searched() -> None:
    runtimes = Choice("channels_last", "openvino")
    precisions = Choice("float32", "bfloat16")
    quick = load_space("quick")
    searched = {"measure.runtime": runtimes, "measure.precision": precisions}
    space = Space("own", {**quick.domains, **searched, "measure.batch": Fixed(2)})
    drawn = space.baseline()
    assert (drawn.measure.runtime, drawn.measure.precision) == ("channels_last", "float32")
    assert drawn.measure.batch == 2
    assert space.to_params(drawn)["measure.runtime"] == "channels_last"
    assert space.size() == 4 * quick.size()
