"""The notes that a trial takes of its progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.activity import active, shown_by
from launch.files import PROGRESS
from launch.trial import progress
from launch.trial.data import TrialData
from launch.trial.progress import Note, Progress, read_progress
from launch.trial.run import run_trial
from searchspace import CompressConfig, TrialConfig
from searchspace.compression import Slimming


@pytest.fixture
def slim(tiny: TrialConfig) -> TrialConfig:
    pruning = Slimming(sparsity=1e-4, ratio=0.4, finetune_epochs=1)
    return tiny.changed(
        train=tiny.train.changed(epochs=2), compress=CompressConfig(pruning=pruning)
    )


class Killed(BaseException):
    pass


def curve(notes: tuple[Note, ...]) -> list[tuple[str | None, int | None]]:
    return [(note.part, note.epoch) for note in notes if note.losses]


@pytest.mark.slow
def test_a_trial_notes_its_stages_epochs_and_figures(
    shapes: TrialData, slim: TrialConfig, tmp_path: Path
) -> None:
    """It is killed once, in the middle of a line, and resumed."""
    out, told = tmp_path / "one", []

    def kill(part: str, epoch: int, losses: dict[str, float]) -> None:
        told.append((part, epoch, losses))
        if len(told) == 1:
            raise Killed

    with pytest.raises(Killed):
        run_trial(slim, shapes, out, "cpu", on_epoch=kill, rungs=(1,), on_rung=lambda *_: None)
    with (out / PROGRESS).open("ab") as file:
        file.write(b'{"time": 1, "stage": "tr')
    result = run_trial(slim, shapes, out, "cpu", on_epoch=kill, rungs=(1,), on_rung=lambda *_: None)

    notes = read_progress(out / PROGRESS)
    begun = [note.stage for note in notes if note.key and not note.reused]
    assert begun == [
        "predict", "train", "train", "rung", "evaluate", "measure",
        "prune", "finetune", "evaluate", "measure",
    ]  # fmt: skip
    epochs = [note for note in notes if note.losses]
    assert [(note.part, note.epoch, note.losses) for note in epochs] == told
    assert curve(notes) == [("dense", 1), ("dense", 2), ("compact", 1)]
    assert [(note.stage, note.epochs) for note in epochs] == [
        ("train", 2), ("train", 2), ("finetune", 1),
    ]  # fmt: skip
    assert all(note.rate and note.images_per_s and note.seconds for note in epochs)
    assert [note.left for note in epochs] == [
        pytest.approx(left * note.seconds) for left, note in zip((2, 1, 0), epochs, strict=True)
    ]
    midway, *rest = [note for note in notes if note.figures]
    assert (midway.midway, midway.epoch, midway.part) == (True, 1, "dense")
    for part, outcome in (("dense", result.dense), ("compact", result.compact)):
        found = [note.figures for note in rest if note.part == part]
        assert [figures.get("ap") for figures in found] == [outcome.metrics.ap, None]
        assert [figures.get("fps") for figures in found] == [None, outcome.cost.fps]

    other = slim.changed(compress=CompressConfig(pruning=Slimming(sparsity=1e-4, ratio=0.6)))
    with pytest.raises(Killed):
        run_trial(
            other, shapes, tmp_path / "two", "cpu", stages=out / "stages",
            on_epoch=lambda part, *_: (_ for _ in ()).throw(Killed),
        )  # fmt: skip
    shared = read_progress(tmp_path / "two" / PROGRESS)
    assert {note.key for note in shared if note.stage == "train" and note.reused} == {
        note.key for note in notes if note.stage == "train" and note.key
    }


def test_notes_of_an_activity_are_few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = iter(range(1, 10_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    noted = Progress(tmp_path / PROGRESS)
    with shown_by(noted.show), active("Decoding images", 1000) as advance:
        for _ in range(1000):
            advance(1)
    notes = read_progress(tmp_path / PROGRESS)
    assert [note.done for note in notes] == list(range(50, 1001, 50))
    assert {(note.doing, note.total) for note in notes} == {("Decoding images", 1000)}


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / PROGRESS).mkdir()
    Progress(tmp_path / PROGRESS).begin("train", "train-1", False)
    assert read_progress(tmp_path / "none") == ()
