"""Data readers: the formats of annotated images that can be found in a folder and read."""

from detectors.data import coco, tt100k, visdrone, voc, yolo
from detectors.data.reader import READERS, Entries, Reader, register_reader
from detectors.data.source import Cut, DataSource, Split

__all__ = [
    "READERS",
    "Cut",
    "DataSource",
    "Entries",
    "Reader",
    "Split",
    "coco",
    "register_reader",
    "tt100k",
    "visdrone",
    "voc",
    "yolo",
]
