"""Who inherits from whom, and what a training that inherits starts from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FixedTrial

from detectors.detector import Detector
from detectors.training.shared_tensors import SharedWeights
from launch.decisions.halving import Halving
from launch.decisions.inheritance import Ancestry, Design
from launch.records import SHARED, Finished, TrialRecord
from launch.report import write_report
from launch.study.opening import open_study
from launch.study.settings import StudySettings
from launch.trial.ancestor import ancestor_beside
from launch.trial.data import TrialData, TrialError
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from launch.trial.shared_scores import SharedTensors
from searchspace import DetectorConfig, Space, TrialConfig, papers
from searchspace.backbones import MobileNetV1
from tests.launch.decisions.test_pruning_ladder import pruned
from tests.launch.made_up import altered, result
from tests.launch.report.studies import outcome
from tests.launch.study.test_study import settings

__all__ = ["settings"]


def trained(
    number: int,
    config: TrialConfig,
    ap_small: float | None = 0.1,
    **fields: Any,
) -> TrialRecord:
    ended = TrialResult(
        config=config, dense=outcome(ap_small, 50), compact=None, removed_share=0, seconds=1,
        predicted=outcome(ap_small, 50).cost, trained=f"train-{number}",
    )  # fmt: skip
    return TrialRecord(
        **{"number": number, "folder": "", "origin": "sampler", "params": {}, "config": config,
           "ending": Finished(result=ended), **fields}
    )  # fmt: skip


def changed(config: TrialConfig, part: str, **fields: Any) -> TrialConfig:
    """With other values of fields of `detector` or `train`."""
    values = dict(getattr(config, part)) | fields
    return TrialConfig(**(dict(config) | {part: type(getattr(config, part))(**values)}))


def distance(a: DetectorConfig, b: DetectorConfig) -> int:
    return Design.of(a).distance(Design.of(b))


def nearest(detector: DetectorConfig, records: Sequence[TrialRecord]) -> int | None:
    return Ancestry.of(records).nearest(detector)


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


def test_the_parent_is_of_the_same_kind_and_width(base: TrialConfig) -> None:
    far = changed(base, "detector", input_size=96, backbone=MobileNetV1(eliminated_strides=(6,)))
    near = changed(base, "detector", input_size=96)
    wide = changed(base, "detector", width=0.5)
    records = [trained(0, far, 0.9), trained(1, near), trained(2, wide)]
    assert nearest(base.detector, records) == 1
    assert nearest(base.detector, records[:1]) == 0
    assert nearest(base.detector, records[2:]) is None
    vgg = papers["ssd300_vgg16"].trial
    assert vgg.detector.width == 1
    assert nearest(changed(base, "detector", width=1.0).detector, [trained(3, vgg)]) is None
    # Of equally near ones, the best; of equally good ones, the first.
    equal = [*records, trained(4, near, 0.3), trained(5, near, 0.3)]
    assert nearest(base.detector, equal) == 4


def test_only_finished_trainings_can_be_inherited(base: TrialConfig) -> None:
    assert nearest(base.detector, [trained(0, base, ending=None)]) is None
    assert nearest(base.detector, [trained(0, base, ap_small=None)]) is None


def test_with_inherited_weights_half_the_epochs_are_trained(base: TrialConfig) -> None:
    drawn = changed(base, "detector", input_size=96)
    heir, parent = Ancestry.of([trained(0, base)]).descend(drawn)
    assert (parent, heir.train.epochs) == (0, 4)
    assert changed(heir, "train", epochs=9) == drawn
    assert Ancestry.of([]).descend(drawn) == (drawn, None)


def test_a_design_starts_from_its_slices_of_shared_weights_before_another_trials(
    base: TrialConfig,
) -> None:
    drawn = changed(base, "detector", input_size=96)
    tensors = SharedWeights.of([drawn.detector], lambda config: Detector(config))
    wider = changed(base, "detector", width=2 * base.detector.width)
    ancestry = Ancestry.of([trained(0, base), trained(1, wider)])
    ancestry.share(SharedTensors(stage="shared-1", shapes=tensors.shapes))
    assert ancestry.descend(drawn)[1] == SHARED
    # What has no slices there inherits as it does without shared weights.
    assert ancestry.descend(changed(wider, "detector", input_size=96))[1] == 1


def test_trials_that_differ_only_after_the_training_share_it(base: TrialConfig) -> None:
    drawn = changed(base, "detector", input_size=96)
    heir, _ = Ancestry.of([trained(0, base)]).descend(drawn)
    records = [trained(0, base), trained(1, heir, ending=None, parent=0, drawn=drawn)]
    rung = TrialConfig(**(dict(drawn) | {"compress": {"pruning": {"kind": "importance"}}}))
    again, parent = Ancestry.of(records).descend(rung)
    assert (again.train, parent) == (heir.train, 0)
    assert again.compress == rung.compress
    # So does one that differs from the trial without a parent.
    slim = pruned(base, 0.5, sparsity=0)
    assert Ancestry.of(records).descend(slim) == (slim, None)


# ---- in a study


def test_a_study_lets_what_the_sampler_draws_inherit(
    settings: StudySettings, tmp_path: Path
) -> None:
    longer = Space.restore(settings.space).fix("train.epochs", 4).dump()
    update = {"inherit": True, "trials": 8, "ladder": (0.3, 0.5), "space": longer}
    halving = Halving(budgets=(1,))
    with open_study(tmp_path, altered(settings, **update, early_stopping=halving)) as study:
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
    assert [(r.parent, r.drawn) for r in rungs] == [(None, None)] * len(rungs) != []
    heirs = [r for r in records if r.parent is not None]
    assert heirs
    detectors = [tmp_path / "stages" / f"train-{r.parent}" / "detector" for r in heirs]
    assert [study.ancestor(r) for r in heirs] == detectors
    assert all(r.drawn.train.epochs == 2 * r.config.train.epochs for r in heirs)
    drawn = [study.space.suggest(FixedTrial(r.params)) for r in records]
    assert [r.as_drawn for r in records] == drawn
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
    run_trial(tiny, shapes, tmp_path / "0", "cpu", stages=tmp_path / "stages")
    strided = changed(tiny, "detector", backbone=MobileNetV1(eliminated_strides=(6,)))
    heir = changed(strided, "train", learning_rate=1e-5)
    given = {"stages": tmp_path / "stages", "ancestor": tmp_path / "0" / "dense"}
    second = run_trial(heir, shapes, tmp_path / "1", "cpu", **given)
    assert second.ancestor.folder == tmp_path / "0" / "dense"
    parent, child = (dict(d.named_parameters()) for d in started)
    shared = {name for name in parent.keys() & child.keys() if name.startswith("backbone.")}
    assert len(shared) > 50
    assert all(torch.equal(child[name], parent[name] + 1) for name in shared)


def test_what_is_not_there_cannot_be_inherited(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    with pytest.raises(TrialError, match=r"ancestor .*gone: .*folder of a saved detector"):
        run_trial(tiny, shapes, tmp_path / "trial", "cpu", ancestor=tmp_path / "gone")
    assert not (tmp_path / "trial").exists()


def saved(config: TrialConfig, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    return Detector(config.detector).save(folder)


@pytest.mark.slow
def test_an_ancestor_is_identified_by_content_not_by_path(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.trial.stages.fit", lambda *args, **kwargs: None)
    here, there, other = (saved(tiny, tmp_path / n, s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    stages = tmp_path / "stages"
    first, again, another, alone = (
        run_trial(tiny, shapes, tmp_path / str(n), "cpu", stages=stages, ancestor=ancestor)
        for n, ancestor in enumerate((here, there, other, None))
    )
    assert first.trained == again.trained
    assert len({first.trained, another.trained, alone.trained}) == 3
    # What the cause of a trial is does not change with the ancestor, but its folder is its own.
    assert first.config == alone.config == tiny
    with pytest.raises(TrialError, match="holds another trial"):
        run_trial(tiny, shapes, tmp_path / "0", "cpu", stages=stages, ancestor=other)
    with pytest.raises(TrialError, match="holds another trial"):
        run_trial(tiny, shapes, tmp_path / "0", "cpu", stages=stages)
    assert run_trial(tiny, shapes, tmp_path / "0", "cpu", stages=stages, ancestor=there) == first


def test_a_trials_file_knows_its_ancestor_where_that_still_is(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.trial.stages.fit", lambda *args, **kwargs: None)
    ancestor = saved(tiny, tmp_path / "a", 0)
    run_trial(tiny, shapes, tmp_path / "0", "cpu", ancestor=ancestor)
    file = tmp_path / "0" / "trial.json"
    assert ancestor_beside(file) == ancestor
    copied = tmp_path / "elsewhere" / "trial.json"
    copied.parent.mkdir()
    shutil.copy(file, copied)
    assert ancestor_beside(copied) is None
    shutil.rmtree(ancestor)
    with pytest.raises(TrialError, match=r"which is missing: restore it, give .* --ancestor"):
        ancestor_beside(file)
    saved(tiny, ancestor, 1)
    with pytest.raises(TrialError, match="are not those that its training started from"):
        ancestor_beside(file)
