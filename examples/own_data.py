"""Search on annotations of your own: a CSV file becomes COCO's format, of which a part is held out.

    python examples/own_data.py IMAGES BOXES.csv runs/mine

Columns of the file: image, x, y, width, height, class; boxes in pixels.
"""

import csv
import json
import sys
from pathlib import Path

from PIL import Image

from detectors import DataSource
from launch import search


def to_coco(images, table, out):
    """Write COCO's file for the images of a folder."""
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["class"] for row in rows})
    files = sorted({row["image"] for row in rows})
    sizes = {file: Image.open(Path(images) / file).size for file in files}
    boxes = [[float(row[side]) for side in ("x", "y", "width", "height")] for row in rows]
    tree = {
        "images": [
            {"id": number, "file_name": file, "width": sizes[file][0], "height": sizes[file][1]}
            for number, file in enumerate(files, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": number,
                "image_id": 1 + files.index(row["image"]),
                "category_id": 1 + names.index(row["class"]),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, (row, box) in enumerate(zip(rows, boxes, strict=True), 1)
        ],
    }
    Path(out).write_text(json.dumps(tree))


def main(images, table, out, space="auto", **options):
    annotations = Path(images) / "annotations.json"
    to_coco(images, table, annotations)
    data = DataSource.from_folder(annotations, val_share=0.25)
    front = search(space, data, out, **options)
    print(front.to_pandas()[["ap_small", "fps", "design"]])
    return front


if __name__ == "__main__":
    main(*sys.argv[1:4], minutes=60)
