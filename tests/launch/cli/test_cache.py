from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from detectors.data import fetched
from detectors.data.fetched import Fetched, data_folder
from detectors.data.node_cache import NodeCache, images_folder
from detectors.data.pixels import WHOLE
from detectors.data.readers import DataSource
from detectors.data.reading import read_split

Run = Callable[..., tuple[int, str]]


def test_what_is_kept_is_shown_and_removed(run: Run, shapes_folder: Path) -> None:
    code, text = run("cache", "show")
    assert (code, text.strip()) == (0, f"{images_folder()}: 0.00 GB")
    split = read_split(DataSource.from_folder(shapes_folder).val)
    used = NodeCache().pixels(split, WHOLE)
    (images_folder() / "bad.pixels").write_bytes(b"?" * 10**7)
    code, text = run("cache", "show")
    assert code == 0
    assert "as stored" in text
    assert "damaged" in text
    assert text.strip().endswith(": 0.01 GB")
    kept = {
        Path(s["path"]).name: s for s in json.loads(run("cache", "show", "--json")[1])["splits"]
    }
    assert kept.pop("bad.pixels")["images_of"] is None
    assert [split["images"] for split in kept.values()] == [8]
    code, text = run("cache", "clear")
    assert code == 0
    assert "1 file removed, 0.01 GB" in text
    assert "1 file, 0.00 GB, left: they are in use" in text
    del used
    assert "1 file removed" in run("cache", "clear")[1]
    assert not list(images_folder().iterdir())


def test_fetched_data_are_shown_and_removed_unless_they_are_in_use(
    run: Run, shapes_folder: Path
) -> None:
    address = f"file://{shapes_folder}"
    there = Fetched.of(address)
    code, text = run("cache", "show")
    assert code == 0
    assert address in text
    assert text.strip().endswith(f"{data_folder()}: 0.00 GB")
    assert "1 data set, 0.00 GB, left: they are in use" in run("cache", "clear")[1]
    os.close(fetched._uses.pop(there.home))  # as when the process that uses them has ended
    assert "1 data set removed" in run("cache", "clear")[1]
    assert not there.is_here
