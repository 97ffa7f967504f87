from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from compress import Plan, plan_pruning, prune, read_plan, replay
from detectors.detector import Detector
from tests.compress.systems import built, by_l2, difference, widths

ROOT = "backbone.layer7.1.0"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return built("ssdmnetv1", width=0.25)


@pytest.fixture(scope="module")
def plan(detector: Detector) -> Plan:
    return plan_pruning(detector, by_l2(ratio=0.4, scope="layer"))


def changed(plan: Plan, **fields: object) -> Plan:
    return plan.model_copy(update=fields)


def test_a_plan_read_again_and_replayed_on_a_copy_is_the_pruning(
    detector: Detector, plan: Plan, tmp_path: Path
) -> None:
    pruned, fresh = copy.deepcopy(detector), copy.deepcopy(detector)
    assert prune(pruned, by_l2(ratio=0.4, scope="layer")) == plan
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    again = read_plan(tmp_path / "plan.json")
    assert again == plan
    replay(fresh, again)
    state = fresh.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in pruned.state_dict().items())
    assert difference(fresh, pruned) == 0


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (
            {"backbone.layer99.0": (0,)},
            r"removed\.backbone\.layer99\.0.*no such prunable convolution",
        ),
        ({"head.boxes.0": (0,)}, r"removed\.head\.boxes\.0.*the predictions"),
        ({ROOT: (0, 5_000)}, rf"removed\.{ROOT}: give channels 0 to 127, each once"),
        ({ROOT: (3, 3)}, rf"removed\.{ROOT}: give channels 0 to 127, each once"),
        ({ROOT: tuple(range(128))}, rf"removed\.{ROOT} would remove all of its 128 channels"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(
    detector: Detector, plan: Plan, removed: dict, message: str
) -> None:
    tried = copy.deepcopy(detector)
    with pytest.raises(ValueError, match=message):
        replay(tried, changed(plan, removed={**plan.removed, **removed}))
    assert widths(tried) == widths(detector)


def test_a_plan_of_another_architecture_is_refused(detector: Detector, plan: Plan) -> None:
    with pytest.raises(ValueError, match=r"plan\.\w+\.backbone\S+.*another detector"):
        replay(built("ssdmnetv1", width=0.375), plan)
    with pytest.raises(ValueError, match=r"plan\.removed\.backbone\S+.*another detector"):
        replay(built("mfssd_bn"), plan)


def test_a_plan_is_replayed_once(detector: Detector, plan: Plan) -> None:
    tried = copy.deepcopy(detector)
    replay(tried, plan)
    with pytest.raises(ValueError, match=r"channels\.backbone\S+ is .* has been replayed already"):
        replay(tried, plan)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "line 1 column 2: the JSON is cut off"),
        ('{"removed": {}}', "channels"),
        ('{"removed": {"a": ["x"]}, "channels": {}, "unprunable": {}}', r"removed\.a\.0"),
    ],
)
def test_a_damaged_plan_names_file_and_field(text: str, field: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"plan\.json: {field}"):
        read_plan(file)


def test_a_missing_plan_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"plan\.json: cannot be read \(No such file"):
        read_plan(tmp_path / "plan.json")
