from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from compress import prune
from detectors.detector import Detector
from launch.searches import resume, search
from launch.study.opening import read_records
from launch.trial import training
from launch.trial.data import TrialData, TrialError
from launch.trial.given_teacher import with_teacher
from launch.trial.run import run_trial
from launch.trial.teachers import (
    PackedDetector,
    check_teachers,
    detector_folders,
    fingerprint,
    load_teacher,
    named_detectors,
    teachers_in,
)
from searchspace import CompressConfig, Space, TrialConfig, load_space
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise, Distillation, Logits
from searchspace.domains import Choice, Fixed, FloatRange, options

KIND, TEACHER = "train.distillation.kind", "train.distillation.channel_wise.teacher"


def build(config: TrialConfig, classes: tuple[str, ...] = (), seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    detector = Detector(config.detector, classes).eval()
    for layer in detector.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    return detector


def taught(config: TrialConfig, distillation: Distillation) -> TrialConfig:
    train = config.train.changed(distillation=distillation)
    return config.changed(train=train)


@pytest.fixture
def teacher(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> Path:
    return build(tiny, shapes.classes).save(tmp_path / "teacher")


@pytest.mark.parametrize("pruned", [False, True])
def test_a_packed_detector_is_the_same_and_shares_its_memory(
    tiny: TrialConfig, shapes: TrialData, pruned: bool
) -> None:
    detector = build(tiny, shapes.classes)
    if pruned:
        prune(detector, Slimming(ratio=0.4))
    packed = PackedDetector.of(detector)
    for array in packed.tensors.values():
        array.setflags(write=False)  # as Ray's object store hands them out
    unpacked = packed.unpack()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = (d.predict(images) for d in (detector, unpacked))
    assert torch.equal(ours.classes, theirs.classes)
    assert torch.equal(ours.boxes, theirs.boxes)
    assert (unpacked.config, unpacked.classes) == (detector.config, detector.classes)
    assert fingerprint(unpacked) == fingerprint(detector)
    for name, tensor in unpacked.state_dict().items():
        assert tensor.data_ptr() == packed.tensors[name].ctypes.data, name


def test_different_teachers_have_different_fingerprints(
    tiny: TrialConfig, shapes: TrialData
) -> None:
    detector = build(tiny, shapes.classes)
    found = {fingerprint(detector), fingerprint(build(tiny)), fingerprint(build(tiny, seed=1))}
    next(detector.backbone.buffers())[0] += 1
    found.add(fingerprint(detector))
    assert len(found) == 4
    assert fingerprint(build(tiny, shapes.classes)) in found


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def cut(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:500])


def garble(folder: Path) -> None:
    (folder / "detector.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (remove, "give the folder of a saved detector"),
        (cut, "safetensors"),
        (garble, "detector.json"),
    ],
)
def test_a_missing_or_damaged_teacher_is_refused_before_training(
    tiny: TrialConfig, shapes: TrialData, teacher: Path, tmp_path: Path,
    damage: Callable[[Path], None], expected: str,
) -> None:  # fmt: skip
    damage(teacher)
    config = taught(tiny, ChannelWise(teacher=str(teacher)))
    out = tmp_path / "trial"
    with pytest.raises(TrialError, match=rf"train\.distillation\.teacher .*{expected}"):
        run_trial(config, shapes, out)
    assert not out.exists()


def test_a_teacher_of_other_classes_or_priors_names_the_field(
    tiny: TrialConfig, shapes: TrialData, teacher: Path
) -> None:
    config = taught(tiny, ChannelWise(teacher=str(teacher)))
    check_teachers(config, shapes.classes)
    with pytest.raises(TrialError, match=r"train\.distillation\.teacher .* same order"):
        check_teachers(config, shapes.classes[::-1])
    wide = tiny.detector.model_copy(update={"input_size": 96})
    larger = tiny.changed(detector=wide)
    check_teachers(taught(larger, ChannelWise(teacher=str(teacher))), shapes.classes)
    slim = Slimming(distillation=Logits(teacher=str(teacher)))
    pruned = larger.changed(compress=CompressConfig(pruning=slim))
    with pytest.raises(TrialError, match=r"compress\.pruning\.distillation\.teacher .*priors"):
        check_teachers(pruned, shapes.classes)


def test_a_parent_always_fits_its_child(tiny: TrialConfig, shapes: TrialData) -> None:
    for lesson in (ChannelWise(), Logits()):
        compress = CompressConfig(pruning=Slimming(distillation=lesson))
        config = tiny.changed(compress=compress)
        check_teachers(config, shapes.classes, load=lambda name: pytest.fail(name))


@pytest.fixture
def school(space: Space, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The tiny space with a teacher in every training, named relative to the working folder."""
    monkeypatch.chdir(teacher.parent)
    space = space.fix("train.distillation.kind", "channel_wise")
    space = space.fix("train.distillation.channel_wise.teacher", "teacher")
    return space.fix("detector.input_size", 64)


def test_teachers_are_named_as_given_and_found_from_anywhere(
    school: Space, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named_detectors(school) == ("teacher",)
    path = "compress.pruning.slimming.distillation.channel_wise.teacher"
    assert named_detectors(Space("both", {path: Choice("parent", "teacher")})) == ("teacher",)
    folders = detector_folders(school)
    assert folders == {"teacher": teacher.resolve()}
    monkeypatch.chdir("/")
    found = teachers_in(folders)("teacher")
    assert fingerprint(found) == fingerprint(Detector.load(teacher))


@pytest.mark.slow
def test_a_search_checks_its_teachers_first_and_finds_them_from_elsewhere(
    school: Space, shapes_folder: Path, teacher: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = tmp_path / "study"
    search(school, shapes_folder, out, trials=1, driver="local", device="cpu", papers=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    resume(out, trials=2, driver="local")
    records = read_records(out)
    assert [record.state for record in records] == ["finished"] * 2
    assert records[1].config.train.distillation.teacher == "teacher"
    shutil.rmtree(teacher)
    with pytest.raises(TrialError, match="give the folder of a saved detector"):
        resume(out, trials=3, driver="local")
    with pytest.raises(TrialError, match="give the folder of a saved detector"):
        search(school, shapes_folder, tmp_path / "other", driver="local")
    assert not (tmp_path / "other").exists()


def test_the_teacher_given_to_a_search_teaches(
    space: Space, shapes_folder: Path, teacher: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lessons = set()
    term = training.distillation_term

    def watched(config: ChannelWise, student: Detector, teacher: Detector) -> object:
        lessons.add((config.teacher, fingerprint(teacher)))
        return term(config, student, teacher)

    monkeypatch.setattr(training, "distillation_term", watched)
    always = space.fix("detector.input_size", 64).fix(KIND, "channel_wise").fix(TEACHER, "given")
    out = tmp_path / "study"
    search(
        always, shapes_folder, out, trials=1, driver="local", device="cpu", papers=False,
        teacher=teacher,
    )  # fmt: skip
    [record] = read_records(out)
    assert record.config.train.distillation.teacher == str(teacher)
    assert lessons == {(str(teacher), fingerprint(Detector.load(teacher)))}
    with pytest.raises(TrialError, match=r"train\.distillation always has .* --teacher FOLDER"):
        search(always, shapes_folder, tmp_path / "other", driver="local")
    with pytest.raises(TrialError, match=r"teacher .*/nowhere'.*folder of a saved detector"):
        search(space, shapes_folder, tmp_path / "other", driver="local", teacher="/nowhere")


@pytest.mark.parametrize("name", ["quick", "mobile", "full"])
def test_a_given_teacher_is_a_choice_of_any_space(name: str) -> None:
    space = load_space(name)
    taught = dict(with_teacher(space, Path("runs/large")).fields())
    assert options(taught[KIND]) == ("none", "channel_wise")
    assert taught[TEACHER] == Fixed("runs/large")
    assert taught["train.distillation.channel_wise.temperature"] == FloatRange(1, 8)
    alone = with_teacher(space, None)
    assert dict(alone.fields())[KIND] == Fixed("none")
    assert named_detectors(alone) == ()
    assert alone.baseline() == space.baseline()


def test_a_teacher_is_put_where_a_space_says_given_and_removed_without_one() -> None:
    path = "compress.pruning.slimming.distillation"
    both = Space("both", {f"{path}.channel_wise.teacher": Choice("parent", "given")})
    taught = with_teacher(both, Path("t"))
    assert taught.domains == {f"{path}.channel_wise.teacher": Choice("parent", "t")}
    assert with_teacher(both, None).domains == {f"{path}.channel_wise.teacher": Fixed("parent")}
    only = Space("only", {f"{path}.logits.teacher": Fixed("given")})
    assert with_teacher(only, None).domains == {f"{path}.kind": Choice("none", "channel_wise")}
    # Unreachable, the name is nothing to the space, and a given teacher teaches the training.
    unpruned = only.fix("compress.pruning.kind", "none")
    assert f"{path}.kind" not in with_teacher(unpruned, None).domains
    assert with_teacher(unpruned, Path("t")).domains[KIND] == Choice("none", "channel_wise")
    named = Space("named", {TEACHER: Fixed("runs/own"), KIND: Fixed("channel_wise")})
    assert with_teacher(named, None) == named


def test_a_trial_cannot_have_the_teacher_of_a_search(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    config = taught(tiny, ChannelWise(teacher="given"))
    assert "taught by the given teacher" in config.in_words()
    with pytest.raises(TrialError, match="--teacher FOLDER"):
        run_trial(config, shapes, tmp_path / "trial")


def test_load_teacher_reads_from_disk(teacher: Path) -> None:
    assert fingerprint(load_teacher(str(teacher))) == fingerprint(Detector.load(teacher))
