"""A training that is given notice ends after its step, and goes on from there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.features import Outputs
from detectors.training import run
from detectors.training.notice import NOTICE, Notice
from detectors.training.train import fit
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.schedules import Steps
from searchspace.training import TrainConfig

SIZE = 96
RECIPE = TrainConfig(
    epochs=3,
    batch_size=2,  # five steps an epoch
    learning_rate=0.02,
    augment=Augment(mosaic=0.5),
    plain_epochs=1,
    copy_paste=CopyPaste(copies=1, probability=0.5),
    ema=0.99,
    multi_scale=MultiScale(largest=1.4, every=1),
    schedule=Steps(),
    precision="float32",
)

Train = Callable[..., tuple[Detector, dict[int, dict[str, float]], int]]


class AtStep:
    """A term of the loss that gives notice in one step, and counts them."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.steps = at, 0

    def __call__(self, detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        self.steps += 1
        if self.steps == self.at:
            assert NOTICE.give()
        return {}


@pytest.fixture
def train(shapes: tuple[Dataset, Dataset], make_detector: Callable[..., Detector]) -> Train:
    """Trains a detector; gives it, its mean losses by epoch, and the number of steps."""

    def train(
        checkpoint: Path | None = None, at: int | None = None, workers: int = 0
    ) -> tuple[Detector, dict[int, dict[str, float]], int]:
        detector, term, history = make_detector(input_size=SIZE), AtStep(at), {}
        loader = TrainingLoader(shapes[0], RECIPE, SIZE, seed=0, workers=workers)
        report = history.__setitem__
        try:
            fit(detector, loader, RECIPE, [term], checkpoint=checkpoint, on_epoch=report)
        except KeyboardInterrupt:
            assert at is not None
        return detector, history, term.steps

    return train


@pytest.mark.parametrize(
    ("at", "reported"),
    [(1, []), (7, [1]), (10, [1, 2])],
    ids=["first", "midway", "end of an epoch"],
)
def test_what_was_given_notice_goes_on_from_its_step(
    train: Train, tmp_path: Path, at: int, reported: list[int]
) -> None:
    whole, history, steps = train()
    assert steps == 15
    checkpoint = tmp_path / "checkpoint"
    _, before, taken = train(checkpoint, at)
    assert (taken, list(before)) == (at, reported)
    resumed, after, rest = train(checkpoint, workers=2)
    assert taken + rest == steps
    assert before | after == history
    state = resumed.state_dict()
    assert [n for n, t in whole.state_dict().items() if not torch.equal(t, state[n])] == []


@pytest.mark.parametrize("at", [1, 7, 10], ids=["first", "midway", "end of an epoch"])
def test_what_was_killed_goes_on_from_its_last_checkpoint_within_an_epoch(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    whole, history, steps = train()
    monkeypatch.setattr(run, "KEPT_EVERY", 0.0)
    monkeypatch.setattr(run, "KEPT_SHARE", 1e9)
    save, saved = run.Run.save, []

    def killed(self: run.Run, path: Path, epochs: int) -> None:
        save(self, path, epochs)
        saved.append(epochs)
        if len(saved) == at + (at - 1) // 5:  # another one is written at the end of each epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(run.Run, "save", killed)
    checkpoint = tmp_path / "checkpoint"
    _, before, taken = train(checkpoint, at=100)
    assert taken == at
    monkeypatch.setattr(run.Run, "save", save)
    resumed, after, rest = train(checkpoint)
    assert taken + rest == steps
    assert before | after == history
    state = resumed.state_dict()
    assert [n for n, t in whole.state_dict().items() if not torch.equal(t, state[n])] == []


def test_checkpoints_are_seldom_where_writing_one_takes_long(
    make_detector: Callable[..., Detector],
    shapes: tuple[Dataset, Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now[0]))
    training = run.Run(
        make_detector(input_size=SIZE), TrainingLoader(shapes[0], RECIPE, SIZE, seed=0), RECIPE
    )
    assert training._due == run.KEPT_EVERY
    monkeypatch.setattr(training, "_state", lambda epochs: now.__setitem__(0, now[0] + 3) or {})
    training.save(tmp_path / "checkpoint", 0)
    assert training._due == 3 + 3 / run.KEPT_SHARE


def test_a_checkpoint_of_an_earlier_version_is_resumed(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "checkpoint"
    _, history, _ = train()
    state = run.Run._state

    def without(self: run.Run, epochs: int) -> dict[str, object]:
        return {name: value for name, value in state(self, epochs).items() if name != "begun"}

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "_state", without)
        train(checkpoint, at=5)
    _, after, steps = train(checkpoint)
    assert steps == 10
    assert after == {epoch: history[epoch] for epoch in (2, 3)}


def test_processes_that_were_ended_with_it_do_no_harm(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes a machine away ends those that prepare batches, too."""
    epoch = TrainingLoader.epoch

    def ended(self: TrainingLoader, number: int, skipped: int = 0) -> object:
        batches = epoch(self, number, skipped)
        yield next(batches)
        yield next(batches)
        NOTICE.give()
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoader, "epoch", ended)
        assert train(tmp_path / "checkpoint", at=100)[2] == 2
    assert train(tmp_path / "checkpoint")[2] == 13


def test_only_a_training_takes_notice() -> None:
    notice = Notice()
    assert not notice.give()
    with notice.heeding():
        assert not notice.given
        assert notice.give()
        assert notice.pending
        assert not notice.wait(0)
    assert notice.given
    assert not notice.pending
    assert not notice.give()
    with notice.heeding():
        assert not notice.given


def test_who_gave_notice_waits_for_what_is_done_with_the_checkpoint() -> None:
    notice = Notice()
    with notice.held():
        assert not notice.give()  # no training takes steps
        with notice.heeding():
            assert notice.give()
        assert not notice.pending
        assert not notice.wait(0)
    assert notice.wait(0)


def test_who_gave_notice_can_wait_for_the_end() -> None:
    notice, begun = Notice(), threading.Event()

    def train() -> None:
        with notice.heeding():
            begun.set()
            while not notice.given:
                pass

    training = threading.Thread(target=train)
    training.start()
    begun.wait()
    assert notice.give()
    assert notice.wait(10)
    training.join()
