"""A space made for data, device and budget: what it holds, says and stores."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detectors.data.dataset import Dataset
from detectors.weights.published import WeightsUnavailable
from launch.drivers.choose import make_driver
from launch.drivers.local import LocalDriver
from launch.searches import resume, search
from launch.searches.auto import AutoSpace, make_space
from launch.searches.auto_budget import Situation
from launch.searches.situation import situation_of, speed_of
from launch.study.search_settings import SearchSettings
from launch.study.settings import read_settings
from launch.trial.data import TrialData
from searchspace import TrialConfig, load_space
from searchspace.domains import Choice, Fixed
from searchspace.given import restored
from tests.splits import split_of

HOURS = 3600.0


def split(side: float, size: tuple[int, int] = (640, 480), images: int = 200) -> Dataset:
    """Images of a width and height with two objects of about this side in pixels."""
    rng = np.random.default_rng(0)
    objects = []
    for _ in range(images):
        sides = rng.uniform(0.9, 1.4, (2, 2)) * side
        low = rng.uniform(0, 1, (2, 2)) * (np.array(size) - sides)
        corners = np.concatenate((low, low + sides), 1).tolist()
        objects.append([(k + 1, tuple(box)) for k, box in enumerate(corners)])
    return split_of(objects, size=size)


def made(
    data: Dataset, seconds_per_image: float = 0.02, asked: list[Any] | None = None, **more: Any
) -> AutoSpace:
    """The space for data on a device of this speed; `asked` collects what was measured."""

    def speed(config: TrialConfig, batch: int) -> float:
        if asked is not None:
            asked.append((config, batch))
        return seconds_per_image * config.detector.size[0] ** 2 / 160**2

    given = {"device": "cpu", "seconds": 2 * HOURS, "trials": 20, "val_images": 100}
    return make_space(data, Situation(**given | {"weights": "no weights here"} | more), speed)


def domains(space: AutoSpace) -> dict[str, Any]:
    """What each field may be."""
    found = {}
    for path, domain in space.load().fields():
        match domain:
            case Choice(options):
                found[path] = options
            case Fixed(value):
                found[path] = value
    return found


class Idle(LocalDriver):
    """Runs no trial."""

    def run(self, *given: Any) -> None:
        return None


SIZE, STRIDES = "detector.input_size", "detector.backbone.mobilenet_v1.eliminated_strides"
CELLS = "detector.head.multibox.priors.scaled.cells"
FINETUNING = "compress.pruning.importance.finetune_epochs"


@pytest.mark.slow
def test_objects_can_be_learned_at_every_input_size() -> None:
    for side in (10, 20, 60):
        space = made(split(side), seconds_per_image=0.001)
        sizes = domains(space)[SIZE]
        assert min(sizes) * 0.9 * side / 640 > 5
        assert space.warnings == ()
    large, small = domains(made(split(300))), domains(made(split(12), seconds_per_image=0.001))
    assert max(large[SIZE]) < min(small[SIZE])
    assert large[STRIDES] == ()
    assert len(small[STRIDES]) >= 4


def test_small_objects_in_large_images_are_looked_for_in_tiles() -> None:
    space = made(split(9, (4000, 3000), images=40), 0.0005)
    found = domains(space)
    side = found["detector.tiles.size.side"]
    assert found["detector.tiles.kind"] == "size"
    assert space.warnings == ()
    assert min(found[SIZE]) * 0.9 * 9 / side >= 7.5
    assert space.reasons[0].startswith(f"tiles of {side} px, about ")
    assert "[detector.tiles.size]\n" in space.text
    whole = domains(made(split(9, (640, 480), images=40)))
    assert whole["detector.tiles.kind"] == "none"


def test_the_tiles_of_an_image_take_time() -> None:
    few, many = (made(split(9, (side, side), images=40), 0.004) for side in (2000, 12000))
    assert few.warnings == ()
    assert "the budget is too small" in many.warnings[0]


def test_large_objects_beside_small_ones_are_looked_for_on_the_whole_image() -> None:
    objects = [[(1, (0, 0, 9, 9)), (1, (20, 0, 29, 9)), (2, (50, 50, 900, 900))]] * 20
    found = domains(made(split_of(objects, size=(4000, 3000))))
    assert found["detector.tiles.size.whole"] == (False, True)


@pytest.mark.parametrize("size", [(400, 300), (4000, 3000)])
def test_specks_are_said_to_be_too_small(size: tuple[int, int]) -> None:
    space = made(split(3, size, images=40))
    assert "below the 8 from which they can be learned" in space.warnings[0]
    assert f"# Warning: {space.warnings[0]}" in space.text


def test_images_are_hardly_enlarged() -> None:
    assert max(domains(made(split(9, (200, 150)), seconds_per_image=1e-4))[SIZE]) <= 250


def test_priors_that_fit_stand_beside_the_papers() -> None:
    found = domains(made(split(100, images=60)))
    assert {1.25, 2.0, 2.8} <= set(found[CELLS])
    assert (2.0, 3.0) in found["detector.head.multibox.priors.scaled.ratios"]


def test_more_time_gives_more_epochs_and_larger_inputs() -> None:
    data = split(24)
    short, long = (domains(made(data, seconds=h * HOURS)) for h in (0.1, 20))
    assert long["train.epochs"] > short["train.epochs"]
    assert np.max(long[SIZE]) > np.max(short[SIZE])
    assert long["train.augment.crop"] > short["train.augment.crop"] or short["train.epochs"] > 8
    for found in (short, long):
        assert found[FINETUNING] == pytest.approx(found["train.epochs"] / 2, abs=1)


def planned(space: AutoSpace) -> int:
    """The number of trials that a space says fit."""
    [count] = re.findall(r"about (\d+) trials", space.text)
    return int(count)


def epoch_of(found: dict[str, Any]) -> float:
    """Seconds of an epoch of 200 images at the speed that `made` takes by default, with a further
    image of copy-paste for every second one."""
    pixels = np.mean([size**2 for size in np.atleast_1d(found[SIZE])])
    return float(200 * 1.5 * 0.02 * pixels / 160**2)


def test_the_epochs_fit_into_the_budget() -> None:
    asked: list[Any] = []
    space = made(split(24), asked=asked, seconds=4 * HOURS)
    found = domains(space)
    config, batch = asked[-1]
    assert batch == 4
    assert config.detector.size[0] in np.atleast_1d(found[SIZE])
    spent = planned(space) * (found["train.epochs"] + found[FINETUNING]) * epoch_of(found)
    assert 0.7 * 4 * HOURS < spent < 1.05 * 4 * HOURS


def test_trials_side_by_side_run_in_several_turns() -> None:
    wide, narrow = (made(split(24), trials=100, places=places) for places in (20, 1))
    assert planned(wide) >= 60
    assert planned(narrow) < planned(wide)
    found = domains(wide)
    assert 3 * (found["train.epochs"] + found[FINETUNING]) * epoch_of(found) < 2 * HOURS / 20


def test_little_time_leaves_what_is_cheap() -> None:
    data, taps = split(24), "detector.backbone.mobilenet_v1.taps"
    little, much = (domains(made(data, seconds=h * HOURS)) for h in (0.4, 40))
    assert little["detector.width"] == 0.25
    assert len(much["detector.width"]) == 2
    assert (little[STRIDES], little[taps]) == ((), ("layer5", "layer11", "layer13"))
    assert len(much[STRIDES]) >= 3
    assert np.max(little[SIZE]) <= np.max(much[SIZE])


def test_the_typical_trial_that_is_timed_has_the_mean_cost() -> None:
    asked: list[Any] = []
    found = domains(made(split(24), 1e-4, asked=asked))
    [(config, _)] = asked
    strides = config.detector.backbone.eliminated_strides
    assert strides in found[STRIDES]
    assert strides != ()


def test_few_images_are_seen_often() -> None:
    found = domains(made(split(24, images=3)))
    assert found["train.epochs"] + found[FINETUNING] > 300


def test_a_budget_that_is_too_small_is_said_with_what_would_do() -> None:
    space = made(split(24), seconds=60.0)
    assert len(space.warnings) == 1
    assert "too small for anything useful: 3 trials of" in space.warnings[0]
    assert "and there are 0.017" in space.warnings[0]
    assert space.load().baseline().train.epochs == 2


def test_the_same_speed_gives_the_same_space() -> None:
    assert made(split(24)) == made(split(24))


@pytest.mark.slow
def test_weights_and_device_decide_what_is_narrowed() -> None:
    data, extends = split(24), lambda space: tomllib.loads(space.text)["extends"]
    assert extends(made(data, 1e-4)) == "quick"
    assert extends(made(data, 1e-4, weights="")) == "mobile"
    # No time for the long trainings that larger networks need.
    assert extends(made(data, 0.05, weights="")) == "quick"
    assert extends(made(data, 1e-5, weights="", device="cuda", seconds=20 * HOURS)) == "papers"
    assert extends(made(data, 0.05, weights="", only_published=True)) == "mobile"
    assert "no weights here" in made(data).reasons


@pytest.mark.slow
def test_every_made_space_has_a_baseline_and_papers_systems() -> None:
    for more in ({}, {"weights": ""}, {"weights": "", "device": "cuda", "seconds": 20 * HOURS}):
        space = made(split(12), 1e-5, **more).load()
        assert space.name == "auto"
        assert space.holds(space.baseline())
        assert space.papers()


def test_the_situation_follows_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise WeightsUnavailable("no network")

    monkeypatch.setattr("launch.searches.situation.make_sure", refuse)
    val, local = split(10, images=3), make_driver("local").on("cpu")
    asked = SearchSettings.of(device="cpu", minutes=30, device_hours=4, trials=9)
    found = situation_of(asked, local, val)
    assert (found.device, found.seconds, found.trials, found.val_images) == ("cpu", 1800, 9, 3)
    assert "cannot be downloaded" in found.weights
    assert (found.places, local.cores(), make_driver("ray").cores()) == (1, None, 1)
    free = situation_of(SearchSettings.of(device="cpu", weights="none"), local, val)
    assert (free.seconds, free.weights, free.only_published) == (None, "", False)


def test_a_search_makes_stores_and_keeps_its_space(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.searches.situation.speed_of", lambda *given: lambda c, b: 10.0)
    said: list[str] = []
    options = {"minutes": 2, "weights": "none", "driver": Idle()}
    out = tmp_path / "study"
    search("auto", shapes_folder, out, device="cpu", on_known=said.append, **options)
    file = out / "auto.toml"
    assert any(words.startswith("space auto: input sizes") for words in said)
    assert any("too small for anything useful" in words for words in said)
    assert file.read_text(encoding="utf-8").startswith("# Made for the data")
    stored = read_settings(out).space
    assert stored["name"] == "auto"
    assert restored(stored).baseline().epochs == (2, 1)
    # The file is a space as any other; what is resumed is the stored one.
    edited = load_space(file).fix("detector.num_classes", 4)
    assert edited.baseline().detector == restored(stored).baseline().detector
    file.unlink()
    resume(out, driver=Idle())
    assert read_settings(out).space == stored


def test_the_speed_of_a_training_is_measured(shapes: TrialData, tiny: TrialConfig) -> None:
    seconds = speed_of(shapes.train, torch.device("cpu"), 1)(tiny, 4)
    assert 1e-5 < seconds < 2
