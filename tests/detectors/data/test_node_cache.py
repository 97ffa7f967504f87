from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from detectors.data import node_cache, pixels
from detectors.data.dataset import Dataset
from detectors.data.images import ImageError, load_image
from detectors.data.loader import evaluation_batches
from detectors.data.node_cache import NO_CACHE, NodeCache, clear, entries, images_folder
from detectors.data.pixel_file import BLOCK, Mapped
from detectors.data.pixels import WHOLE, Decoded, Form, Pixels, Placed, Reduced
from detectors.data.records import ImageFile
from detectors.detector import Detector
from detectors.evaluate import coco_metrics, detect_split
from searchspace.digests import sha256
from searchspace.geometry import Canvas
from tests.detectors.data.keeping import keep
from tests.processes import process

CACHE = NodeCache(limit=10**9)
CANVAS = Canvas((40, 48), "letterbox")


@pytest.fixture
def split(shapes: tuple[Dataset, Dataset]) -> Dataset:
    return first(shapes[1], 3)


@pytest.fixture(autouse=True)
def fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_cache, "_warned", set())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded from now on."""
    files: list[Path] = []

    def load(path: Path, width: int, height: int) -> Tensor:
        files.append(path)
        return load_image(path, width, height)

    for module in (node_cache, pixels):
        monkeypatch.setattr(module, "load_image", load)
    return files


def first(split: Dataset, count: int, start: int = 0) -> Dataset:
    return replace(split, images=split.images[start : start + count])


def read(source: Pixels, split: Dataset) -> list[Tensor]:
    return [source.get(record) for record in split.images]


def equal(source: Pixels, split: Dataset, form: Form = WHOLE) -> bool:
    return all(map(torch.equal, read(source, split), read(Decoded(form), split)))


def files() -> list[Path]:
    return [entry.path for entry in entries(images_folder())]


@pytest.mark.parametrize("form", [WHOLE, Reduced(Canvas((20, 20))), Placed(CANVAS)], ids=str)
def test_kept_images_are_those_that_are_decoded(
    split: Dataset, form: Form, decoded: list[Path]
) -> None:
    source = CACHE.pixels(split, form)
    assert isinstance(source, Mapped)
    assert equal(source, split, form)
    del decoded[:]
    again = CACHE.pixels(split, form)
    read(again, split)
    assert not decoded
    assert len(files()) == 1
    (entry,) = entries(images_folder())
    assert entry.header is not None
    assert (entry.header.images, entry.header.form) == (3, str(form))


def test_writing_into_an_image_changes_nothing_on_disk(split: Dataset) -> None:
    CACHE.pixels(split, WHOLE).get(split.images[0]).zero_()
    assert equal(CACHE.pixels(split, WHOLE), split)


def test_images_of_all_sizes_lie_where_they_should(mixed: Dataset) -> None:
    assert len({(image.width, image.height) for image in mixed.images}) > 1
    assert equal(CACHE.pixels(mixed, WHOLE), mixed)
    with pytest.raises(KeyError):
        CACHE.pixels(mixed, WHOLE).get(replace(mixed.images[0], id=10**6))


@pytest.fixture
def mixed(split: Dataset, tmp_path: Path) -> Dataset:
    """Images of several sizes."""
    images, known = [], {}
    for record, size in zip(split.images, ((31, 17), (40, 40), (8, 90)), strict=True):
        path = tmp_path / f"{record.id}.png"
        Image.open(record.path).resize(size).save(path)
        images.append(replace(record, path=path, width=size[0], height=size[1]))
        known[record.id] = ImageFile(path.name, path.stat().st_size, sha256(path))
    return replace(split, images=tuple(images), files=known)


def flip(path: Path, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "bytes instead of"),
        (lambda path: os.truncate(path, 0), "header cannot be read"),
        (lambda path: flip(path, 3), "header cannot be read"),
        (lambda path: flip(path, BLOCK), "checksums"),
    ],
)
def test_a_damaged_file_is_made_again(
    split: Dataset, damage: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    CACHE.pixels(split, WHOLE)
    damage(files()[0])
    assert equal(CACHE.pixels(split, WHOLE), split)
    assert reason in caplog.text
    assert equal(CACHE.pixels(split, WHOLE), split)
    assert caplog.text.count("decoded again") == 1


def test_an_altered_image_is_noticed(split: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    CACHE.pixels(split, WHOLE)
    flip(files()[0], 2 * BLOCK + 5)
    source = CACHE.pixels(split, WHOLE)
    assert equal(source, split)
    assert caplog.text.count("damaged") == 1
    assert not files()
    CACHE.pixels(split, WHOLE)
    assert len(files()) == 1


def test_of_two_processes_one_decodes(split: Dataset, tmp_path: Path) -> None:
    both = [process(keep, split, tmp_path) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    assert len(list(tmp_path.glob("mapped-*"))) == 2
    assert len(list(tmp_path.iterdir())) == 2 + len(split.images)
    assert len(files()) == 1


def test_the_file_not_used_for_longest_is_removed_first(shapes: tuple[Dataset, Dataset]) -> None:
    parts = [first(shapes[0], 2, start) for start in (0, 2, 4)]
    CACHE.pixels(parts[0], WHOLE)
    size = files()[0].stat().st_size
    cache = NodeCache(limit=2 * size)
    kept = cache.pixels(parts[1], WHOLE)
    two = files()
    for time, path in enumerate(two):
        os.utime(path, (time, time))
    cache.pixels(parts[0], WHOLE)  # used again
    assert files() == two[::-1]
    del kept
    cache.pixels(parts[2], WHOLE)
    assert len(files()) == 2
    assert two[0] in files()


def test_a_file_in_use_is_not_removed(
    shapes: tuple[Dataset, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    parts = [first(shapes[0], 2, start) for start in (0, 2)]
    used = CACHE.pixels(parts[0], WHOLE)
    cache = NodeCache(limit=files()[0].stat().st_size)
    assert isinstance(cache.pixels(parts[1], WHOLE), Decoded)
    assert "--cache-gb" in caplog.text
    assert clear(images_folder())[0] == []
    del used
    assert isinstance(cache.pixels(parts[1], WHOLE), Mapped)


def test_what_does_not_fit_is_decoded_and_said_once(
    split: Dataset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of the disk is free each time."""
    CACHE.pixels(first(split, 1), WHOLE)
    cache, free = NodeCache.of_gb(1e-5), itertools.count(10**9, 10**8)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=next(free)))
    for _ in range(2):
        assert equal(cache.pixels(split, WHOLE), split)
    assert caplog.text.count("decoded anew") == 1
    assert len(files()) == 1  # nothing was removed in vain


def test_without_a_cache_nothing_is_kept(split: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    assert equal(NodeCache.of_gb(0).pixels(split, WHOLE), split)
    assert equal(CACHE.pixels(replace(split, files={}), WHOLE), split)
    assert not files()
    assert not caplog.text


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "rename"])
def test_a_full_or_read_only_disk(
    split: Dataset, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_cache.os, call, refuse)
    # A lock names its holder with `pwrite`, too.
    monkeypatch.setattr("detectors.locks.Hold.renew", lambda hold: None)
    for _ in range(2):
        assert equal(CACHE.pixels(split, WHOLE), split)
    assert caplog.text.count("No space left") == 1
    assert not list(images_folder().iterdir())


def test_no_folder_to_keep_images_in(
    split: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = tmp_path / "file"
    place.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(place))
    assert equal(CACHE.pixels(split, WHOLE), split)
    assert "decoded anew" in caplog.text


def test_files_of_ended_processes_are_removed(split: Dataset) -> None:
    left = images_folder() / "abc.12345678.partial"
    left.touch()
    CACHE.pixels(split, WHOLE)
    assert not left.exists()


def test_an_image_that_is_damaged_or_has_changed(
    mixed: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    path = mixed.images[1].path
    content = mixed.images[2].path.read_bytes()
    changed = replace(mixed, images=(mixed.images[0], replace(mixed.images[2], path=path, id=9)))
    changed.files[9] = mixed.files[mixed.images[1].id]
    path.write_bytes(content)
    assert equal(CACHE.pixels(changed, WHOLE), changed)
    assert f"{path} has changed" in caplog.text
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError):
        CACHE.pixels(changed, WHOLE)
    assert not list(images_folder().iterdir())
    path.unlink()
    with pytest.raises(FileNotFoundError) as raised:
        CACHE.pixels(changed, WHOLE)
    assert raised.value.filename in (path, str(path))


def test_forks_check_an_image_once(split: Dataset) -> None:
    source, record = CACHE.pixels(split, WHOLE), split.images[0]
    fork = multiprocessing.get_context("fork").Process(target=source.get, args=(record,))
    fork.start()
    fork.join()
    flip(files()[0], 2 * BLOCK)
    assert source.get(record).shape == (3, record.height, record.width)
    assert files(), "the image was checked again"


def test_evaluations_place_each_image_once(
    shapes: tuple[Dataset, Dataset], decoded: list[Path]
) -> None:
    split = first(shapes[1], 5)
    plain = list(evaluation_batches(split, CANVAS, 2))
    assert [len(records) for records, _ in plain] == [2, 2, 1]
    del decoded[:]
    for _ in range(2):
        found = list(evaluation_batches(split, CANVAS, 2, CACHE))
        for (records, images), (same, expected) in zip(found, plain, strict=True):
            assert records == same
            assert torch.equal(images, expected)
    assert sorted(decoded) == sorted(image.path for image in split.images)
    list(evaluation_batches(split, 32, 2, CACHE))
    assert len(decoded) == 2 * len(split.images)


def test_metrics_do_not_depend_on_the_cache(
    shapes: tuple[Dataset, Dataset], make_detector: Callable[..., Detector]
) -> None:
    val, detector = shapes[1], make_detector()
    found = [
        coco_metrics(val, detect_split(detector, val, torch.device("cpu"), cache))
        for cache in (NO_CACHE, CACHE, CACHE)
    ]
    assert found[0] == found[1] == found[2]
    assert len(files()) == 1
