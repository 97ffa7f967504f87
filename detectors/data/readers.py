"""Data readers: the formats of annotated images that can be found in a folder and read."""

from detectors.data import coco, tt100k, visdrone, voc
from detectors.data.reader import (
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
    "tt100k",
    "visdrone",
    "voc",
]
