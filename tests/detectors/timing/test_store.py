from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from detectors.timing.store import Nominal, SpeedStore, nominal_ms
from tests.processes import process

KEY = {"device": "a", "threads": 1}


@pytest.fixture
def store(tmp_path: Path) -> SpeedStore:
    return SpeedStore(tmp_path / "speed")


def latency(milliseconds: float) -> Nominal:
    return Nominal(milliseconds=milliseconds)


def test_stored_values_are_found_by_key_only(store: SpeedStore) -> None:
    assert store.find(KEY, Nominal) is None
    assert store.keep(KEY, latency(3.5)) == latency(3.5)
    assert store.find(dict(reversed(KEY.items())), Nominal) == latency(3.5)
    assert store.find({**KEY, "threads": 2}, Nominal) is None
    assert SpeedStore(store.folder).find(KEY, Nominal) == latency(3.5)


def test_the_first_one_stays(store: SpeedStore) -> None:
    store.keep(KEY, latency(3.5))
    assert store.keep(KEY, latency(1.0)) == latency(3.5)


def test_the_first_one_stays_where_there_are_no_hard_links_until_it_is_replaced(
    store: SpeedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert store.keep(KEY, latency(3.5)) == latency(3.5)
    assert store.find(KEY, Nominal) == latency(3.5)


def test_only_whole_files_are_left(store: SpeedStore) -> None:
    for milliseconds in (3.5, 1.0):
        store.keep(KEY, latency(milliseconds))
        store.improve(KEY, latency(milliseconds))
    files = list(store.folder.iterdir())
    assert len(files) == 1
    assert json.loads(files[0].read_text()) == {"milliseconds": 1.0}


def test_a_damaged_file_is_named(store: SpeedStore) -> None:
    store.keep(KEY, latency(3.5))
    file = next(store.folder.iterdir())
    file.write_text('{"milliseconds": ')
    with pytest.raises(ValueError, match=rf"{file.name}: damaged .*delete the file"):
        store.find(KEY, Nominal)


def keep_all(store: SpeedStore, folder: Path, number: int) -> None:
    """Keep a value of one's own under many keys, and write down which one is kept."""
    for key in range(50):
        kept = store.keep({"key": key}, latency(number))
        (folder / f"{number}-{key}").write_text(str(kept.milliseconds))


def test_processes_that_come_together_agree(store: SpeedStore, tmp_path: Path) -> None:
    writers = [process(keep_all, store, tmp_path, number) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    for key in range(50):
        assert len({(tmp_path / f"{number}-{key}").read_text() for number in range(4)}) == 1


def test_a_node_keeps_the_best_and_a_store_its_first(store: SpeedStore) -> None:
    assert nominal_ms(KEY, 4.0, store) == 4.0
    assert nominal_ms(KEY, 3.0, store) == 4.0
    assert nominal_ms(KEY, 5.0, None) == 3.0
    assert nominal_ms({**KEY, "device": "b"}, 5.0, store) == 5.0
    assert nominal_ms(KEY, 5.0, SpeedStore(store.folder / "another")) == 3.0
