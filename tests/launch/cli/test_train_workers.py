"""`sparrow train` by several workers."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
import torch

from launch.cli.long_training import LongTraining
from launch.cli.workers import WorkerOptions
from launch.trial.progress import notes_in
from launch.trial.result import read_result
from tests.launch.conftest import Run
from tests.launch.drivers.started import ray_workers, start, wait_for

PATIENCE = 400
"""Seconds after which a training counts as hung."""


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--workers", 0), 2, "'--workers': must be 1 or more"),
        (("--workers", 1000), 1,
         r"the training has 1,000 workers with 1 CPU each, 1000 CPUs in all, and there is room for "
         r"\d+: lower --workers"),
        (("--workers", 2, "--cpus", 3), 1,
         "--cpus 3: it is shared by the 2 workers of the training, which need the same"),
        (("--gpus", 64), 1,
         r"a worker of the training needs 1 CPU and 1 GPU, as 64 of them share 64 CPUs and 64 "
         r"GPUs, and no node has that many: .*: lower --cpus or --gpus"),
        (("--gpus", 2, "--device", "cpu"), 2, "--gpus: 2: --device is cpu; give one of the two"),
        (("--workers", 2, "--device", "cuda:1"), 1, "Ray assigns a GPU"),
        (("--workers", 2, "--set", "train.batch_size=1"), 1,
         "a batch of 1 cannot be shared by 2 workers: raise train.batch_size, or take fewer"),
        (("--address", "127.0.0.1:1"), 1, "--address 127.0.0.1:1: no Ray answers there"),
    ],
)  # fmt: skip
def test_workers_that_there_is_no_room_for_are_refused_at_once(
    run: Run, trial: Path, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...], status: int, message: str,
) -> None:  # fmt: skip
    if "64" in map(str, options) and torch.cuda.is_available():
        pytest.skip("there are GPUs")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    out = tmp_path / "out"
    code, text = run(
        "train", trial, "--data", shapes_folder, "--to", "none", "--out", out, *options
    )
    assert code == status, text
    assert re.search(message, text), text
    assert not out.exists()


def test_a_training_remembers_its_workers_and_may_go_on_with_others(
    run: Run, trial: Path, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[WorkerOptions] = []

    def train(training: LongTraining, *given: object) -> None:
        asked.append(training.workers)
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.cli.train._by_workers", train)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    out = tmp_path / "out"
    given = ("train", trial, "--data", shapes_folder, "--to", "none", "--out", out)
    for arguments in (
        (*given, "--workers", 2, "--cpus", 4),
        ("train", "--resume", out),
        ("train", "--resume", out, "--workers", 3),
    ):
        code, text = run(*arguments)
        assert code == 130, text
    assert [(workers.count, workers.cpus) for workers in asked] == [(2, 4), (2, 4), (3, None)]


def losses_of(folder: Path) -> dict[int, float]:
    """The sum of the losses of each epoch, by its number."""
    notes = [note for note in notes_in(folder / "progress.jsonl") if note.losses]
    assert [note.epoch for note in notes] == sorted({note.epoch for note in notes}), "begun again"
    return {note.epoch: sum(note.losses.values()) for note in notes}


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_two_workers_train_like_one_through_the_loss_of_a_worker_and_of_the_command(
    run: Run, trial: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    given = (trial, "--data", shapes_folder, "--device", "cpu", "--epochs", 60)
    given += ("--to", "torch-export", "--out")
    with open(tmp_path / "said.txt", "w") as said:
        command = start(*given, together, "--workers", 2, command="train", output=said)
        stages = together / "stages"
        wait_for(lambda: any(stages.glob("*/scratch/checkpoint")), command, PATIENCE)
        os.kill(ray_workers(command.pid, b"ray::RayTrainWorker")[-1], signal.SIGKILL)
        wait_for(
            lambda: "A worker was lost" in (tmp_path / "said.txt").read_text(), command, PATIENCE
        )
        begun = (together / "progress.jsonl").stat().st_size
        wait_for(
            lambda: (together / "progress.jsonl").stat().st_size > begun + 300, command, PATIENCE
        )
        os.killpg(command.pid, signal.SIGKILL)
        command.wait(PATIENCE)
    assert not (together / "result.json").exists()
    code, text = run("train", "--resume", together, "--device", "cpu", "--json")
    assert code == 0, text
    assert "Training by 2 workers with 1 CPU each" in text
    result = read_result(together / "result.json")
    assert result.workers == 2
    tree = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]
    assert tree["epochs"] == 60
    assert tree["before"]["metrics"].keys() == tree["after"]["metrics"].keys()
    assert (together / "dense/detector.pt2").exists()
    assert (together / "evaluation/evaluation.html").exists()
    code, text = run("train", *given, alone)
    assert code == 0, text
    one, two = losses_of(alone), losses_of(together)
    assert one.keys() == two.keys() == set(range(1, 61))
    assert [two[epoch] for epoch in one] == pytest.approx(list(one.values()), rel=0.05)
