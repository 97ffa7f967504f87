"""Compiled training steps learn what others do, and are taken where they pay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.training import compiling
from detectors.training.compiling import Choice, NetworkStep, noted_by
from detectors.training.train import fit
from searchspace import TrainConfig
from searchspace.augmentation import MultiScale

MakeDetector = Callable[..., Detector]
Trained = tuple[Detector, list[dict[str, float]], list[Choice]]
Train = Callable[..., Trained]


@pytest.fixture
def train(shapes: tuple[Dataset, Dataset], make_detector: MakeDetector) -> Train:
    """Trains a fresh detector on the eight images, two batches an epoch; gives it, its losses by
    epoch, and the choices that were noted."""

    def run(**fields: object) -> Trained:
        settings = TrainConfig(**{"batch_size": 4, "epochs": 5, "precision": "float32", **fields})
        detector = make_detector(input_size=96)
        losses: list[dict[str, float]] = []
        choices: list[Choice] = []
        loader = TrainingLoader(shapes[0], settings, 96, seed=0)
        with noted_by(choices.append):
            fit(detector, loader, settings, on_epoch=lambda _, means: losses.append(means))
        return detector, losses, choices

    return run


class Compiler:
    """Stands for PyTorch's, and for the clock: steps take one second, or less once compiled.

    Attributes:
        calls: functions that were to be compiled.
    """

    def __init__(self, step: float, compiling: float) -> None:
        self.step, self.compiling = step, compiling
        self.calls = 0
        self.now, self.compiled = 0.0, False

    def compile(self, function: Callable, **options: object) -> Callable:
        self.calls += 1

        def call(images: Tensor) -> object:
            if not self.compiled:
                self.now += self.compiling
                self.compiled = True
            return function(images)

        self.compiled = False
        return call

    def perf_counter(self) -> float:
        """The time of a step passes between two calls."""
        self.now += self.step if self.compiled else 1.0
        return self.now


def use(compile: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile by a function in place of `torch.compile`."""
    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)  # it takes seconds to import
    monkeypatch.setattr(compiling.inductor, "missing", lambda device: None)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Compiler]:
    def make(step: float) -> Compiler:
        found = Compiler(step, 3.0)
        use(found.compile, monkeypatch)
        monkeypatch.setattr(compiling, "time", found)
        return found

    return make


def test_what_pays_is_compiled_and_known_to_further_trainings(
    train: Train, compiler: Callable[..., Compiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "COMPILING", 0.5)
    made, (_, expected, _) = compiler(0.5), train(epochs=12)
    _, losses, [choice] = train(epochs=12, compile="auto")
    assert losses == expected  # batch norms, too, are as if nothing had been compiled
    assert choice.compiled
    figures = choice.figures
    assert (figures.plain, figures.compiled, figures.compiling) == (1.0, 0.5, 3.5)
    # Six steps save less than compiling takes, twelve more.
    for epochs, compiled, calls in ((3, False, 1), (6, True, 2)):
        _, _, [choice] = train(epochs=epochs, compile="auto")
        assert (choice.compiled, choice.figures, made.calls) == (compiled, figures, calls)
    # Of another batch, nothing is known.
    _, _, [choice] = train(epochs=6, batch_size=8, compile="auto")
    assert (choice.figures, made.calls) == (None, 2)


def test_steps_that_are_no_faster_are_given_up(
    train: Train, compiler: Callable[..., Compiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "COMPILING", 0.5)
    made = compiler(1.5)
    for epochs in (12, 3):
        _, losses, [choice] = train(epochs=epochs, compile="auto")
        assert (choice.compiled, choice.figures.compiled, made.calls) == (False, 1.5, 1)
        assert len(losses) == epochs


def test_compiling_is_not_tried_in_a_short_training(
    train: Train, compiler: Callable[..., Compiler]
) -> None:
    made = compiler(0.5)
    for epochs, reason in ((3, "too few steps"), (5, "too little time")):
        _, _, [choice] = train(epochs=epochs, compile="auto")
        assert reason in choice.reason
    assert made.calls == 0


def test_a_failure_is_noted_and_steps_go_on(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: Callable, **options: object) -> Callable:
        def call(images: Tensor) -> object:
            function(images)  # of which nothing must be left, in batch norms say
            raise RuntimeError("no such kernel")

        return call

    use(broken, monkeypatch)
    plain, expected, none = train()
    detector, losses, [choice] = train(compile="on")
    assert none == []
    assert choice.reason == "as torch.compile failed: no such kernel"
    assert losses == expected
    assert all(map(torch.equal, plain.state_dict().values(), detector.state_dict().values()))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"accumulate": 2}, "in parts"),
        ({"multi_scale": MultiScale(largest=1.5)}, "several sizes"),
        ({}, "no-such-compiler is not installed"),
    ],
)
def test_what_cannot_be_compiled_says_why(
    fields: dict[str, object], reason: str, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    _, _, [choice] = train(epochs=1, compile="on", **fields)
    assert not choice.compiled
    assert reason in choice.reason


@pytest.mark.slow
def test_ten_compiled_steps_are_those_that_are_not(make_detector: MakeDetector) -> None:
    """In double precision and in small steps: batch norms over a few values amplify rounding a
    thousandfold in each, also without compiling."""
    images = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    found: list[tuple[list[float], Detector]] = []
    choices: list[Choice] = []
    for compile in ("off", "on"):
        detector, losses = make_detector(input_size=96).double().train(), []
        config = TrainConfig(batch_size=4, compile=compile)
        network = NetworkStep(detector, config, torch.float64)
        optimizer = torch.optim.SGD(detector.parameters(), 1e-6, momentum=0.9)
        for left in range(10, 0, -1):
            outputs = network.outputs(images, left)
            raw = outputs.predictions
            loss = sum(x.square().mean() for x in (raw.boxes, raw.classes, *outputs.maps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        choices.append(network.choice)
        found.append((losses, detector))
    assert [choice.compiled for choice in choices] == [False, True], choices
    (expected, plain), (losses, compiled) = found
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses[-1] < 0.99 * losses[0]
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.allclose(compiled.state_dict()[name], tensor, atol=1e-6, rtol=1e-4), name
