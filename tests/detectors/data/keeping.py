"""What a further process does in a test of the cache of images; it imports little."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from detectors.data import node_cache
from detectors.data.dataset import Dataset
from detectors.data.images import load_image
from detectors.data.pixels import WHOLE


def keep(split: Dataset, marks: Path) -> None:
    """Keep a split's images, and leave a mark for each that this process decodes."""

    def load(path: Path, width: int, height: int) -> Tensor:
        (marks / f"{path.stem}-{os.getpid()}").touch()
        return load_image(path, width, height)

    node_cache.load_image = load
    source = node_cache.NodeCache(limit=10**9).pixels(split, WHOLE)
    if isinstance(source, node_cache.Mapped):
        (marks / f"mapped-{os.getpid()}").touch()
