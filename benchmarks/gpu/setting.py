"""The inputs of every part of the GPU benchmark, and the rows that it yields."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from detectors.detector import Detector
from launch.trial.data import TrialData
from searchspace import TrialConfig, load_space, papers

TABLE, ERROR = "table", "error"
"""Keys of a row: the table that it belongs to, and the traceback of a failed case."""

Row = dict[str, Any]
"""One case of a part as JSON: names and figures by heading; lists and dictionaries are details."""

QUICK, YOLOX = "quick", "yolox_tiny"
BRIEF_SYSTEMS = (QUICK, YOLOX)
"""Systems for `--brief`: the baseline of the space `quick`, and a system without priors."""

BRIEF_SIZE, BRIEF_BATCH = 64, 2


@dataclass(frozen=True)
class Setting:
    """The inputs of a part.

    Attributes:
        data: a COCO folder.
        out: folder for other output than rows.
        brief: tiny sizes, to check within seconds that everything runs; the figures mean nothing.
        until: when the part must end, by `time.monotonic`.
    """

    device: torch.device
    data: Path
    out: Path
    brief: bool
    until: float

    @property
    def left(self) -> float:
        """Seconds left for the part."""
        return self.until - time.monotonic()

    @cached_property
    def splits(self) -> TrialData:
        """The data, read and checked on first use."""
        return TrialData.of(self.data)

    def trials(
        self, names: tuple[str, ...], brief: tuple[str, ...] = BRIEF_SYSTEMS
    ) -> dict[str, TrialConfig]:
        """Papers' systems at their original sizes, or with `brief` small ones instead."""
        if not self.brief:
            return {name: papers[name].trial for name in names}
        small = {QUICK: load_space(QUICK).baseline(), YOLOX: papers[YOLOX].trial}
        return {
            name: config.changed(
                detector=config.detector.changed(input_size=BRIEF_SIZE),
                train=config.train.changed(batch_size=BRIEF_BATCH),
            )
            for name, config in small.items()
            if name in brief
        }


NOT_TRIED: Row = {"note": "not run: the part's time was over"}

Part = Callable[[Setting], Iterator[Row]]


def tried(row: Row, figures: Callable[[], Row]) -> Row:
    """A row with its figures, or with a traceback."""
    try:
        return row | figures()
    except Exception:
        return row | {ERROR: traceback.format_exc()}


def random_detector(config: TrialConfig) -> Detector:
    """A detector with random weights from seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(config.detector)


def finished(device: torch.device) -> float:
    """The time when a device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
