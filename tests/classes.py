"""A generated data set whose objects are of as many classes as a test asks for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def with_classes(shapes: Path, folder: Path, classes: int) -> Path:
    """A copy of a generated set with `classes` of them: kinds of shape fall together, or get
    neighbours of which there is no object."""
    shutil.copytree(shapes, folder)
    for file in (folder / "annotations").iterdir():
        data = json.loads(file.read_text())
        del data["info"]
        data["categories"] = [{"id": k + 1, "name": f"kind {k + 1}"} for k in range(classes)]
        for annotation in data["annotations"]:
            annotation["category_id"] = 1 + (annotation["category_id"] - 1) % classes
        file.write_text(json.dumps(data))
    return folder
