"""Images that are the same are found, whatever their format and size, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.data.dataset import Dataset, ImageFile
from detectors.data.health import Alike, alike, alike_across, alike_within
from detectors.data.images import inspect_image
from tests.shared import shared_data
from tests.splits import split_of


def split_with(folder: Path) -> Dataset:
    """The images of a folder, numbered from 1 by name, without objects."""
    facts = [inspect_image(path) for path in sorted(folder.iterdir())]
    files = [ImageFile(str(k), f.bytes, f.sha256, f.look) for k, f in enumerate(facts)]
    return split_of([[]] * len(files), files=files)


def textured(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, seeds in (("train", (1, 2, 3, 4)), ("val", (11, 12))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            textured(seed).save(tmp_path / name / f"{seed:02}.png")
    return tmp_path / "train", tmp_path / "val"


def test_distinct_images_are_not_alike(folders: tuple[Path, Path]) -> None:
    train, val = map(split_with, folders)
    assert alike_within(train) == ()
    assert alike_across(train, val) == ()


def test_copies_across_splits_are_found_byte_for_byte_and_to_the_eye(
    folders: tuple[Path, Path],
) -> None:
    train, val = folders
    shutil.copy(val / "11.png", train / "05.png")
    textured(12).save(train / "06.jpg", quality=60)
    textured(12).resize((233, 175)).save(train / "07.png")
    found = alike_across(split_with(train), split_with(val))
    assert found == (Alike(5, 1, True), Alike(6, 2, False), Alike(7, 2, False))
    assert [pair.other for pair in alike_across(split_with(val), split_with(train))] == [5, 6]


def test_mirrored_copies_are_found(folders: tuple[Path, Path]) -> None:
    train, val = folders
    mirrored = textured(12).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.resize((200, 140)).save(train / "05.jpg", quality=70)
    assert alike_across(split_with(train), split_with(val)) == (Alike(5, 2, False, mirrored=True),)
    shutil.copy(val / "12.png", train / "06.png")
    assert alike_within(split_with(train)) == (Alike(6, 5, False, mirrored=True),)


def test_noise_too_fine_to_be_seen_is_no_copy(tmp_path: Path) -> None:
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(60, 110, (800, 900, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{seed}.png")
    assert alike_within(split_with(tmp_path)) == ()


def test_within_a_split_the_first_one_is_repeated(folders: tuple[Path, Path]) -> None:
    train, _ = folders
    shutil.copy(train / "02.png", train / "98.png")
    textured(2).save(train / "99.jpg", quality=70)
    assert alike_within(split_with(train)) == (Alike(5, 2, True), Alike(6, 2, False))


def test_plain_images_are_alike_only_if_they_are_the_same_file(tmp_path: Path) -> None:
    for number, grey in enumerate((100, 101, 101)):
        Image.new("RGB", (40, 30), (grey,) * 3).save(tmp_path / f"{number}.png")
    assert alike_within(split_with(tmp_path)) == (Alike(3, 2, True),)


def test_images_that_were_not_read_are_like_no_others() -> None:
    assert alike_within(split_of([[], []])) == ()
    assert alike_across(split_of([[]]), split_of([])) == ()


def test_windows_and_blocks_find_what_all_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 256, (60, 256), dtype=np.uint8)
    copied = np.clip(looks[rng.integers(60, size=40)] + rng.integers(-2, 3, (40, 256)), 0, 255)
    looks = rng.permutation(np.concatenate((looks, copied.astype(np.uint8))))
    split = split_of([[]] * 100, files=[ImageFile("", 1, str(k), x.tobytes()) for k, x in
                                        enumerate(looks)])  # fmt: skip
    values = looks.astype(float)
    apart = np.sqrt(((values[:, None] - values) ** 2).mean(2))
    near = np.tril(apart < 4, -1)
    whole = alike_within(split)
    assert [pair.image - 1 for pair in whole] == np.flatnonzero(near.any(1)).tolist()
    monkeypatch.setattr(alike, "BLOCK", 7)
    again = alike_within(split)
    assert [pair.image for pair in again] == [pair.image for pair in whole]
    assert all(near[pair.image - 1, pair.other - 1] for pair in again)


def test_microscope_images_of_blood_are_told_apart() -> None:
    train, val = shared_data("bccd")
    assert alike_across(train, val) == ()
    # This pair shows the same cells.
    assert len(alike_within(train)) <= 1


def test_thousands_of_copies_take_little_memory(make_many: Callable[[int], Dataset]) -> None:
    assert len(alike_within(make_many(3000))) == 2999


@pytest.fixture
def make_many() -> Callable[[int], Dataset]:
    look = np.random.default_rng(0).integers(0, 256, 256, dtype=np.uint8).tobytes()

    def make(count: int) -> Dataset:
        files = [ImageFile("", 1, "same", look)] * count
        return split_of([[]] * count, files=files)

    return make
