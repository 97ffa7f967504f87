"""No step of any family waits for the device, and what it broke is neither saved nor shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compress import distillation_term, sparsity_term
from detectors.data.loader import Batch
from detectors.detector import Detector
from detectors.features import Outputs
from detectors.training.losses import Losses, TrainingFailed
from detectors.training.run import Run, Term
from detectors.training.train import Snapshots, fit
from searchspace import TrainConfig, papers
from searchspace.augmentation import MultiScale
from searchspace.distillation import ChannelWise, Logits
from tests.contracts.systems import EVEN, narrow
from tests.waiting import Waited, no_waiting

SIZE = 64
RECIPE = TrainConfig(
    epochs=1, batch_size=4, learning_rate=1e-3, precision="float32", warmup_epochs=0
)


class Held:
    """A loader that repeats one batch, on the device already."""

    def __init__(self, device: torch.device, steps: int) -> None:
        random = torch.Generator().manual_seed(0)
        images = torch.randint(256, (4, 3, SIZE, SIZE), generator=random, dtype=torch.uint8)
        box = torch.tensor([[8.0, 8.0, 40.0, 40.0], [20.0, 30.0, 28.0, 38.0]])
        target = {"boxes": box, "labels": torch.tensor([1, 2])}
        none = {name: value[:0] for name, value in target.items()}
        self.batch = Batch(images.to(device), [target, none, target, target])
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, number: int, skipped: int = 0) -> Iterator[Batch]:
        yield from [self.batch] * (self.steps - skipped)


def built(name: str, device: torch.device) -> Detector:
    torch.manual_seed(0)
    return Detector(narrow(papers[name].trial.detector, EVEN)).to(device)


FAMILIES = {
    "ssdmnetv1_s1l0": {"ema": 0.9, "optimizer": "adamw", "accumulate": 2},
    "yolox_tiny": {"epochs": 2, "plain_epochs": 1, "multi_scale": MultiScale(largest=1.5, every=1)},
    "gfl_r50": {"ema": 0.9, "optimizer": "adamw"},
}


def terms(detector: Detector, device: torch.device) -> list[Term]:
    """All terms that there are, but for those that do not fit the head."""
    teacher = built("ssdmnetv1_s1l0", device)
    found = [
        sparsity_term(detector, 1e-4),
        distillation_term(ChannelWise(location="both"), detector, teacher),
    ]
    if detector.config.head.softmax:
        found.append(distillation_term(Logits(), detector, teacher))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_no_step_waits_for_the_device(
    name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, seen = built(name, device), []
    step = Run.step

    def watched(self: Run, batch: Batch, plain: bool) -> tuple[dict[str, Tensor], Tensor]:
        if not seen:  # cuDNN tries its algorithms, and terms move their teachers
            step(self, batch, plain)
        with no_waiting(device):
            losses, norm = step(self, batch, plain)
        seen.append(losses.keys())
        return losses, norm

    monkeypatch.setattr(Run, "step", watched)
    recipe = RECIPE.changed(**FAMILIES[name])
    fit(detector, Held(device, steps=2), recipe, terms(detector, device))
    assert len(seen) == 2 * recipe.epochs
    assert {"boxes", "classes", "sparsity", "distilled_classes", "distilled_maps"} <= seen[0]
    assert ("coded" in seen[-1]) == (name == "yolox_tiny")


def test_what_waits_is_noticed(device: torch.device) -> None:
    numbers = torch.arange(3.0, device=device)
    with no_waiting(device):
        numbers.add(1).clamp(max=2).sum()
    for wait in (numbers[0].item, lambda: numbers[numbers > 1], (numbers > 1).nonzero):
        with pytest.raises((Waited, RuntimeError)), no_waiting(device):
            wait()


# ---- reading


def fill(losses: Losses, steps: int, broken: int | None = None, norm: float = 1.0) -> None:
    for step in range(steps):
        bad = float("nan") if step == broken else float(step)
        losses.add({"boxes": torch.tensor(bad), "classes": torch.tensor(1.0)}, torch.tensor(norm))


def test_losses_are_read_every_fifty_steps_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = [], Losses.read
    monkeypatch.setattr(Losses, "read", lambda self: (reads.append(1), read(self)))
    losses = Losses(0, 0, "")
    fill(losses, 120)
    assert len(reads) == 2
    assert losses.means() == {"boxes": 59.5, "classes": 1.0}
    assert len(reads) == 3


def test_a_broken_loss_is_reported_with_its_term_step_and_batch() -> None:
    losses = Losses(epoch=2, steps=200, advice="lower it")
    message = (
        r"not finite \(boxes\) in epoch 3 at its batch 57, step 257 .*'classes': 1.0.*lower it"
    )
    with pytest.raises(TrainingFailed, match=message):
        fill(losses, 100, broken=56)


def test_a_broken_gradient_is_reported_like_a_loss() -> None:
    losses = Losses(0, 0, "lower it")
    fill(losses, 3)
    fill(losses, 1, norm=math.inf)
    with pytest.raises(TrainingFailed, match=r"gradient is not finite.*batch 4, step 4 "):
        losses.means()


def test_nothing_is_saved_or_shown_of_a_broken_training(
    device: torch.device, tmp_path: Path
) -> None:
    """The last step of the second epoch breaks the weights by its gradient alone."""
    checkpoint, shown, steps = tmp_path / "checkpoint.pt", [], []

    def breaks(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        steps.append(1)
        scale = detector.head.boxes[0].weight.sum() * 0
        return {"root": (scale + 1).sqrt() if len(steps) < 4 else scale.sqrt()}

    with pytest.raises(TrainingFailed, match=r"gradient is not finite.* 2 at its batch 2"):
        fit(
            built("ssdmnetv1_s1l0", device),
            Held(device, steps=2),
            RECIPE.changed(epochs=2),
            [breaks],
            checkpoint,
            on_epoch=lambda epoch, _: shown.append(epoch),
            snapshots=Snapshots((1, 2), lambda epoch, _: shown.append(epoch)),
        )
    assert shown == [1, 1]
    state = torch.load(checkpoint, weights_only=True)
    assert state["epochs"] == 1
    assert all(t.isfinite().all() for t in state["trained"].values())
