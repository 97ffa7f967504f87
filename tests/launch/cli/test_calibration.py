"""Which images of a folder int8 is calibrated on, and what is said of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from launch.cli.calibration import FEW, Pictures, unfit


def test_images_are_spread_over_a_folder(shapes_folder: Path) -> None:
    every = Pictures.read(shapes_folder / "train", 32, 99)
    assert every.images.shape == (16, 3, 32, 32)
    assert 0 <= every.images.min() < 0.5 < every.images.max() <= 1
    assert torch.equal(Pictures.read(shapes_folder / "train", 32, 4).images, every.images[::4])
    assert str(every) == f"16 images of {shapes_folder / 'train'}"
    assert every.warnings() == []


def mask(pixels: np.ndarray, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


def test_masks_in_a_subfolder_are_left_out_and_said_so(shapes_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(shapes_folder / "train", folder)
    shutil.copytree(shapes_folder / "val", folder / "more")
    corner = np.zeros((96, 128))
    corner[:40, :50] = 255
    for number in range(3):
        mask(np.full((96, 128), number), folder / "masks" / f"{number}.png")
        mask(corner, folder / "binary" / f"{number}.png")
    read = Pictures.read(folder, 32)
    assert str(read) == f"24 images of {folder} (16 in the folder itself, 8 in more/)"
    assert set(read.warnings()) == {
        f"3 images of {folder} (3 in masks/) left out: of a single colour",
        f"3 images of {folder} (3 in binary/) left out: a mask or drawing (32 colours or fewer)",
    }
    assert len(Pictures.read(folder, 32, fit=False).files) == 30


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 0, 90)])
def test_pictures_of_one_colour_will_not_do(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    Image.new("RGB", (128, 96), colour).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"none of 1 image is suitable: 1 of a single.*--force"):
        Pictures.read(tmp_path, 32)
    assert len(Pictures.read(tmp_path, 32, fit=False).files) == 1


def test_a_black_frame_among_photographs_costs_nothing_but_itself(
    shapes_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(shapes_folder / "val", tmp_path, dirs_exist_ok=True)
    Image.new("RGB", (128, 96)).save(tmp_path / "0.png")
    assert len(Pictures.read(tmp_path, 32).files) == 8


def test_photographs_will_do_however_dark_or_grey() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (3, 60, 80))
    for centre, spread, channels in ((20, 8, 3), (128, 60, 3), (235, 8, 3), (128, 40, 1)):
        image = np.clip(centre + spread * noise[:channels], 0, 255).astype(np.uint8)
        image = torch.from_numpy(image).expand(3, -1, -1)
        assert unfit(image) is None


def test_few_images_are_warned_of(shapes_folder: Path) -> None:
    few = Pictures.read(shapes_folder / "train", 32, FEW - 1)
    assert few.warnings() == [f"only 7 images of {shapes_folder / 'train'}; 8 or more are better"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        Pictures.read(tmp_path / "nowhere", 32)
