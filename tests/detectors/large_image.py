"""A process that looks at a large image in tiles, draws what it finds, and says how much memory it
took."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import torch

from detectors.data.node_cache import NO_CACHE, NodeCache
from detectors.data.reading import read_unannotated
from detectors.detector import Detector
from detectors.evaluate import detect_split
from detectors.models import load_model
from launch.report.drawing import draw_results

CPU = torch.device("cpu")


class Peak:
    """The most memory of its own that this process has meanwhile, in bytes; pages of files, which
    the system can drop, are left out."""

    def __enter__(self) -> Peak:
        self.most, self._ended = own_memory(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.most = max(self.most, own_memory())

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()


def own_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def main() -> None:
    """Arguments: a saved detector, a folder with one image, `file` or `cache`, and the output."""
    saved, folder, how, out = sys.argv[1:]
    model = load_model(Path(saved))
    assert isinstance(model.detector, Detector)
    model.predict(torch.zeros(64, 64, 3, dtype=torch.uint8).numpy())
    before = own_memory()
    with Peak() as peak:
        split = read_unannotated(Path(folder), None, model.classes)
        cache = NodeCache(limit=10**10) if how == "cache" else NO_CACHE
        found = detect_split(model.detector, split, CPU, cache)
        if how == "file":
            draw_results(found, split, Path(out).with_suffix(""))
    rows = [[row["score"], row["category_id"], *row["bbox"]] for row in found]
    Path(out).write_text(json.dumps({"grown": peak.most - before, "rows": rows}))


if __name__ == "__main__":
    main()
