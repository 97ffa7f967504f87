from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.data.images import ImageError, inspect_image, load_image

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ALPHA = RGB[..., 1]


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """[H, W] or [H, W, 3] as [3, H, W]."""
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def palette_image() -> Image.Image:
    image = Image.fromarray((np.arange(24, dtype=np.uint8) % 3).reshape(4, 6), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    return image


PALETTE_PIXELS = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], dtype=np.uint8)[
    (np.arange(24) % 3).reshape(4, 6)
]


def save(image: Image.Image, **options: object) -> Callable[[Path], None]:
    return lambda path: image.save(path, **options)


def save_pgm_16(path: Path) -> None:
    path.write_bytes(b"P5 6 4 65535\n" + (GRAY.astype(">u2") * 257).tobytes())


UNUSUAL = {
    "rgb.png": (save(Image.fromarray(RGB)), RGB),
    "rgb.bmp": (save(Image.fromarray(RGB)), RGB),
    "rgb.tif": (save(Image.fromarray(RGB), compression="tiff_lzw"), RGB),
    "rgb.webp": (save(Image.fromarray(RGB), lossless=True), RGB),
    "gray.png": (save(Image.fromarray(GRAY)), GRAY),
    "gray_alpha.png": (save(Image.fromarray(np.dstack([GRAY, ALPHA]), mode="LA")), GRAY),
    "rgb_alpha.png": (save(Image.fromarray(np.dstack([RGB, ALPHA]))), RGB),
    "bilevel.png": (save(Image.fromarray(GRAY > 127)), np.where(GRAY > 127, 255, 0).astype("u1")),
    "palette.png": (save(palette_image()), PALETTE_PIXELS),
    "palette_index_transparent.png": (save(palette_image(), transparency=1), PALETTE_PIXELS),
    "palette_alpha.png": (save(palette_image(), transparency=b"\x00\x80\xff"), PALETTE_PIXELS),
    "palette.gif": (save(palette_image()), PALETTE_PIXELS),
    "gray_16_bit.png": (save(Image.fromarray(GRAY.astype(np.uint16) * 257)), GRAY),
    "gray_16_bit.tif": (save(Image.fromarray(GRAY.astype(np.uint16) * 257)), GRAY),
    "gray_16_bit.pgm": (save_pgm_16, GRAY),
    "png_named.jpg": (save(Image.fromarray(RGB), format="PNG"), RGB),
    "cmyk.tif": (save(Image.fromarray(np.dstack([255 - RGB, 0 * GRAY]), mode="CMYK")), RGB),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_images_have_the_expected_pixels(tmp_path: Path, name: str) -> None:
    write, expected = UNUSUAL[name]
    write(tmp_path / name)

    image = load_image(tmp_path / name, 6, 4)

    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert torch.equal(image, as_tensor(expected))
    assert inspect_image(tmp_path / name).stored == (6, 4)


def test_16_bit_values_are_rounded_to_the_nearest_8_bit_value(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 300, 65406, 65407, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")

    image = load_image(tmp_path / "a.png", 7, 1)

    # One 8-bit step is 257: 128 is nearer to 0, 129 to 257; 254 * 257 + 128 = 65406.
    assert image[0].tolist() == [[0, 0, 1, 1, 254, 255, 255]]


def test_cmyk_jpeg_keeps_its_colour(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)

    image = load_image(tmp_path / "a.jpg", 16, 16).float()

    assert image.mean(dim=(1, 2)).tolist() == pytest.approx([255, 0, 0], abs=4)


# What a viewer shows for the stored pixels, EXIF 2.32 tag 0x0112.
DISPLAYED = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.transpose(1, 0, 2),
    6: np.rot90(RGB, -1),  # a quarter turn clockwise
    7: RGB[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(RGB, 1),
}


def save_with_orientation(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(RGB).save(path, exif=exif, **options)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", DISPLAYED)
def test_exif_orientation_is_applied_when_the_displayed_size_is_declared(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    save_with_orientation(path, orientation)
    expected = as_tensor(DISPLAYED[orientation])

    image = load_image(path, expected.shape[2], expected.shape[1])

    assert torch.equal(image, expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_pixels_stay_as_stored_when_only_the_stored_size_is_declared(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    save_with_orientation(path, orientation)

    assert torch.equal(load_image(path, 6, 4), as_tensor(RGB))
    assert inspect_image(path).stored == (6, 4)
    assert inspect_image(path).displayed == (4, 6)


def test_a_size_that_is_neither_names_all_three(tmp_path: Path) -> None:
    save_with_orientation(tmp_path / "a.png", 6)

    with pytest.raises(ValueError, match=r"a\.png.*6x6.*6x4 as stored and 4x6 as displayed"):
        load_image(tmp_path / "a.png", 6, 6)


@pytest.mark.parametrize("exif", [b"MM\x00", b"not EXIF at all, but long enough"])
def test_unreadable_exif_counts_as_none(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)

    assert torch.equal(load_image(tmp_path / "a.png", 6, 4), as_tensor(RGB))


def encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format=suffix)
    return buffer.getvalue()


BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"this is no image", "not an image of a known format"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS .*lfs pull"),
    "page": (b"\n<!DOCTYPE html><title>404</title>", "is a web page"),
    "half a jpeg": (encoded("JPEG")[:2000], "cannot be decoded"),
    "half a png": (encoded("PNG")[:2000], "cannot be decoded"),
    "half a webp": (encoded("WEBP")[:1000], "cannot be decoded"),
    "half a tiff": (encoded("TIFF")[:2000], "cannot be decoded"),
    "png with a zeroed middle": (
        encoded("PNG")[:1000] + bytes(1000) + encoded("PNG")[2000:],
        "cannot be decoded",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "broken.img"
    path.write_bytes(content)

    for read in (inspect_image, lambda path: load_image(path, 64, 64)):
        with pytest.raises(ImageError, match=rf"broken\.img.*{message}"):
            read(path)


def bands(path: Path, pixels: np.ndarray) -> None:
    """A TIFF [height, width, bands] of 8 or 16 bits, as satellites' are: RGB and what follows."""
    height, width, count = pixels.shape
    data, bits = pixels.tobytes(), 8 * pixels.itemsize
    tags = [(256, width), (257, height), (259, 1), (262, 2), (277, count), (278, height)]
    tags += [(258, [bits] * count), (338, [0] * (count - 3)), (273, 8), (279, len(data))]
    extra, entries = b"", b""
    for tag, value in sorted(tags, key=lambda item: item[0]):
        values = value if isinstance(value, list) else [value]
        kind = "H" if isinstance(value, list) else "I"
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", 8 + len(data) + len(extra)), extra + packed
        head = struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(values))
        entries += head + packed.ljust(4, b"\0")
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(extra))
    listed = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(start + data + extra + listed)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_fourth_band_is_left_out_and_said(tmp_path: Path, kind: type) -> None:
    step = 257 if kind is np.uint16 else 1
    bands(tmp_path / "a.tif", np.dstack([RGB, GRAY]).astype(kind) * kind(step))
    assert torch.equal(load_image(tmp_path / "a.tif", 6, 4), as_tensor(RGB))
    [note] = inspect_image(tmp_path / "a.tif").notes
    assert note == "has more than three bands, and only the first three are read"


@pytest.mark.parametrize(("count", "bits"), [(8, 8), (5, 16)])
def test_bands_that_cannot_be_read_are_refused_with_what_to_do(
    tmp_path: Path, count: int, bits: int
) -> None:
    bands(tmp_path / "a.tif", np.zeros((4, 6, count), f"uint{bits}"))
    with pytest.raises(ImageError, match=r"a\.tif' is a TIFF whose bands .* cannot be read \(save"):
        inspect_image(tmp_path / "a.tif")


@pytest.mark.filterwarnings("error")
def test_the_second_picture_of_a_cameras_file_is_passed_over_in_silence(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (16, 8), (level,) * 3) for level in (200, 10))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "MPO"
    facts = inspect_image(tmp_path / "a.jpg")
    assert (facts.stored, facts.notes) == ((16, 8), ())
    assert load_image(tmp_path / "a.jpg", 16, 8).float().mean() == pytest.approx(200, abs=3)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_photograph_of_100_megapixels_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (12_500, 8_000), (200, 90, 30)).save(file)
    assert inspect_image(file).stored == (12_500, 8_000)
    assert load_image(file, 12_500, 8_000)[:, ::4000, ::5000].float().mean() == pytest.approx(
        107, 1
    )


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY.astype(np.float32)).save(tmp_path / "a.tif")

    with pytest.raises(ImageError, match="floating-point"):
        inspect_image(tmp_path / "a.tif")


def test_32_bit_pixels_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 70000]], dtype=np.int32)).save(tmp_path / "a.tif")

    with pytest.raises(ImageError, match="from 0 to 70000"):
        inspect_image(tmp_path / "a.tif")


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    with pytest.raises(ImageError, match="DecompressionBombError"):
        inspect_image(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")

    with pytest.raises(ImageError, match="not a regular file"):
        inspect_image(tmp_path / "a.png")


def test_facts_identify_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)

    facts = inspect_image(path)

    assert facts.bytes == path.stat().st_size
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
