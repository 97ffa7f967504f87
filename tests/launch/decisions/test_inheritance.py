"""Who inherits from whom, and what a training that inherits starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FixedTrial

from detectors.detector import Detector
from launch.decisions.halving import Halving
from launch.decisions.inheritance import descend, distance, nearest
from launch.records import TrialRecord
from launch.report import write_report
from launch.study.settings import StudySettings
from launch.study.study import open_study
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from searchspace import Space, TrialConfig, papers
from searchspace.backbones import MobileNetV1
from tests.launch.decisions.test_pruning_ladder import pruned
from tests.launch.made_up import result
from tests.launch.report.studies import outcome
from tests.launch.study.test_study import settings

__all__ = ["settings"]


def trained(
    number: int,
    config: TrialConfig,
    ap_small: float | None = 0.1,
    key: str | None = "",
    **fields: Any,
) -> TrialRecord:
    ended = TrialResult(
        config=config, dense=outcome(ap_small, 50), compact=None, removed_share=0, seconds=1,
        trained=f"train-{number}" if key == "" else key,
    )  # fmt: skip
    return TrialRecord(
        **{"number": number, "folder": "", "origin": "sampler", "params": {}, "config": config,
           "state": "finished", "result": ended, **fields}
    )  # fmt: skip


def changed(config: TrialConfig, part: str, **fields: Any) -> TrialConfig:
    """With other values of fields of `detector` or `train`."""
    values = dict(getattr(config, part)) | fields
    return TrialConfig(**(dict(config) | {part: type(getattr(config, part))(**values)}))


@pytest.fixture
def base(tiny: TrialConfig) -> TrialConfig:
    return changed(tiny, "train", epochs=9)


def test_a_distance_counts_fields_that_differ(base: TrialConfig) -> None:
    a = base.detector
    assert distance(a, a) == 0
    assert distance(a, changed(base, "detector", input_size=96).detector) == 1
    strided = changed(base, "detector", backbone=MobileNetV1(eliminated_strides=(6,))).detector
    # Nothing at the tuple's first place against a number there.
    assert distance(a, strided) == distance(strided, a) == 1


def test_the_nearest_relative_is_of_the_same_kind_and_width(base: TrialConfig) -> None:
    far = changed(base, "detector", input_size=96, backbone=MobileNetV1(eliminated_strides=(6,)))
    near = changed(base, "detector", input_size=96)
    wide = changed(base, "detector", width=0.5)
    records = [trained(0, far, 0.9), trained(1, near), trained(2, wide)]
    assert nearest(base.detector, records).number == 1
    assert nearest(base.detector, records[:1]).number == 0
    assert nearest(base.detector, records[2:]) is None
    vgg = papers["ssd300_vgg16"].trial
    assert vgg.detector.width == 1
    assert nearest(changed(base, "detector", width=1.0).detector, [trained(3, vgg)]) is None
    # Of equally near ones, the best; of equally good ones, the first.
    equal = [*records, trained(4, near, 0.3), trained(5, near, 0.3)]
    assert nearest(base.detector, equal).number == 4


def test_only_finished_trainings_have_heirs(base: TrialConfig) -> None:
    assert nearest(base.detector, [trained(0, base, state="running", result=None)]) is None
    assert nearest(base.detector, [trained(0, base, ap_small=None)]) is None
    assert nearest(base.detector, [trained(0, base, key=None)]) is None


def test_an_heir_has_its_whole_cause_in_its_configuration(base: TrialConfig) -> None:
    drawn = changed(base, "detector", input_size=96)
    records = [trained(0, base)]
    heir, parent = descend(drawn, records, {0: base})
    assert parent == 0
    assert (heir.train.inherit, heir.train.epochs) == ("train-0", 4)
    assert changed(heir, "train", inherit=None, epochs=9) == drawn
    assert descend(drawn, [], {}) == (drawn, None)


def test_trials_that_differ_behind_the_training_share_it(base: TrialConfig) -> None:
    drawn = changed(base, "detector", input_size=96)
    heir, _ = descend(drawn, [trained(0, base)], {0: base})
    records = [trained(0, base), trained(1, drawn, state="running", result=None, parent=0)]
    configs = {0: base, 1: heir}
    rung = TrialConfig(**(dict(drawn) | {"compress": {"pruning": {"kind": "importance"}}}))
    again, parent = descend(rung, records, configs)
    assert (again.train, parent) == (heir.train, 0)
    assert again.compress == rung.compress
    # So does one that differs from the trial without a parent.
    slim = pruned(base, 0.5, sparsity=0)
    assert descend(slim, records, configs) == (slim, None)


# ---- in a study


def test_a_study_lets_what_the_sampler_draws_inherit(
    settings: StudySettings, tmp_path: Path
) -> None:
    update = {"inherit": True, "trials": 8, "ladder": (0.3, 0.5)}
    halving = Halving((1,))
    with open_study(tmp_path, settings.model_copy(update=update | {"halving": halving})) as study:
        while (record := study.propose()) is not None:
            ended = result(record, ap_small=0.3 - record.number / 100)
            ended = ended.model_copy(update={"trained": f"train-{record.number}"})
            study.end(record.number, ended)
        records = study.records
        # They had their parents' epochs, too.
        assert all(study.rungs(record) == () for record in records if record.parent is not None)
    assert {r.origin for r in records[:2]} == {"baseline", "paper"}
    assert [r.parent for r in records[:2]] == [None, None]
    rungs = [r for r in records if r.origin == "ladder"]
    # They are trained as the baseline was.
    assert [(r.parent, r.config.train.inherit) for r in rungs] == [(None, None)] * len(rungs) != []
    heirs = [r for r in records if r.parent is not None]
    assert heirs
    assert all(r.config.train.inherit == f"train-{r.parent}" for r in heirs)
    drawn = [study.space.suggest(FixedTrial(r.params)) for r in records]
    assert len({config.digest() for config in drawn}) == 8
    write_report(tmp_path, records, title="t", facts={})
    assert f"from trial {heirs[0].parent}" in (tmp_path / "report.html").read_text()


# ---- in a training


def test_a_training_starts_from_what_it_inherits(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Detector] = []

    def fit(detector: Detector, *args: object, **kwargs: object) -> None:
        started.append(Detector(detector.config))
        started[-1].load_state_dict(detector.state_dict())
        with torch.no_grad():
            for weight in detector.parameters():
                weight += 1

    monkeypatch.setattr("launch.trial.stages.fit", fit)
    first = run_trial(tiny, shapes, tmp_path / "0", "cpu", stages=tmp_path / "stages")
    strided = changed(tiny, "detector", backbone=MobileNetV1(eliminated_strides=(6,)))
    heir = changed(changed(strided, "train", inherit=first.trained), "train", learning_rate=1e-5)
    second = run_trial(heir, shapes, tmp_path / "1", "cpu", stages=tmp_path / "stages")
    assert second.trained != first.trained
    parent, child = (dict(d.named_parameters()) for d in started)
    shared = {name for name in parent.keys() & child.keys() if name.startswith("backbone.")}
    assert len(shared) > 50
    assert all(torch.equal(child[name], parent[name] + 1) for name in shared)


def test_what_is_not_there_cannot_be_inherited(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    heir = changed(tiny, "train", inherit="train-0123456789abcdef")
    with pytest.raises(TrialError, match=r"train\.inherit train-0123456789abcdef: there is no"):
        run_trial(heir, shapes, tmp_path, "cpu")


def test_no_space_draws_inheritance(space: Space, tiny: TrialConfig) -> None:
    ours = space.nearest(tiny)
    assert space.holds(ours)
    assert not space.holds(changed(ours, "train", inherit="train-0"))
