"""Data at an address, which nodes fetch once; here the address is that of a folder."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from detectors.data import fetched
from detectors.data.fetched import Fetched, NoRoom
from detectors.data.readers import DataSource
from detectors.data.reading import read_source, read_split
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.data.source import Split
from detectors.data.validation import DataError
from detectors.remote import Remote, RemoteError
from tests.conftest import Become

IMAGES = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "set"
    return generate_shapes(folder, ShapesConfig(train_images=4, val_images=3, size=64))


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """What lies at the address."""
    return shutil.copytree(made, tmp_path / "there")


@pytest.fixture
def address(place: Path) -> str:
    return f"file://{place}"


@pytest.fixture
def gets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are fetched."""
    names, get = list[str](), Remote.get

    def noted(self: Remote, info: Any, target: Path, durably: bool = True) -> None:
        names.append(f"{target.parent.name}/{target.name}")
        get(self, info, target, durably)

    monkeypatch.setattr(Remote, "get", noted)
    return names


def test_they_are_fetched_once_and_are_what_lies_there(
    place: Path, address: str, gets: list[str], become_node: Become
) -> None:
    cache = become_node("a")
    source = DataSource.from_folder(address)
    assert len(gets) == len(set(gets)) == IMAGES + 2
    there = DataSource.from_folder(place)
    assert source.layout == there.layout
    assert source.shown == address
    assert [s.fingerprint for s in read_source(source)] == [
        s.fingerprint for s in read_source(there)
    ]
    assert source.train.images.is_relative_to(cache)
    assert DataSource.from_folder(address) == source
    assert DataSource.from_folder(f"{address}/") == source
    assert len(gets) == IMAGES + 2


def test_several_processes_fetch_them_once(
    address: str, gets: list[str], become_node: Become
) -> None:
    become_node("a")
    all_of_them = [threading.Thread(target=DataSource.from_folder, args=[address]) for _ in "abcd"]
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join()
    assert len(gets) == IMAGES + 2


def test_what_was_fetched_when_it_failed_stays(
    address: str, gets: list[str], become_node: Become, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_node("a")
    monkeypatch.setattr("detectors.remote.AT_ONCE", 1)
    get = Remote.get

    def breaks(self: Remote, info: Any, target: Path, durably: bool = True) -> None:
        if len(gets) == 3:
            raise RemoteError(f"{self}: it does not answer")
        get(self, info, target, durably)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "get", breaks)
        with pytest.raises(RemoteError):
            DataSource.from_folder(address)
    assert len(gets) == 3
    train, _ = read_source(DataSource.from_folder(address))
    assert len(train.images) == 4
    assert len(gets) == len(set(gets)) == IMAGES + 2


def test_data_that_change_are_others_and_only_what_changed_is_fetched(
    place: Path, address: str, gets: list[str], become_node: Become
) -> None:
    become_node("a")
    old = DataSource.from_folder(address)
    before = read_split(old.val)
    image = next((place / "val").iterdir())
    image.write_bytes(image.read_bytes() + b"more")
    gets.clear()
    new = DataSource.from_folder(address)
    assert gets == [f"val/{image.name}"]
    assert new != old
    assert read_split(new.val).fingerprint != before.fingerprint
    assert read_split(old.val).fingerprint == before.fingerprint  # still here, as it was
    become_node("b")
    with pytest.raises(DataError, match=f"{address}(?s:.*)others than when the data were first"):
        read_split(old.val)


def test_a_split_that_was_stored_is_read_on_another_node(address: str, become_node: Become) -> None:
    become_node("a")
    split = DataSource.from_folder(address).train
    text = TypeAdapter(Split).dump_json(split)
    assert address in text.decode()
    cache = become_node("b")
    found = TypeAdapter(Split).validate_json(text)
    assert found.images.is_relative_to(cache)
    assert len(read_split(found).images) == 4


def test_problems_name_the_address(place: Path, address: str, become_node: Become) -> None:
    cache = become_node("a")
    next((place / "val").iterdir()).unlink()
    with pytest.raises(DataError, match=f"{address}/val/.* does not exist") as error:
        read_source(DataSource.from_folder(address))
    assert str(cache) not in str(error.value)
    with pytest.raises(DataError, match=r"there are no files; give the address of a folder"):
        DataSource.from_folder(f"{address}/nothing")
    (place / "empty").mkdir()
    (place / "empty/notes.txt").write_text("")
    with pytest.raises(DataError, match=f"{address}/empty(?s:.*)has no known layout") as error:
        DataSource.from_folder(f"{address}/empty")
    assert str(cache) not in str(error.value)


def test_room_is_made_by_removing_what_no_process_uses(
    place: Path, address: str, become_node: Become, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_node("a")
    unused = Fetched.of(f"file://{shutil.copytree(place, place.with_name('other'))}")
    os.close(fetched._uses.pop(unused.home))  # as when its process has ended
    used = Fetched.of(address)
    size = fetched.on_node()[0].bytes

    def disk_usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=size // 2 if unused.is_here else 2 * size)

    monkeypatch.setattr(fetched.shutil, "disk_usage", disk_usage)
    fetched._make_room(size // 3)
    assert unused.is_here
    fetched._make_room(size)
    assert (unused.is_here, used.is_here) == (False, True)
    with pytest.raises(NoRoom, match=r"the data take .* GB more, but of the disk of"):
        fetched._make_room(2 * size)
    assert used.is_here
    assert [data.address for data in fetched.on_node()] == [address]


def test_what_is_here_is_noted_without_a_key(address: str, become_node: Become) -> None:
    become_node("a")
    there = Fetched.of(address)
    note = json.loads((there.home / "fetched.json").read_text())
    assert note["address"] == address
    assert note["files"] == IMAGES + 2
    with pytest.raises(ValueError, match=r"s3://\*\*\*@bucket/set: .* may hold no key") as error:
        DataSource.from_folder("s3://KEY:hidden@bucket/set")
    assert "hidden" not in str(error.value)
