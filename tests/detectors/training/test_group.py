"""Trainings by several real processes, which gloo connects."""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.features import Outputs
from detectors.group import ALONE, Group, Share, WorkerLost, divisor
from detectors.losses import gfl_losses, yolox_losses
from detectors.training import run
from detectors.training.notice import NOTICE
from detectors.training.together import together
from detectors.training.train import fit
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.errors import InputError
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors
from searchspace.training import TrainConfig
from tests.processes import process

SIZE = 64

LOW = 1e-5
"""A learning rate by which rounding grows little from step to step."""

HEAD = Multibox(priors=ScaledPriors())


def mean_term(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
    """A loss that is a mean over images, as those of distillation are."""
    return {"mean": 0.1 * outputs.maps[0].square().mean()}


@dataclass(frozen=True)
class Job:
    """A training of one step an epoch, or of two with batches of four.

    Attributes:
        quits: the step in which the last worker disappears.
        noticed: the step in which it is given notice.
        kept: whether there is a checkpoint after each step.
    """

    split: Dataset
    folder: Path
    epochs: int
    batch: int = 8
    quits: int | None = None
    noticed: int | None = None
    kept: bool = False

    def run(self, group: Group = ALONE.group) -> dict[str, Any]:
        """The losses of each epoch, the weights before and after, and the number of steps."""
        recipe = TrainConfig(
            epochs=self.epochs,
            batch_size=self.batch,
            learning_rate=LOW,
            precision="float32",
            ema=0.9,
        )
        if self.kept:
            run.KEPT_EVERY, run.KEPT_SHARE = 0.0, 1e9
        torch.manual_seed(group.rank)  # all start with the first worker's weights
        config = DetectorConfig(
            input_size=SIZE, num_classes=4, width=0.1, backbone=MobileNetV1(), head=HEAD
        )
        detector = Detector(config)
        start = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
        losses: list[dict[str, float]] = []
        steps = 0

        def term(*given: Any) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1
            if group.rank == group.size - 1 and steps == self.quits:
                os._exit(1)
            if group.rank == group.size - 1 and steps == self.noticed:
                assert NOTICE.give()
            return mean_term(*given)

        def note(epoch: int, means: dict[str, float]) -> None:
            losses.append(means)

        loader = TrainingLoader(self.split, recipe, SIZE, seed=0)
        try:
            fit(detector, loader, recipe, (term,), self.folder / "checkpoint", note)
        except KeyboardInterrupt:
            return {"ended after": steps}
        state = detector.state_dict()
        return {"losses": losses, "state": state, "start": start, "steps": steps}


def work(job: Job, rank: int, size: int, attempt: str) -> None:
    """One worker; the first one leaves what came out of it."""
    torch.set_num_threads(1)
    meet = f"file://{job.folder / attempt}"
    distributed.init_process_group("gloo", meet, rank=rank, world_size=size)
    try:
        found = job.run(Group.current())
    except WorkerLost as lost:
        found = {"lost": str(lost)}
    torch.save(found, job.folder / f"{attempt}-{rank}")


def train_with(job: Job, size: int, attempt: str = "first") -> list[dict[str, Any]]:
    """What came out of each worker; nothing for one that disappeared."""
    job.folder.mkdir(exist_ok=True)
    workers = [process(work, job, rank, size, attempt) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode is not None, "a worker hangs"
    files = [job.folder / f"{attempt}-{rank}" for rank in range(size)]
    return [torch.load(file, weights_only=True) if file.exists() else {} for file in files]


def assert_alike(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same up to rounding, in which one worker with two threads differs as much from itself."""
    assert len(found["losses"]) == len(wanted["losses"])
    for one, other in zip(found["losses"], wanted["losses"], strict=True):
        assert one == pytest.approx(other, rel=5e-3)
    errors = []
    for name, tensor in wanted["state"].items():
        if change := (tensor.float() - wanted["start"][name].float()).norm().item():
            errors.append((found["state"][name] - tensor).float().norm().item() / change)
    # Of a few tensors, such as the first, nearly all of the gradient cancels out.
    assert statistics.median(errors) < 0.05


@pytest.mark.parametrize(
    ("size", "epochs"),
    [
        (2, 3),
        pytest.param(3, 20, marks=pytest.mark.slow),
    ],
)
def test_several_workers_train_as_one_does(
    size: int, epochs: int, shapes: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    alone = Job(shapes[0], tmp_path / "alone", epochs).run()
    first, *others = train_with(Job(shapes[0], tmp_path / "group", epochs), size)
    assert_alike(first, alone)
    assert len(alone["losses"]) == epochs
    for other in others:
        assert other["losses"] == []  # only the first one is told of epochs
        assert all(torch.equal(t, other["state"][n]) for n, t in first["state"].items())


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_and_the_group_resumes_from_its_checkpoint(
    shapes: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    alone = Job(shapes[0], tmp_path / "alone", epochs=4).run()
    first, last = train_with(Job(shapes[0], tmp_path / "group", epochs=4, quits=3), 2)
    assert "another worker of the group does not answer" in first["lost"]
    assert last == {}
    again, _ = train_with(Job(shapes[0], tmp_path / "group", epochs=4), 2, "second")
    assert_alike(again, alone | {"losses": alone["losses"][2:]})


def test_notice_to_one_worker_ends_all_with_a_checkpoint_after_its_step(
    shapes: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    alone = Job(shapes[0], tmp_path / "alone", epochs=2, batch=4).run()
    job = Job(shapes[0], tmp_path / "group", epochs=2, batch=4)
    found = train_with(replace(job, noticed=1), 2)
    assert found == [{"ended after": 1}] * 2
    again, other = train_with(job, 2, "second")
    assert (again["steps"], other["steps"]) == (3, 3)
    assert_alike(again, alone)


@pytest.mark.slow
def test_a_group_that_loses_a_worker_repeats_no_step_before_its_last_checkpoint(
    shapes: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    alone = Job(shapes[0], tmp_path / "alone", epochs=2, batch=4).run()
    job = Job(shapes[0], tmp_path / "group", epochs=2, batch=4, kept=True)
    first, _ = train_with(replace(job, quits=2), 2)
    assert "another worker of the group does not answer" in first["lost"]
    again, _ = train_with(job, 2, "second")
    assert again["steps"] == 3
    assert_alike(again, alone)


@dataclass(frozen=True)
class Told(Group):
    """A worker that notes what it would sum up with others, and is told the sums."""

    noted: list[Tensor] = field(default_factory=list)
    told: list[Tensor] = field(default_factory=list)

    def sum(self, tensor: Tensor) -> Tensor:
        self.noted.append(tensor)
        return self.told.pop(0) if self.told else tensor


def gfl(scene: Any, images: slice) -> dict[str, Tensor]:
    boxes, classes, sides = (x[images] for x in (scene.boxes, scene.classes, scene.sides))
    objects = scene.objects.at(images)
    return gfl_losses(boxes, classes, sides, scene.points, scene.counts, objects)


def yolox(scene: Any, images: slice) -> dict[str, Tensor]:
    boxes, classes, scores = (x[images] for x in (scene.boxes, scene.classes, scene.objectness))
    return yolox_losses(boxes, classes, scores, scene.points, scene.objects.at(images))


@pytest.mark.parametrize(("losses_of", "divisors"), [(gfl, 2), (yolox, 1)])
def test_the_losses_of_shares_sum_to_those_of_the_batch(
    losses_of: Callable, divisors: int, make_scene: Callable
) -> None:
    losses = functools.partial(losses_of, make_scene(3, images=3))
    whole, batch = losses(slice(3)), Told(0, 2)
    with Share(batch, 3).counted():
        losses(slice(3))
    found = dict.fromkeys(whole, 0.0)
    for rank, images in enumerate((slice(2), slice(2, 3))):
        share = Share(Told(rank, 2, told=list(batch.noted)), 3)
        with share.counted():
            for name, value in share.weighted(losses(images)).items():
                found[name] += value.item()
    assert len(batch.noted) == divisors  # the positives, and with GFL their weights
    assert found == pytest.approx({name: value.item() for name, value in whole.items()})


def test_shares_are_consecutive_and_their_weights_sum_to_one() -> None:
    shares = [Share(Group(rank, 3), 8) for rank in range(3)]
    assert [list(share.of(range(8))) for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [share.weight for share in shares] == [3 / 8, 3 / 8, 2 / 8]
    assert {share.least for share in shares} == {2}
    with pytest.raises(InputError, match="a batch of 2 cannot be shared by 3 workers"):
        Share(Group(0, 3), 2)


def test_steps_of_workers_on_one_cpu_wait_for_measurements_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Share().takes_turns(cpu)
    second = Share(Group(1, 2), 8)
    assert not second.takes_turns(cpu)
    assert second.takes_turns(gpu)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert second.takes_turns(cpu)


def test_alone_nothing_is_replaced_or_counted() -> None:
    before = torch.nn.functional.batch_norm
    with together(Share()):
        assert torch.nn.functional.batch_norm is before
        assert divisor(torch.tensor(0)) == 1
        assert divisor(torch.tensor(5)) == 5
