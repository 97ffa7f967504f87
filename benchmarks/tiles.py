"""What tiles buy: AP_small and FPS of images of 2,048 pixels, whole and in tiles::

    python -m benchmarks.tiles [--seconds 60] [--scenes 24] [--work FOLDER]

Scenes are 4 x 4 generated images of 512 pixels, reduced so that most objects have 8 to 64 pixels.
Each variant of the space `quick`'s detector trains for as much CPU time on one core, and is then
scored and timed on whole scenes. Where sahi is installed (`pip install sahi`), the same detector is
also timed in its slices.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.auto_space import cpu_time
from benchmarks.equal_training import SIZE, config_of, trained
from detectors.data.readers import DataSource
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.detector import Detector
from detectors.models import PLAIN, Model
from detectors.timing.measure import measure
from launch.trial.data import TrialData
from searchspace import TrialConfig, load_space
from searchspace.tiles import TileSize

SIDE, CELLS = 2048, 4
"""Pixels of a scene's side, and generated images along it."""

REDUCED = 2 / 3
"""The scale of these: small objects have 10 to 31 pixels, medium ones up to 96."""

TILES = "detector.tiles"
FIRST_LOOK = {
    f"{TILES}.grid.first_look.kind": "score",
    f"{TILES}.grid.first_look.score.threshold": 0.1,
}
OVERLAP = {f"{TILES}.grid.overlap": 0.1}


def _grid(count: int, **more: Any) -> dict[str, Any]:
    given = {f"{TILES}.grid.{name}": value for name, value in more.items()}
    both = {f"{TILES}.grid.rows": count, f"{TILES}.grid.columns": count}
    return {f"{TILES}.kind": "grid", **both, **OVERLAP, **given}


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "whole, 256 px": {SIZE: 256},
    "whole, 512 px": {SIZE: 512},
    "whole, 1024 px": {SIZE: 1024},
    "2x2 tiles, 256 px": {SIZE: 256, **_grid(2)},
    "2x2 tiles, 512 px": {SIZE: 512, **_grid(2)},
    "4x4 tiles, 256 px": {SIZE: 256, **_grid(4)},
    "4x4 tiles after a first look, 256 px": {SIZE: 256, **_grid(4), **FIRST_LOOK},
    "4x4 tiles and whole, 256 px": {SIZE: 256, **_grid(4, whole=True)},
}


def scenes(work: Path, count: int) -> Path:
    """A COCO folder of so many training scenes, and a third as many validation scenes."""
    folder, cell = work / f"scenes-{count}", round(SIDE / CELLS)
    if (folder / "annotations" / "instances_val.json").exists():
        return folder
    images = ShapesConfig(3 * CELLS**2, CELLS**2, round(cell / REDUCED), seed=1)
    parts = generate_shapes(work / "parts", images)
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("val", max(1, count // 3))):
        known = json.loads((parts / "annotations" / f"instances_{split}.json").read_text())
        (folder / split).mkdir(parents=True, exist_ok=True)
        made = [_scene(known, parts / split, cell, rng) for _ in range(number)]
        listed: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        for key, (image, boxes) in enumerate(made, start=1):
            image.save(folder / split / f"{key:04d}.jpg", quality=92)
            name = {"file_name": f"{key:04d}.jpg", "width": SIDE, "height": SIDE}
            listed["images"].append({"id": key, **name})
            for box in boxes:
                row = {"id": len(listed["annotations"]) + 1, "image_id": key, "iscrowd": 0, **box}
                listed["annotations"].append(row)
        (folder / "annotations").mkdir(exist_ok=True)
        text = json.dumps({**listed, "categories": known["categories"]})
        (folder / "annotations" / f"instances_{split}.json").write_text(text)
    return folder


def _scene(
    known: Mapping[str, Any], images: Path, cell: int, rng: np.random.Generator
) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Generated images side by side, each mirrored or not, and their objects."""
    scene, objects = Image.new("RGB", (SIDE, SIDE)), []
    for place in range(CELLS**2):
        chosen = known["images"][int(rng.integers(len(known["images"])))]
        left, top = place % CELLS * cell, place // CELLS * cell
        part = Image.open(images / chosen["file_name"]).resize((cell, cell))
        mirrored = rng.random() < 0.5
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else part
        scene.paste(part, (left, top))
        for item in known["annotations"]:
            if item["image_id"] != chosen["id"]:
                continue
            factor = cell / chosen["width"]
            x, y, width, height = (factor * side for side in item["bbox"])
            x = cell - x - width if mirrored else x
            box = [left + x, top + y, width, height]
            area = factor**2 * item["area"]
            objects.append({"bbox": box, "area": area, "category_id": item["category_id"]})
    return scene, objects


def rows(data: TrialData, seconds: float) -> Table:
    """Each variant after as much training."""
    space, device = load_space("quick"), torch.device("cpu")
    table = Table("", "parts", "epochs", "AP", "AP_small", "AP_medium", "FPS")
    for name, variant in VARIANTS.items():
        config = config_of(space, data.train.num_classes, variant)
        config = data.decide(config.changed(train=config.train.changed(batch_size=8)))
        with cpu_time():
            epochs, metrics = trained(config, data, seconds)
        cost = measure(Detector(config.detector), config.measure, device)
        shown = (metrics.ap, metrics.ap_small, metrics.ap_medium)
        scores = (f"{value or 0:.3f}" for value in shown)
        table.add_row(name, str(cost.inputs), str(epochs), *scores, f"{cost.fps:.2f}")
    return table


def beside_sahi(config: TrialConfig, image: Path) -> str:
    """The time of one image in tiles of 512 pixels, beside the library's."""
    from benchmarks.sliced import Sliced, as_tensor, found_by_sahi

    tiles = TileSize(side=512, overlap=0.1)
    plain = Detector(config.detector.changed(input_size=256)).eval()
    cut = Detector(plain.config.changed(tiles=tiles)).eval()
    cut.load_state_dict(plain.state_dict())
    pixels = np.asarray(Image.open(image))
    theirs, ours = Sliced(_model(plain)), _model(cut)
    calls: tuple[Callable[[], object], ...] = (
        lambda: found_by_sahi(theirs, pixels, tiles),
        lambda: ours.detect([as_tensor(pixels)]),
    )
    torch.set_num_threads(1)
    sahi, sparrow = (_seconds(call) for call in calls)
    parts = len(tiles.windows((SIDE, SIDE)))
    return f"{parts} tiles: sahi {sahi:.2f} s, Sparrow {sparrow:.2f} s ({sahi / sparrow:.1f} times)"


def _model(detector: Detector) -> Model:
    return Model(Path(), detector, PLAIN, torch.device("cpu"), None)


def _seconds(call: Callable[[], object], times: int = 5) -> float:
    """The shortest of a few calls after a first one."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--work", type=Path, default=Path("build/tiles"))
    given = parser.parse_args()
    folder = scenes(given.work, given.scenes)
    data = TrialData.read(DataSource.from_folder(folder))
    if find_spec("sahi"):
        config = load_space("quick").baseline().with_classes(data.train.num_classes)
        Console().print(beside_sahi(config, data.val.images[0].path))
    Console().print(rows(data, given.seconds))


if __name__ == "__main__":
    main()
