"""A study at an address, and the copies that nodes have of it; here in a folder."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from detectors.locks import Busy
from launch.cli import option_types
from launch.files import JOURNAL, MANIFEST, SETTINGS
from launch.trial import claims, copies, store
from launch.trial.claims import claimants, claimed
from launch.trial.copies import SentJournal, bring, fetch_study, kept, missing_folders, study_place
from launch.trial.data import given_path
from launch.trial.remote_study import RemoteStudy, remote_of
from launch.trial.store import Store
from tests.launch.conftest import Node


def test_what_one_node_sends_another_one_fetches(node: Node, place: Path) -> None:
    here = node("a")
    (here.copy / "trials/0000-x/dense").mkdir(parents=True)
    (here.copy / "trials/0000-x/result.json").write_text("{}")
    (here.copy / "trials/0000-x/dense/weights").write_bytes(b"w")
    (here.copy / "trials/0000-x/half.partial").write_text("")
    (here.copy / SETTINGS).write_text("settings")
    here.send(SETTINGS)
    here.send_folder("trials/0000-x", last="result.json")
    assert sorted(here.listing()) == [
        "study.json", "trials/0000-x/dense/weights", "trials/0000-x/result.json"
    ]  # fmt: skip
    assert not list(place.rglob("*.partial"))
    there = node("b")
    assert there.copy != here.copy
    assert remote_of(there.copy) == there
    fetch_study(there.copy)
    assert (there.copy / SETTINGS).read_text() == "settings"
    assert (there.copy / "trials/0000-x/result.json").exists()
    dense = there.copy / "trials/0000-x/dense"
    assert not dense.exists()  # only who needs a detector fetches it
    assert missing_folders(there.copy, ["trials/0000-x/dense", "trials/0000-x/int8"]) == {
        "trials/0000-x/int8"
    }
    assert (bring(dense) / "weights").read_bytes() == b"w"


def test_the_newer_file_counts(node: Node, place: Path) -> None:
    here = node("a")
    (here.copy / SETTINGS).write_text("old")
    here.send(SETTINGS)
    (here.copy / SETTINGS).write_text("changed here, and not sent")
    fetch_study(here.copy)
    assert (here.copy / SETTINGS).read_text() == "changed here, and not sent"
    there = node("b")
    (there.copy / SETTINGS).write_text("new")
    there.send(SETTINGS)
    os.utime(place / SETTINGS, (time.time() + 9, time.time() + 9))
    here = node("a")
    fetch_study(here.copy)
    assert (here.copy / SETTINGS).read_text() == "new"


def test_a_journal_is_sent_in_pieces(
    node: Node, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PIECE", 10)
    here = node("a")
    journal = here.copy / JOURNAL
    journal.write_bytes(b"")
    sent = SentJournal(here.copy)
    sent.send_all()
    times = []
    for line in (b"first line\n", b"second line\n", b"3\n"):
        with journal.open("ab") as file:
            file.write(line)
        sent.send()
        times.append({p.name: p.stat().st_mtime_ns for p in (place / copies.PIECES).iterdir()})
    assert sorted(times[-1]) == ["000000", "000001", "000002"]
    assert times[0]["000000"] == times[2]["000000"]  # it was whole already
    there = node("b")
    fetch_study(there.copy)
    assert (there.copy / JOURNAL).read_bytes() == journal.read_bytes()
    journal.write_bytes(b"shorter\n")  # as when damaged lines were set aside
    SentJournal(here.copy).send_all()
    assert [p.name for p in (place / copies.PIECES).iterdir()] == ["000000"]
    # What this node has beyond the address stays.
    ahead = journal.read_bytes() + b"and more\n"
    journal.write_bytes(ahead)
    os.utime(journal, (1, 1))
    node("a")
    fetch_study(here.copy)
    assert journal.read_bytes() == ahead


def stage(study: RemoteStudy, made: list[str], text: str = "value") -> Path:
    def make(folder: Path) -> None:
        made.append(text)
        (folder / "file").write_text(text)

    return Store(study.copy / "stages").once("train", {"seed": 0}, make).folder


def test_a_stage_is_made_once_for_all_nodes(
    node: Node, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []
    first = stage(node("a"), made)
    second = stage(node("b"), made)
    assert made == ["value"]
    assert first != second
    assert (second / "file").read_text() == "value"
    (second / "file").write_text("damaged")
    assert (stage(node("b"), made) / "file").read_text() == "value"
    assert made == ["value"]  # it was fetched again
    assert "is damaged" in caplog.text
    (place / "stages" / second.name / "file").write_text("damaged there")
    assert (stage(node("c"), made, "again") / "file").read_text() == "again"
    assert made == ["value", "again"]
    assert (stage(node("d"), made) / "file").read_text() == "again"
    assert sorted(p.name for p in (place / "stages").rglob("*") if p.is_file()) == [
        "file", "stage.json"
    ]  # fmt: skip


def test_a_stage_that_was_not_sent_is_sent_when_it_is_needed_again(node: Node, place: Path) -> None:
    made: list[str] = []
    folder = stage(node("a"), made)
    manifest = place / "stages" / folder.name / MANIFEST
    manifest.unlink()
    stage(node("a"), made)
    assert manifest.exists()
    assert made == ["value"]


@pytest.mark.parametrize("lag", [0.02, 60.0])
def test_an_unfinished_stage_goes_on_from_its_checkpoint_on_another_node(
    node: Node, monkeypatch: pytest.MonkeyPatch, lag: float
) -> None:
    monkeypatch.setattr(store, "LAG", lag)

    def killed(folder: Path) -> None:
        (folder / "scratch").mkdir()
        (folder / "scratch/checkpoint").write_text("epoch 3")
        while lag < 1 and not any(name.endswith("checkpoint") for name in here.listing()):
            time.sleep(0.02)
        raise KeyboardInterrupt  # as when the process is given notice

    def goes_on(folder: Path) -> None:
        (folder / "file").write_text((folder / "scratch/checkpoint").read_text())

    here = node("a")
    with pytest.raises(KeyboardInterrupt):
        Store(here.copy / "stages").once("train", {}, killed)
    there = node("b")
    folder = Store(there.copy / "stages").once("train", {}, goes_on).folder
    assert (folder / "file").read_text() == "epoch 3"
    assert not any("partial" in name for name in there.listing())


def test_the_files_of_a_trial_follow_it_from_node_to_node(node: Node) -> None:
    here = node("a")
    with kept(here.copy / "trials/0000-x"):
        (here.copy / "trials/0000-x/log.txt").write_text("one\n")
    there = node("b")
    with kept(there.copy / "trials/0000-x"):
        log = there.copy / "trials/0000-x/log.txt"
        log.write_text(log.read_text() + "two\n")
    node("a")
    os.utime(here.copy / "trials/0000-x/log.txt", (1, 1))
    fetch_study(here.copy)
    assert (here.copy / "trials/0000-x/log.txt").read_text() == "one\ntwo\n"


def test_a_study_needs_a_folder_at_its_address() -> None:
    with pytest.raises(ValueError, match="give a folder below it"):
        RemoteStudy.at("s3://bucket")


def test_an_address_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="is an address; give a path"):
        option_types.out_folder("s3://bucket/folder")
    with pytest.raises(ValueError, match="give a path"):
        given_path("out", "s3://bucket/folder")
    assert study_place("out", "folder") == Path("folder")
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time_claims_a_study(node: Node, place: Path) -> None:
    here = node("a")
    with claimed(here, "claims", "working", wait=False):
        (holder,) = claimants(here, "claims")
        assert holder.pid == os.getpid()
        with pytest.raises(Busy, match="working"), claimed(here, "claims", "too", wait=False):
            pass
        for file in (place / "claims").iterdir():  # as if its process had been killed
            os.utime(file, (1, 1))
        assert not list(claimants(here, "claims"))
        with claimed(here, "claims", "working", wait=False):
            pass
    assert here.listing() == {}


def test_who_waits_for_a_claim_goes_on_after_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAUSE", 0.02)
    here, order = node("a"), list[str]()

    def second() -> None:
        with claimed(here, "claims", "waiting"):
            order.append("second")

    with claimed(here, "claims", "working"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_reports_are_not_fetched_over_those_of_a_search_on_this_node(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from detectors.locks import held

    caplog.set_level(logging.WARNING)
    here = node("a")
    (here.copy / SETTINGS).write_text("ours")
    here.send(SETTINGS)
    os.utime(here.copy / SETTINGS, (1, 1))
    (here.copy / SETTINGS).write_text("written by the search")
    os.utime(here.copy / SETTINGS, (1, 1))
    with held(here.copy / "study.lock", "working on it"):
        fetch_study(here.copy)
        assert (here.copy / SETTINGS).read_text() == "written by the search"
    fetch_study(here.copy)
    assert (here.copy / SETTINGS).read_text() == "ours"
