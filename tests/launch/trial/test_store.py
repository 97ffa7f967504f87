"""The store with made-up stages: nothing is trained here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from pydantic import BaseModel

from launch.files import MANIFEST, SCRATCH
from launch.trial.store import Artefact, Manifest, Store
from tests.processes import process

INPUTS = {"epochs": 3, "data": "abc"}


class Score(BaseModel):
    ap: float


def writer(text: str, calls: list[Path]) -> Callable[[Path], None]:
    """A stage that leaves `text` and notes each time that it is run."""

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / "weights").write_text(text)

    return make


def made(store: Store, calls: list[Path], **changes: object) -> Artefact:
    return store.once("train", INPUTS | changes, writer("seen", calls))


def test_a_stage_is_run_once(tmp_path: Path) -> None:
    calls: list[Path] = []
    artefact = made(Store(tmp_path), calls)
    assert (artefact.folder / "deep" / "weights").read_text() == "seen"
    assert made(Store(tmp_path), calls) == artefact
    assert len(calls) == 1
    manifest = Manifest.model_validate_json((artefact.folder / MANIFEST).read_text())
    assert (manifest.stage, manifest.inputs) == ("train", INPUTS)
    assert set(manifest.files) == {"deep/weights"}


def test_all_inputs_count_and_their_order_does_not(tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []
    keys = {made(store, calls, **change).key for change in ({}, {"epochs": 4}, {"seed": 0})}
    keys.add(store.once("finetune", INPUTS, writer("", calls)).key)
    assert len(keys) == len(calls) == 4
    turned = dict(reversed(INPUTS.items()))
    assert store.once("train", turned, writer("", calls)).key in keys
    assert len(calls) == 4


def test_a_failed_attempt_leaves_its_files_for_the_next_one(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def half(folder: Path) -> None:
        (folder / SCRATCH).mkdir()
        (folder / SCRATCH / "checkpoint").write_text("epoch 1")
        (folder / "weights").write_text("ha")
        raise KeyboardInterrupt

    def rest(folder: Path) -> None:
        assert (folder / SCRATCH / "checkpoint").read_text() == "epoch 1"
        (folder / "weights").write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        store.once("train", INPUTS, half)
    assert not any((folder / MANIFEST).exists() for folder in tmp_path.iterdir())
    artefact = store.once("train", INPUTS, rest)
    assert {file.name for file in artefact.folder.iterdir()} == {"weights", MANIFEST}


def test_a_crash_before_the_last_step_leaves_no_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def refuse(source: Path, target: Path) -> None:
        if Path(source).is_dir():
            raise OSError("the power is gone")
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("launch.trial.store.os.replace", refuse)
        with pytest.raises(OSError, match="power"):
            made(Store(tmp_path), calls)
    assert not calls[0].with_suffix("").exists()
    artefact = made(Store(tmp_path), calls)
    assert (artefact.folder / "deep" / "weights").read_text() == "seen"
    assert len(calls) == 2


def cut(folder: Path) -> None:
    (folder / "deep" / "weights").write_text("see")


def lose(folder: Path) -> None:
    (folder / "deep" / "weights").unlink()


def forget(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def garble(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


@pytest.mark.parametrize("damage", [cut, lose, forget, garble])
def test_a_damaged_artefact_is_warned_of_and_made_again(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Path] = []
    artefact = made(Store(tmp_path), calls)
    damage(artefact.folder)
    assert made(Store(tmp_path), calls) == artefact
    assert len(calls) == 2
    assert f"{artefact.folder} is damaged" in caplog.text
    assert (artefact.folder / "deep" / "weights").read_text() == "seen"
    made(Store(tmp_path), calls)
    assert len(calls) == 2


def test_a_foreign_file_beside_an_artefact_does_no_harm(tmp_path: Path) -> None:
    calls: list[Path] = []
    artefact = made(Store(tmp_path), calls)
    (artefact.folder / ".DS_Store").write_text("?")
    made(Store(tmp_path), calls)
    assert len(calls) == 1


def test_a_moved_store_is_whole(tmp_path: Path) -> None:
    calls: list[Path] = []
    made(Store(tmp_path / "here"), calls)
    (tmp_path / "here").rename(tmp_path / "there")
    artefact = made(Store(tmp_path / "there"), calls)
    assert artefact.folder.is_relative_to(tmp_path / "there")
    assert len(calls) == 1


def test_a_record_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    value, artefact = store.record("evaluate", INPUTS, Score, lambda: Score(ap=0.1 + 0.2))
    assert value == Score(ap=0.1 + 0.2)
    again, same = store.record("evaluate", INPUTS, Score, lambda: pytest.fail("evaluated again"))
    assert (again, same) == (value, artefact)


def work(store: Path, log: Path, seconds: float) -> None:
    """Make an artefact in so many seconds, unless it is there, and note each time it is made."""

    def make(folder: Path) -> None:
        with open(log, "a") as file:
            file.write("made\n")
        time.sleep(seconds)
        (folder / "weights").write_text("whole")

    artefact = Store(store).once("train", {}, make)
    assert (artefact.folder / "weights").read_text() == "whole"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[float], BaseProcess]]:
    """Starts processes that want the same artefact, and ends those that are left."""
    processes: list[BaseProcess] = []

    def run(seconds: float) -> BaseProcess:
        processes.append(process(work, tmp_path / "store", tmp_path / "log", seconds))
        processes[-1].start()
        return processes[-1]

    yield run
    for left in processes:
        left.kill()
        left.join()


def wait_for(log: Path) -> None:
    end = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(worker: BaseProcess) -> bool:
    worker.join(60)
    return worker.exitcode == 0


def test_of_two_processes_one_makes_it_and_the_other_waits(
    start: Callable[[float], BaseProcess], tmp_path: Path
) -> None:
    workers = [start(1.0) for _ in range(2)]
    assert all(ended(worker) for worker in workers)
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_killed_process_leaves_the_stage_to_the_one_that_waits(
    start: Callable[[float], BaseProcess], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = start(600)
    wait_for(log)
    second = start(0)
    time.sleep(0.5)
    assert second.is_alive()
    assert log.read_text() == "made\n"
    first.kill()
    assert ended(second)
    assert log.read_text() == "made\n" * 2


def test_who_makes_a_stage_is_named_to_those_that_wait(
    start: Callable[[float], BaseProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("detectors.locks.PATIENCE", 0.1)
    maker = start(1.5)
    wait_for(tmp_path / "log")
    artefact = Store(tmp_path / "store").once("train", {}, lambda _: pytest.fail("made again"))
    assert artefact.folder.exists()
    (line,) = (r.message for r in caplog.records if "waiting for" in r.message)
    assert f"process {maker.pid} (" in line
    assert f"has been making {artefact.key} since " in line


def test_a_link_in_place_of_a_lock_is_refused_and_not_followed(tmp_path: Path) -> None:
    store, victim = Store(tmp_path / "store"), tmp_path / "victim"
    victim.write_text("precious")
    lock = store.folder / "locks" / store.artefact("train", {}).key
    lock.parent.mkdir(parents=True)
    lock.symlink_to(victim)
    with pytest.raises(OSError, match=f"{lock.name}: a lock must be a regular file.*delete it"):
        store.once("train", {}, lambda _: pytest.fail("made"))
    assert victim.read_text() == "precious"
