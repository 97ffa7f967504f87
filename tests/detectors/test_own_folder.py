"""Folders of one's own, with what another user of the machine may have put in their place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.own_folder import NoOwnFolder, cache_folder, lock_folder
from detectors.quiet import computing, measuring
from detectors.timing.store import Nominal, SpeedStore

CPU = torch.device("cpu")
NOBODY = 65534

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")


class Node:
    """The places of a node, none of which is there yet."""

    def __init__(self, root: Path) -> None:
        self.runtime, self.cache, self.temporary = (
            root / name for name in ("runtime", "cache", "temporary")
        )

    @property
    def locks(self) -> Path:
        """The folder of the locks as long as nothing is wrong with it."""
        return self.runtime / "sparrow"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.runtime))
    monkeypatch.setenv("XDG_CACHE_HOME", str(node.cache))
    monkeypatch.setattr(tempfile, "tempdir", str(node.temporary))
    node.runtime.mkdir()
    node.temporary.mkdir()
    return node


def use() -> None:
    """Takes every lock of a device."""
    with measuring(CPU):
        pass
    with computing(CPU):
        pass


def test_nobody_else_may_enter(node: Node) -> None:
    assert lock_folder() == node.locks
    assert cache_folder().parent == node.cache
    for folder in (lock_folder(), cache_folder()):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_closed_and_foreign_files_are_removed(node: Node) -> None:
    victim = node.temporary / "victim"
    victim.write_text("precious")
    node.locks.mkdir()
    node.locks.chmod(0o777)
    (node.locks / "cpu.door").symlink_to(victim)
    (node.locks / "linked.json").hardlink_to(victim)
    (node.locks / "anybody.json").touch()
    (node.locks / "anybody.json").chmod(0o666)
    (node.locks / "mine.json").touch(0o600)
    use()
    assert node.locks.stat().st_mode & 0o777 == 0o700
    kept = {file.name for file in node.locks.iterdir() if not file.name.startswith("cpu.step")}
    assert kept == {"cpu.door", "mine.json", "probe"}
    assert not (node.locks / "cpu.door").is_symlink()
    assert victim.read_text() == "precious"


def link(place: Path, other: Path) -> None:
    place.symlink_to(other)


def file(place: Path, other: Path) -> None:
    place.write_text("precious")


def foreign(place: Path, other: Path) -> None:
    place.mkdir(0o700)
    os.chown(place, NOBODY, NOBODY)


def foreign_and_open(place: Path, other: Path) -> None:
    foreign(place, other)
    place.chmod(0o777)


PLANTED = [
    link,
    file,
    pytest.param(foreign, marks=as_root),
    pytest.param(foreign_and_open, marks=as_root),
]


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_in_place_of_the_folder_is_left_alone(
    node: Node, plant: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir(0o700)
    (other / "cpu.door").write_text("precious")
    plant(node.locks, other)
    use()
    assert lock_folder() == cache_folder()
    assert (other / "cpu.door").read_text() == "precious"
    assert sorted(other.iterdir()) == [other / "cpu.door"]
    if node.locks.is_file():
        assert node.locks.read_text() == "precious"
    elif not node.locks.is_symlink():
        assert not list(node.locks.iterdir())


@pytest.mark.parametrize("plant", PLANTED)
def test_where_no_place_is_safe_one_sentence_says_so(
    node: Node, plant: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    places = [lock_folder(), cache_folder(), node.temporary / f"sparrow-{os.getuid()}"]
    for place in places:
        if place.exists():
            for entry in place.iterdir():
                entry.unlink()
            place.rmdir()
        plant(place, other)
    with pytest.raises(NoOwnFolder, match="set XDG_RUNTIME_DIR and XDG_CACHE_HOME") as told:
        use()
    assert "\n" not in str(told.value)
    assert all(str(place) in str(told.value) for place in places)


def test_a_link_in_place_of_a_lock_is_not_followed(node: Node) -> None:
    victim = node.temporary / "victim"
    victim.write_text("precious")
    (lock_folder() / "cpu.door").symlink_to(victim)
    with pytest.raises(OSError, match=r"cpu\.door: a lock must be a regular file.*delete it"):
        use()
    assert victim.read_text() == "precious"


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_speeds_of_another_owner_are_not_read(node: Node, mode: int) -> None:
    store = SpeedStore.of_node()
    store.keep({"device": "a"}, Nominal(milliseconds=0.001))
    for path in (*store.folder.iterdir(), store.folder):
        os.chown(path, NOBODY, NOBODY)
    store.folder.chmod(mode)
    assert SpeedStore.of_node().find({"device": "a"}, Nominal) is None


@as_root
def test_speeds_that_others_left_in_a_folder_of_ours_are_not_read(node: Node) -> None:
    store = SpeedStore.of_node()
    store.keep({"device": "a"}, Nominal(milliseconds=0.001))
    store.folder.chmod(0o777)
    (speed,) = store.folder.glob("*.json")
    os.chown(speed, NOBODY, NOBODY)
    assert SpeedStore.of_node().find({"device": "a"}, Nominal) is None


def test_without_runtime_and_home_the_temporary_folder_serves(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.runtime / "missing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(node.runtime / "missing" / "too"))
    use()
    assert lock_folder() == cache_folder() == node.temporary / f"sparrow-{os.getuid()}"


def test_without_any_home_folder_neither(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.runtime / "missing"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert lock_folder() == node.temporary / f"sparrow-{os.getuid()}"


def test_a_file_system_without_locks_does_not_serve(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.runtime / "missing"))

    def refuse(file: int, mode: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").startswith(str(node.cache)):
            raise OSError(37, "No locks available")

    monkeypatch.setattr("detectors.own_folder.fcntl.flock", refuse)
    assert lock_folder() == node.temporary / f"sparrow-{os.getuid()}"


def test_a_folder_that_everyone_may_rename_in_does_not_serve(node: Node) -> None:
    node.runtime.chmod(0o777)
    assert lock_folder() == cache_folder()
    node.runtime.chmod(0o1777)
    assert lock_folder() == node.locks
