"""Which configuration determines which stage, and how often stages really run."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from compress import Plan
from detectors.detector import Detector
from detectors.evaluate import evaluate
from detectors.runtimes.deployment import deploy_as
from launch.trial.data import TrialData
from launch.trial.meter import LocalMeter
from launch.trial.result import TrialResult
from launch.trial.run import run_trial
from launch.trial.stages import Stages
from launch.trial.store import Artefact, Store
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import ImportancePruning, Slimming, Unpruned
from searchspace.distillation import ChannelWise, Logits

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def changed(config: TrialConfig, path: str, value: object) -> TrialConfig:
    """The configuration with one field, named by its path, replaced."""
    tree = config.model_dump()
    *parents, last = path.split(".")
    node = tree
    for name in parents:
        node = node[name]
    node[last] = value
    return TrialConfig.model_validate(tree)


@pytest.fixture
def slim(tiny: TrialConfig) -> TrialConfig:
    pruning = Slimming(sparsity=1e-4, ratio=0.4, finetune_epochs=1)
    return tiny.changed(compress=CompressConfig(pruning=pruning))


class Names(Store):
    """A store that notes the keys of stages and runs none."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.keys: dict[str, str] = {}

    def once(self, stage: str, inputs: Mapping[str, Any], make: object) -> Artefact:
        recorded = self.artefact(stage, inputs)
        self.keys[stage] = recorded.key
        return recorded

    def record(
        self, stage: str, inputs: Mapping[str, Any], model: type, make: object
    ) -> tuple[Any, Artefact]:
        return None, self.once(stage, inputs, make)


def keys(config: TrialConfig, data: TrialData, teacher: Detector | None = None) -> dict[str, str]:
    names = Names()
    meter = LocalMeter(data, CPU, Path("nowhere"))
    stages = Stages(config, data, names, CPU, meter, load_teacher=lambda name: teacher)
    stages.predict()
    dense = stages.train()
    _, pruned = stages.prune(dense)
    compact = stages.finetune(dense, Plan.model_construct(), pruned)
    stages.evaluate(compact)
    stages.measure(compact)
    return names.keys


ALL = {"predict", "train", "prune", "finetune", "evaluate", "measure"}
TRAINED = ALL - {"predict"}


@pytest.mark.parametrize(
    ("path", "value", "other"),
    [
        ("seed", 1, ALL),
        ("detector.width", 0.5, ALL),
        ("train.epochs", 2, TRAINED),
        ("compress.pruning.sparsity", 1e-3, TRAINED),
        ("compress.pruning.ratio", 0.5, ALL - {"train"}),
        ("compress.pruning.floor", 0.2, ALL - {"train"}),
        ("compress.pruning.finetune_epochs", 2, TRAINED - {"train", "prune"}),
        ("compress.pruning.finetune_rate", 0.1, TRAINED - {"train", "prune"}),
        ("measure.runs", 6, {"predict", "measure"}),
        ("measure.runtime", "channels_last", {"predict", "evaluate", "measure"}),
    ],
)
def test_a_stage_is_named_by_what_determines_it_and_by_no_more(
    slim: TrialConfig, shapes: TrialData, path: str, value: object, other: set[str]
) -> None:
    before, after = keys(slim, shapes), keys(changed(slim, path, value), shapes)
    assert {stage for stage in ALL if before[stage] != after[stage]} == other


def test_the_size_of_kept_images_counts_only_where_they_are_reduced(
    slim: TrialConfig, shapes: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(changed(slim, "train.augment.crop", 0), shapes)
    closer = keys(slim, shapes)
    monkeypatch.setattr("detectors.data.bound.LEAST_BOUND", 64)  # of images of 128 pixels
    after = keys(changed(slim, "train.augment.crop", 0), shapes)
    assert {stage for stage in ALL if before[stage] != after[stage]} == TRAINED
    assert keys(slim, shapes) == closer  # its crops are enlarged


def test_pruned_and_unpruned_trials_share_their_dense_detector(
    tiny: TrialConfig, shapes: TrialData
) -> None:
    def stages(pruning: Unpruned | ImportancePruning) -> tuple[Names, Stages]:
        config, names = tiny.changed(compress=CompressConfig(pruning=pruning)), Names()
        meter = LocalMeter(shapes, CPU, Path("nowhere"))
        return names, Stages(config, shapes, names, CPU, meter, load_teacher=None)

    found = []
    for pruning in (
        Unpruned(),
        Unpruned(finetune_epochs=2),
        Unpruned(finetune_epochs=2, finetune_rate=0.1),
        ImportancePruning(finetune_epochs=2),
    ):
        names, trial = stages(pruning)
        trial.predict()
        dense = trial.train()
        if isinstance(pruning, Unpruned):
            trial.train_on(dense)
        else:
            trial.finetune(dense, Plan.model_construct(), trial.prune(dense)[1])
        found.append(names.keys)
    assert len({keys["train"] for keys in found}) == 1
    assert len({keys["predict"] for keys in found[:3]}) == 1
    # What follows depends on how long and how fast it is trained, and on what is gone.
    assert len({keys["finetune"] for keys in found}) == 4


def test_the_data_name_the_stages_that_see_them(slim: TrialConfig, shapes: TrialData) -> None:
    before = keys(slim, shapes)
    fewer = replace(shapes.val, images=shapes.val.images[1:])
    other = replace(shapes, val=fewer)
    after = keys(slim, other)
    assert {stage for stage in ALL if before[stage] != after[stage]} == {"evaluate"}
    free = changed(slim, "measure.candidates", None)
    unlike = {stage for stage in ALL if keys(free, shapes)[stage] != keys(free, other)[stage]}
    assert unlike == {"evaluate", "measure", "predict"}
    fewer = replace(shapes.train, images=shapes.train.images[1:])
    after = keys(slim, replace(shapes, train=fewer))
    assert {stage for stage in ALL if before[stage] != after[stage]} == TRAINED


def test_a_teacher_is_identified_by_content_not_by_path(
    tiny: TrialConfig, slim: TrialConfig, shapes: TrialData
) -> None:
    torch.manual_seed(0)
    teacher, other = (Detector(tiny.detector, shapes.classes) for _ in range(2))

    def taught(config: TrialConfig, name: str, detector: Detector) -> dict[str, str]:
        lesson = ChannelWise(teacher=name).model_dump()
        return keys(changed(config, "compress.pruning.distillation", lesson), shapes, detector)

    here = taught(slim, "here", teacher)
    assert taught(slim, "there", teacher) == here
    assert taught(slim, "here", other)["finetune"] != here["finetune"]
    assert keys(slim, shapes)["finetune"] != here["finetune"]
    assert keys(slim, shapes)["prune"] == here["prune"]
    trained = changed(slim, "train.distillation", ChannelWise(teacher="x").model_dump())
    assert keys(trained, shapes, teacher)["train"] != here["train"]
    assert keys(trained, shapes, teacher)["train"] != keys(trained, shapes, other)["train"]


class Runs:
    """Runs trials over one store, and counts the epochs that were really run."""

    def __init__(self, data: TrialData, folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.epochs: Counter[str] = Counter()
        self.losses: dict[str, set[str]] = {}

    def __call__(self, config: TrialConfig, name: str) -> TrialResult:
        def told(stage: str, epoch: int, losses: dict[str, float]) -> None:
            self.epochs[stage] += 1
            self.losses[stage] = set(losses)

        return run_trial(
            config,
            self.data,
            self.folder / "trials" / name,
            device="cpu",
            on_epoch=told,
            stages=self.folder / "stages",
        )

    def left(self) -> Counter[str]:
        """How many artefacts there are of each stage."""
        folders = (self.folder / "stages").glob("*-*")
        return Counter(folder.name.rsplit("-", 1)[0] for folder in folders)


@pytest.fixture
def runs(shapes: TrialData, tmp_path: Path) -> Runs:
    return Runs(shapes, tmp_path / "study")


def test_trials_that_differ_only_later_on_train_once(
    slim: TrialConfig, runs: Runs, shapes: TrialData
) -> None:
    first = runs(slim, "0")
    second = runs(changed(slim, "compress.pruning.ratio", 0.6), "1")
    assert runs.epochs == {"dense": 1, "compact": 2}
    assert second.dense == first.dense
    assert second.compact.cost.params < first.compact.cost.params
    runs(changed(slim, "measure.runs", 6), "2")
    assert runs.epochs == {"dense": 1, "compact": 2}
    assert runs.left() == {
        "train": 1,
        "prune": 2,
        "finetune": 2,
        "evaluate": 3,
        "measure": 5,
        "predict": 3,
    }
    for number in "012":
        folder = runs.folder / "trials" / number
        assert (folder / "dense").is_dir()
        detector = Detector.load(folder / "compact")
        result = TrialResult.model_validate_json((folder / "result.json").read_text())
        deployed = deploy_as(result.config.measure, detector, CPU, None)
        assert evaluate(deployed, shapes.val, CPU) == result.compact.metrics


def test_shared_stages_equal_those_of_a_single_trial(
    slim: TrialConfig, runs: Runs, shapes: TrialData, tmp_path: Path
) -> None:
    runs(changed(slim, "compress.pruning.ratio", 0.6), "0")
    shared = runs(slim, "1")
    alone = run_trial(slim, shapes, tmp_path / "alone", device="cpu")
    assert shared.dense.metrics == alone.dense.metrics
    assert shared.compact.metrics == alone.compact.metrics


def test_the_parent_teaches_its_pruned_child(slim: TrialConfig, runs: Runs) -> None:
    lesson = ChannelWise(location="both").model_dump()
    result = runs(changed(slim, "compress.pruning.distillation", lesson), "0")
    assert runs.losses["dense"] == {"classes", "boxes", "sparsity"}
    assert runs.losses["compact"] == {"classes", "boxes", "distilled_classes", "distilled_maps"}
    # The alignment of the narrowed maps stays out of the detector, which loads as any other.
    compact = Detector.load(runs.folder / "trials" / "0" / "compact")
    assert compact.state_dict().keys() == Detector(slim.detector).state_dict().keys()
    assert result.compact.cost.params == sum(p.numel() for p in compact.parameters())
    # Pruned alike without a teacher, it shares all but the fine-tuning.
    runs(slim, "1")
    assert runs.epochs == {"dense": 1, "compact": 2}


def test_a_saved_detector_teaches_in_plain_training(
    tiny: TrialConfig, runs: Runs, shapes: TrialData, tmp_path: Path
) -> None:
    teacher = runs(changed(tiny, "detector.width", 0.5), "teacher")
    assert runs.losses["dense"] == {"classes", "boxes"}
    for lesson in (ChannelWise, Logits):
        taught = lesson(teacher=str(runs.folder / "trials" / "teacher" / "dense"))
        student = runs(changed(tiny, "train.distillation", taught.model_dump()), taught.kind)
        assert runs.losses["dense"] == {"classes", "boxes", "distilled_classes"}
        assert student.compact is None
        assert student.dense.cost.params < teacher.dense.cost.params
    assert runs.epochs == {"dense": 3}


def test_a_crash_after_the_training_repeats_no_epoch(
    slim: TrialConfig, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: object, **options: object) -> None:
        raise OSError("disk full")

    for place in (
        "launch.trial.stages.Detector.save",
        "launch.trial.meter.score",
        "launch.trial.stages.plan_pruning",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, crash)
            with pytest.raises(OSError, match="disk full"):
                runs(slim, "0")
        assert not (runs.folder / "trials" / "0" / "result.json").exists()
    assert runs.epochs == {"dense": 1}
    runs(slim, "0")
    assert runs.epochs == {"dense": 1, "compact": 1}
    assert not list((runs.folder / "stages").glob("*.partial"))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_damaged_parent_is_trained_again_and_never_used(
    slim: TrialConfig, runs: Runs, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = runs(slim, "0")
    [weights] = (runs.folder / "stages").glob("train-*/detector/weights.safetensors")
    damage(weights)
    second = runs(changed(slim, "compress.pruning.ratio", 0.6), "1")
    assert runs.epochs == {"dense": 2, "compact": 2}
    assert "weights.safetensors" in caplog.text
    assert second.dense.metrics == first.dense.metrics
    Detector.load(runs.folder / "trials" / "1" / "dense")


def test_a_moved_folder_keeps_its_detectors_and_its_stages(
    slim: TrialConfig, runs: Runs, tmp_path: Path
) -> None:
    runs(slim, "0")
    runs.folder = Path(shutil.move(runs.folder, tmp_path / "moved"))
    Detector.load(runs.folder / "trials" / "0" / "compact")
    runs(changed(slim, "compress.pruning.ratio", 0.6), "1")
    assert runs.epochs == {"dense": 1, "compact": 2}
    # A trial's folder is whole without the stages.
    shutil.rmtree(runs.folder / "stages")
    for name in ("dense", "compact"):
        Detector.load(runs.folder / "trials" / "1" / name)
    assert runs(slim, "0") == runs(slim, "0")
