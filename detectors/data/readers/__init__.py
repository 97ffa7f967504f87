"""Data readers: the formats of annotated images that can be found in a folder and read."""

from detectors.data.readers import coco
from detectors.data.readers.contract import (
    READERS,
    DataSource,
    Entries,
    Reader,
    Split,
    register_reader,
)

__all__ = [
    "READERS",
    "DataSource",
    "Entries",
    "Reader",
    "Split",
    "coco",
    "register_reader",
]
