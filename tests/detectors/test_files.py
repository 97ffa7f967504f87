"""Files that several processes write at once, or that the disk has no room for."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from detectors.files import append, publish, write_atomically

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
