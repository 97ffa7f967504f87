"""What tests of several parts compare with: real images beside the checkout, COCO's summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_source

SHARED = Path(__file__).parents[2] / "shared" / "data"


COCO_STATS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""The metrics of pycocotools' summary, in its order."""


def shared_data(name: str) -> tuple[Dataset, Dataset]:
    """Training and validation split of a set; skips the test where the set is missing."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"../shared/data/{name} is not there")
    return read_source(DataSource.from_folder(SHARED / name))
