"""Images read by window: from the strips and tiles of TIFF files, and in bands."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from detectors.canvas import place, place_read
from detectors.data import images, pixels
from detectors.data.dataset import Dataset
from detectors.data.images import (
    ImageError,
    inspect_image,
    load_image,
    load_part,
    load_picture,
)
from detectors.data.node_cache import NodeCache
from detectors.data.pixels import Decoded
from detectors.data.reading import read_unannotated
from detectors.data.samples import TrainingSet
from searchspace.augmentation import Augment, CopyPaste
from searchspace.geometry import Canvas, Window
from searchspace.tiles import TileSize
from searchspace.training import TrainConfig
from tests.detectors.data.tiffs import gradient, write_tiled

SIZE = 300, 400
WINDOWS = (
    Window(0, 0, 300, 400),
    Window(37, 51, 100, 133),
    Window(240, 330, 60, 70),
    Window(5, 9, 1, 1),
)


@pytest.fixture(autouse=True)
def every_image_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of a few thousand pixels are read like those of many millions, in bands of 20 rows."""
    monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 16_000)
    monkeypatch.setattr(images, "LARGE", 1e-3)
    monkeypatch.setattr(images, "BAND", 6_000)


def picture() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (100, 75, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(SIZE)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_picture_of_a_large_image_is_reduced_band_by_band(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / name)
    bands: list[int] = []
    own = images._tensor

    def counted(image: Image.Image) -> torch.Tensor:
        bands.append(image.width * image.height)
        return own(image)

    monkeypatch.setattr(images, "_tensor", counted)
    found = load_picture(tmp_path / name, *SIZE, side=200)
    assert sum(bands) == SIZE[0] * SIZE[1]
    assert max(bands) <= images.BAND
    whole = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    expected = place(whole, Canvas((200, 150)))
    assert found.shape == expected.shape
    assert (found.int() - expected.int()).abs().max() <= 1
    assert torch.equal(load_picture(tmp_path / name, *SIZE), whole)


def check(path: Path, modes: str = "RGB") -> None:
    """All windows of a file are those of the file as Pillow decodes it."""
    with Image.open(path) as image:
        whole = torch.from_numpy(np.array(image.convert(modes))).permute(2, 0, 1)
    for window in WINDOWS:
        part = load_part(path, *SIZE, window)
        assert part is not None
        assert torch.equal(part, whole[:, *window.slices])
    assert torch.equal(load_image(path, *SIZE), whole)


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_windows_of_strips_are_those_of_the_whole(
    compression: str, mode: str, tmp_path: Path
) -> None:
    picture().convert(mode).save(tmp_path / "a.tif", compression=compression)
    check(tmp_path / "a.tif")


def test_windows_of_other_tiffs(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65_536, (400, 300)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "16.tif", compression="tiff_lzw")
    expected = torch.from_numpy(((grey.astype(np.int64) + 128) // 257).astype(np.uint8))
    part = load_part(tmp_path / "16.tif", *SIZE, WINDOWS[1])
    assert part is not None
    assert torch.equal(part, expected[WINDOWS[1].slices].expand(3, -1, -1))
    picture().save(tmp_path / "big.tif", compression="tiff_lzw", big_tiff=True)
    check(tmp_path / "big.tif")
    picture().save(tmp_path / "predictor.tif", compression="tiff_lzw", tiffinfo={317: 2})
    check(tmp_path / "predictor.tif")
    picture().convert("P").save(tmp_path / "palette.tif", compression="tiff_lzw")
    check(tmp_path / "palette.tif")
    write_tiled(tmp_path / "tiled.tif", SIZE, 64, gradient)
    check(tmp_path / "tiled.tif")
    window = WINDOWS[1]
    part = load_part(tmp_path / "tiled.tif", *SIZE, window)
    assert part is not None
    assert np.array_equal(part.permute(1, 2, 0), gradient(*window))


def test_only_the_strips_of_a_window_are_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    picture().save(file, compression="tiff_adobe_deflate")
    with Image.open(file) as image:
        last = image.tag_v2[273][-1]
    damaged = bytearray(file.read_bytes())
    damaged[last : last + 20] = bytes(20)
    file.write_bytes(damaged)
    assert load_part(file, *SIZE, Window(0, 0, 300, 100)) is not None
    for read in (inspect_image, partial(load_image, width=300, height=400)):
        with pytest.raises(ImageError, match=r"a\.tif' cannot be decoded"):
            read(file)
    with pytest.raises(ValueError, match="is declared as 301x400, but the file holds 300x400"):
        load_part(file, 301, 400, WINDOWS[1])


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "turned.tif"])
def test_other_files_are_decoded_whole(name: str, tmp_path: Path) -> None:
    turned = {"tiffinfo": {274: 6}} if name == "turned.tif" else {}
    picture().save(tmp_path / name, **turned)
    assert load_part(tmp_path / name, *SIZE, WINDOWS[1]) is None
    with Image.open(tmp_path / name) as image:
        image.load()
        whole = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    height, width = whole.shape[1:]
    assert torch.equal(load_image(tmp_path / name, width, height), whole)


def test_facts_of_parts_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "a.tif", compression="tiff_lzw")
    by_parts = inspect_image(tmp_path / "a.tif", max_megapixels=0.01)
    monkeypatch.setattr(images, "LARGE", 25.0)
    assert by_parts == inspect_image(tmp_path / "a.tif")
    assert len(set(by_parts.look)) > 10
    with pytest.raises(ImageError, match="more than the limit"):
        inspect_image(tmp_path / "a.tif", max_megapixels=0.01)


def as_tiffs(split: Dataset, folder: Path) -> Dataset:
    """The images of a split as TIFF files, with the same annotations."""
    for image in split.images:
        with Image.open(image.path) as opened:
            opened.save(folder / f"{image.path.stem}.tif", compression="tiff_lzw")
    names = tuple(category.name for category in split.categories)
    files = [folder / f"{image.path.stem}.tif" for image in split.images]
    read = read_unannotated(folder, None, names, files=files)
    pairs = zip(read.images, split.images, strict=True)
    annotations = {new.id: split.annotations[old.id] for new, old in pairs}
    return Dataset(read.images, split.categories, annotations, files=read.files)


@pytest.mark.parametrize("pastes", [0.0, 1.0])
def test_training_crops_are_those_of_images_in_memory(
    shapes: tuple[Dataset, Dataset], pastes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = as_tiffs(shapes[0], tmp_path)
    paste = CopyPaste(probability=pastes, source="box", max_area=1e6)
    recipe = TrainConfig(augment=Augment(), copy_paste=paste)
    canvas = Canvas((40, 40), "stretch", TileSize(side=48))
    windows: list[Window] = []
    read = images.load_part

    def counted(path: Path, width: int, height: int, window: Window) -> torch.Tensor | None:
        windows.append(window)
        return read(path, width, height, window)

    monkeypatch.setattr(pixels, "load_part", counted)
    by_window = TrainingSet(split, recipe, canvas, 0, Decoded())
    cached = TrainingSet(split, recipe, canvas, 0, NodeCache().pixels(split, pixels.WHOLE))
    for k in range(len(split.images)):
        for epoch in range(3):
            found, expected = by_window.sample(k, epoch), cached.sample(k, epoch)
            assert torch.equal(found[0], expected[0])
            assert all(map(torch.equal, found[1].values(), expected[1].values()))
    assert max(w.width * w.height for w in windows) <= 48 * 48
    monkeypatch.setattr(images, "LARGE", 25.0)
    kept = TrainingSet(split, recipe, canvas, 0, Decoded())
    assert torch.equal(kept.sample(0)[0], by_window.sample(0)[0])


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_a_window_in_bands_is_placed_as_the_whole(
    resize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "AVX2" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("uint8 is resized as float here, and rounded once instead of twice")
    image = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    canvas, window = Canvas((96, 64), resize), Window(11, 7, 280, 390)
    expected = place(image[:, *window.slices], canvas)
    monkeypatch.setattr("detectors.canvas.MOST_PIXELS", 0)
    monkeypatch.setattr("detectors.canvas.BAND", 280 * 37)
    read: list[Window] = []

    def part(window: Window) -> torch.Tensor:
        read.append(window)
        return image[:, *window.slices]

    assert torch.equal(place_read(part, window, canvas), expected)
    assert len(read) == 11
