"""Seconds and memory that checking annotations of COCO's size takes::

    python -m benchmarks.annotations [--images 118287] [--folder FOLDER]

Makes up a file with as many images, objects and polygons as COCO's training annotations of 2017
have, with an empty file for each image, and reads and checks it as `sparrow data check` does. No
image is decoded. Prints the seconds of the clock and of the CPU, and the most memory it took.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from detectors.data.health import split_figures
from detectors.data.images import ImageFacts
from detectors.data.readers import Split
from detectors.data.reading import read_split

IMAGES, OBJECTS, CLASSES = 118_287, 860_001, 80
SIZE = (640, 480)
POINTS = 24
"""Of a polygon: the file has about 450 MB then, as COCO's."""


def write(folder: Path, images: int) -> Split:
    """A split with so many images and COCO's number of objects on each."""
    rng = np.random.default_rng(0)
    file, place = folder / "instances_train.json", folder / "train"
    place.mkdir(parents=True)
    names = [f"{number:012d}.jpg" for number in range(1, images + 1)]
    with file.open("w") as out:
        out.write('{"info": {}, "images": [')
        for number, name in enumerate(names, 1):
            (place / name).touch()
            entry = {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            out.write(("," if number > 1 else "") + json.dumps(entry))
        out.write('], "annotations": [')
        for number in range(1, images * OBJECTS // IMAGES + 1):
            entry = _annotation(number, rng, images)
            out.write(("," if number > 1 else "") + json.dumps(entry))
        classes = [{"id": key, "name": f"class {key}"} for key in range(1, CLASSES + 1)]
        out.write(f'], "categories": {json.dumps(classes)}}}')
    return Split(place, file)


def _annotation(number: int, rng: np.random.Generator, images: int) -> dict[str, Any]:
    """An ellipse as a polygon, with the box and the area of COCO's conventions."""
    width, height = np.exp(rng.uniform(1.5, 5.5, 2))
    x, y = rng.uniform(0, 1, 2) * (np.array(SIZE) - (width, height))
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    xs, ys = x + width * (1 + np.cos(angles)) / 2, y + height * (1 + np.sin(angles)) / 2
    return {
        "segmentation": [np.stack((xs, ys), 1).ravel().round(2).tolist()],
        "area": round(float(np.pi / 4 * width * height), 3),
        "iscrowd": 0,
        "image_id": int(rng.integers(1, images + 1)),
        "bbox": [round(float(side), 2) for side in (x, y, width, height)],
        "category_id": int(rng.integers(1, CLASSES + 1)),
        "id": number,
    }


def undecoded(path: Path) -> ImageFacts:
    """The facts of an image as if it had been decoded."""
    path.stat()
    return ImageFacts(SIZE, SIZE, 1, sha256(path.name.encode()).hexdigest())


def measure(split: Split) -> tuple[int, int]:
    """Read a split, print what that took, and return the numbers of images and objects."""
    wall, cpu = time.perf_counter(), time.process_time()
    read = read_split(split, inspect=undecoded)
    figures = split_figures(read)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"{figures.images:,} images, {figures.objects:,} objects: {wall:.1f} s, of the CPU "
        f"{cpu:.1f} s, at most {gigabytes:.2f} GB"
    )
    return figures.images, figures.objects


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folder", type=Path, help="to write to; a temporary one by default")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        split = write(Path(folder), given.images)
        megabytes = split.annotations.stat().st_size / 1e6
        print(f"{megabytes:.0f} MB of annotations")
        measure(split)


if __name__ == "__main__":
    main()
