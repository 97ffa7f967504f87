"""Images of 200 megapixels in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.data.images import PICTURE_SIDE
from detectors.detector import Detector
from detectors.tiling import detect_images
from searchspace.tiles import TileSize
from tests.detectors.data.tiffs import gradient, write_tiled
from tests.detectors.deployable import deployable

WIDTH, HEIGHT = 20_000, 10_000
BYTES = 3 * WIDTH * HEIGHT


@pytest.fixture(scope="module")
def cutting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved detector that looks at tiles of four megapixels, and at the whole image."""
    plain = deployable("ssdmnetv1")
    tiles = TileSize(side=2048, overlap=0.1, whole=True)
    detector = Detector(plain.config.changed(tiles=tiles))
    detector.load_state_dict(plain.state_dict())
    return detector.save(tmp_path_factory.mktemp("saved") / "compact")


def looked_at(saved: Path, folder: Path, how: str, cache: Path) -> tuple[int, np.ndarray]:
    """By how many bytes the memory of a process grows, and what it finds."""
    out = cache / f"{how}.json"
    there = {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.detectors.large_image", saved, folder, how, out]
    subprocess.run(list(map(str, command)), env=there, check=True)
    answer = json.loads(out.read_text())
    return answer["grown"], np.array(answer["rows"])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it reads Linux's /proc")
def test_a_tiff_of_200_megapixels_is_read_by_parts(cutting: Path, tmp_path: Path) -> None:
    """From its file and by the cache, with what is found in the whole image in memory. What is
    found is drawn."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_tiled(folder / "a.tif", (WIDTH, HEIGHT), 512, gradient)
    by_file = looked_at(cutting, folder, "file", tmp_path)
    by_cache = looked_at(cutting, folder, "cache", tmp_path)
    assert Image.open(tmp_path / "file" / "a.tif").width == PICTURE_SIDE
    whole = torch.from_numpy(gradient(0, 0, WIDTH, HEIGHT)).permute(2, 0, 1)
    detector = Detector.load(cutting).eval()

    def detect(inputs: torch.Tensor):
        return detector.detect(inputs.float() / 255)

    with torch.inference_mode():
        [expected] = detect_images(detect, [whole], detector.canvas)
    for grown, rows in (by_file, by_cache):
        assert grown < BYTES / 3
        np.testing.assert_allclose(rows[:, 0], expected["scores"], atol=1e-4)
        corners = np.column_stack((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:]))
        assert (abs(corners - expected["boxes"].numpy()).max(1) < 1).mean() > 0.95


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it reads Linux's /proc")
def test_a_jpeg_is_decoded_once_as_pillow_does(cutting: Path, tmp_path: Path) -> None:
    """Pillow takes four bytes a pixel while it decodes; there is no further copy."""
    folder, side = tmp_path / "images", 10_000
    folder.mkdir()
    Image.fromarray(gradient(0, 0, side, side)).save(folder / "a.jpg")
    grown, rows = looked_at(cutting, folder, "cache", tmp_path)
    assert len(rows) > 10
    assert grown < 4 * side**2 + BYTES / 3
