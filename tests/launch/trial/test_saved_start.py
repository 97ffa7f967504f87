"""Training starts from any saved detector that `train.weights` names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from detectors.detector import Detector
from launch.trial.data import TrialData, TrialError
from launch.trial.initial_weights import (
    check_saved_start,
    fill,
    load_start,
    trial_with_weights,
    with_weights,
)
from launch.trial.meter import LocalMeter
from launch.trial.run import run_trial
from launch.trial.stages import Stages
from launch.trial.store import Store
from launch.trial.teachers import detector_folders, load_teacher, named_detectors
from searchspace import DetectorConfig, Space, TrialConfig, papers
from searchspace.domains import Choice
from searchspace.schedules import RateFactors

CPU = torch.device("cpu")


def starting_from(config: TrialConfig, path: Path, **recipe: object) -> TrialConfig:
    return config.changed(train=config.train.changed(weights=str(path), **recipe))


@pytest.fixture
def saved(tiny: TrialConfig, shapes: TrialData, tmp_path: Path) -> Path:
    """A detector with one more class than the data have, and classes in another order."""
    torch.manual_seed(5)
    classes = ("moon", *shapes.classes[::-1])
    return Detector(tiny.detector.changed(num_classes=5), classes).save(tmp_path / "saved")


def key(config: TrialConfig, data: TrialData) -> str:
    meter = LocalMeter(data, CPU, Path("nowhere"))
    stages = Stages(config, data, Store(Path("nowhere")), CPU, meter, load_teacher)
    _, inputs = stages._dense()
    return stages.store.artefact("train", inputs).key


def test_a_trial_starts_from_a_saved_detector_with_the_rows_of_its_classes(
    tiny: TrialConfig, shapes: TrialData, saved: Path, tmp_path: Path
) -> None:
    config = starting_from(tiny, saved)
    result = run_trial(config, shapes, tmp_path / "trial", device="cpu")
    start = json.loads((tmp_path / "trial/stages" / result.trained / "start.json").read_text())
    found = start["train.weights"]
    assert found["classes"] == list(shapes.classes)
    assert found["unplaced"] == found["untouched"] == found["sliced"] == []
    # A trial's folder stands for its detector before pruning, and starts everything.
    again = starting_from(tiny, tmp_path / "trial")
    detector = Detector(tiny.detector, shapes.classes)
    placed = fill(detector, again.train, None, None, load_start(again.train.start, load_teacher))
    trained = Detector.load(tmp_path / "trial" / "dense").state_dict()
    assert placed["train.weights"]["classes"] == ()
    assert all(torch.equal(t, trained[name]) for name, t in detector.state_dict().items())
    assert detector.new_parts == frozenset()


def test_a_start_counts_by_content_not_by_path(
    tiny: TrialConfig, shapes: TrialData, saved: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(saved, tmp_path / "elsewhere"))
    bare = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for file in bare:
        torch.save(Detector.load(saved).state_dict(), file)
    here, there, one, two = (
        key(starting_from(tiny, path), shapes) for path in (saved, copied, *bare)
    )
    assert here == there
    assert one == two
    other = Detector.load(saved)
    next(other.parameters()).data[0] += 1
    other.save(copied)
    torch.save(other.state_dict(), bare[0])
    found = {key(starting_from(tiny, path), shapes) for path in (saved, copied, *bare)}
    assert len(found | {key(tiny, shapes)}) == 5


def test_a_file_of_tensors_gives_what_fits_by_name_and_shape(
    tiny: TrialConfig, shapes: TrialData, saved: Path, tmp_path: Path
) -> None:
    file, source = tmp_path / "weights.pt", Detector.load(saved)
    torch.save(source.state_dict(), file)
    detector = Detector(tiny.detector, shapes.classes)
    recipe = starting_from(tiny, file).train
    [placed] = fill(detector, recipe, None, None, load_start(str(file), load_teacher)).values()
    # Its classes are not known, and their number is another.
    assert {name.rpartition(".")[0] for name in detector.new_parts} == {
        f"head.classes.{level}" for level in range(len(detector.head.classes))
    }
    assert set(placed["untouched"]) == set(placed["unplaced"]) == detector.new_parts
    # In a detector's own folder, the file stands for the detector.
    assert isinstance(load_start(str(saved / "weights.safetensors"), load_teacher), Detector)


def test_a_wider_detector_gives_its_first_channels_and_one_as_wide_none(
    tiny: TrialConfig, shapes: TrialData, saved: Path
) -> None:
    narrow = tiny.changed(detector=tiny.detector.changed(width=0.125))
    check_saved_start(starting_from(narrow, saved), shapes.classes, load_teacher)

    def config(name: str) -> DetectorConfig:
        fields = dict(papers[name].trial.detector) | {"width": 0.125}
        return DetectorConfig.model_validate(fields)

    fssd = Detector(config("fssd300"))
    source = Detector(config("ssd300_vgg16"))
    recipe = tiny.train.changed(weights="ssd")
    [placed] = fill(fssd, recipe, None, None, source).values()
    assert placed["sliced"] == ()
    parts = {".".join(name.split(".")[:2]) for name in fssd.new_parts}
    assert parts == {"neck.fuse1", "neck.extend2", "head.boxes", "head.classes"}
    # Levels 1 and 2 have fewer channels in FSSD.
    assert {name for name in fssd.new_parts if "head" in name} == {
        f"head.{kind}.{level}.weight" for kind in ("boxes", "classes") for level in (1, 2)
    }


def lost(saved: Path) -> None:
    shutil.rmtree(saved)


def garbled(saved: Path) -> None:
    (saved / "weights.safetensors").write_bytes(b"{")


def of_other_pixels(saved: Path) -> None:
    source = Detector.load(saved)
    Detector(source.config.changed(pixels="unit"), source.classes).save(saved)


def of_another_backbone(saved: Path) -> None:
    config = papers["ssd300_vgg16"].trial.detector
    Detector(DetectorConfig.model_validate(dict(config) | {"width": 0.05})).save(saved)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lost, "give the folder of a saved detector; or use one of none, auto, shapes, imagenet"),
        (garbled, "not readable as safetensors"),
        (of_other_pixels, "trained with detector.pixels 'unit', not 'imagenet': set it to that"),
        (of_another_backbone, "its backbone is vgg16, not mobilenet_v1"),
    ],
)
def test_a_start_that_cannot_be_is_refused_before_training(
    tiny: TrialConfig, shapes: TrialData, saved: Path, tmp_path: Path,
    damage: Callable[[Path], None], expected: str,
) -> None:  # fmt: skip
    damage(saved)
    with pytest.raises(TrialError, match=rf"train\.weights '{saved}': .*{expected}"):
        run_trial(starting_from(tiny, saved), shapes, tmp_path / "trial")
    assert not (tmp_path / "trial").exists()


def test_files_of_nothing_that_fits_are_refused(
    tiny: TrialConfig, shapes: TrialData, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"model": {"conv.weight": torch.zeros(3)}}, file)
    with pytest.raises(TrialError, match="holds something other than tensors by name"):
        check_saved_start(starting_from(tiny, file), shapes.classes, load_teacher)
    torch.save({"conv.weight": torch.zeros(3)}, file)
    with pytest.raises(TrialError, match=r"none of its weights fit the backbone, e\.g\. not conv"):
        check_saved_start(starting_from(tiny, file), shapes.classes, load_teacher)


def test_only_what_starts_from_weights_has_new_parts(tiny: TrialConfig) -> None:
    with pytest.raises(ValidationError, match=r"rates\.new 2: with weights 'none' all parts are"):
        tiny.train.changed(rates=RateFactors(new=2), weights="none")
    detector = Detector(tiny.detector)
    fill(detector, tiny.train.changed(weights="shapes"), None, None, None)
    assert {name.partition(".")[0] for name in detector.new_parts} == {"neck", "head"}


def test_the_option_weights_takes_saved_detectors_too(
    tiny: TrialConfig, space: Space, saved: Path
) -> None:
    trial, given = trial_with_weights(tiny, saved)
    assert (trial.train.start, given) == (str(saved), None)
    changed, given = with_weights(space, saved)
    assert given is None
    assert changed.baseline().train.start == str(saved)
    assert "starts from " in changed.baseline().in_words()


def test_a_space_names_the_detectors_that_it_starts_from(space: Space, saved: Path) -> None:
    names = ("none", "shapes", str(saved), str(saved / "weights.safetensors"))
    drawn = Space("own", {**space.domains, "train.weights": Choice(*names)})
    assert named_detectors(drawn) == names[2:]
    assert set(detector_folders(drawn).values()) == {saved}
