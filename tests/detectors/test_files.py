"""Files that several processes write at once, or that the disk has no room for."""

from __future__ import annotations

import errno
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from detectors import files
from detectors.files import AWAY, append, is_away, publish, write_atomically
from detectors.patience import MINUTES
from tests.clock import Clock

FULL = Path("/dev/full")


def test_many_writers_of_one_file_leave_one_of_their_texts_and_nothing_else(
    tmp_path: Path,
) -> None:
    file = tmp_path / "report.html"
    texts = [str(digit) * 200_000 for digit in range(8)]

    def write(text: str) -> None:
        for _ in range(5):
            write_atomically(file, text)
            assert file.read_text() in texts

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, texts))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_many_may_publish_the_same_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "weights").write_text("w" * 1000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: publish(source, target), range(100)))
    assert [path.name for path in target.iterdir()] == ["weights"]
    assert (target / "weights").read_text() == "w" * 1000


def test_a_file_that_does_not_fit_is_named_and_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    write_atomically(file, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"study\.json'"):
            write_atomically(file, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        append(FULL, b"a line\n")


def test_a_line_waits_for_a_folder_that_has_gone(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, away = tmp_path / "study", tmp_path / "away"
    here.mkdir()
    append(here / "journal", b"first\n")
    here.rename(away)
    clock.then = lambda count: away.rename(here) if count == 3 else None
    append(here / "journal", b"second\n")
    assert clock.slept == [1, 2, 4]
    assert (here / "journal").read_bytes() == b"first\nsecond\n"
    assert f"{here / 'journal'}: No such file or directory; trying again in 4 s" in caplog.text
    here.rename(away)
    for made in (False, True):  # perhaps by another library
        if made:
            here.mkdir()
        clock.now = 0
        with pytest.raises(FileNotFoundError, match="journal"):
            append(here / "journal", b"third\n", new=False)
        assert clock.now == MINUTES
        # Nothing is written where the storage is not.
        assert here.exists() == made
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_line_waits_for_a_server_that_does_not_answer(
    code: int, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def broken_fsync(file: int) -> None:
        if len(clock.slept) < 2:
            raise OSError(code, os.strerror(code))
        fsync(file)

    monkeypatch.setattr(files.os, "fsync", broken_fsync)
    append(tmp_path / "journal", b"a line\n")
    assert clock.slept == [1, 2]
    assert (tmp_path / "journal").read_bytes() == b"a line\n"


def test_what_waiting_does_not_mend_is_not_waited_for(tmp_path: Path) -> None:
    assert not is_away(OSError(errno.ENOSPC, "full"), tmp_path)
    assert not is_away(PermissionError(errno.EACCES, "no"), tmp_path)
    assert not is_away(FileNotFoundError(errno.ENOENT, "no image"), tmp_path)
    assert is_away(RuntimeError(f"I/O error: x (os error {AWAY[0]})"), tmp_path)
    wrapped = RuntimeError("the training failed")
    wrapped.__cause__ = OSError(errno.EIO, "no answer")
    assert is_away(wrapped, tmp_path)
    assert is_away(KeyError("anything"), tmp_path / "gone")
