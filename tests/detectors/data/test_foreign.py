"""Exports that no reader reads are recognised, and it is said what to export instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detectors.data.foreign import foreign_file, foreign_in
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_split
from detectors.data.validation import DataError
from tests.detectors.data.test_finding import coco, picture

LABEL_STUDIO = [{"id": 1, "annotations": [{"id": 1, "completed_by": 1, "result": []}], "data": {}}]
SUPERVISELY = {"size": {"height": 3, "width": 4}, "objects": [{"classTitle": "bolt"}]}
VIA = {"_via_settings": {}, "_via_img_metadata": {"a.png9": {"filename": "a.png", "regions": []}}}
LABELME = {"version": "5.0", "shapes": [{"label": "bolt", "points": []}], "imagePath": "a.png"}
CREATEML = [{"image": "a", "annotations": [{"label": "b", "coordinates": {"x": 1, "y": 2}}]}]
RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]

EXPORTS: dict[str, tuple[str, Any, str]] = {
    "CVAT": ("annotations.xml", "<annotations>\n<version>1.1</version>", "COCO 1.0, Ultralytics"),
    "LabelMe": ("a.json", LABELME, "labelme2coco.py"),
    "VIA": ("via_project.json", VIA, "in COCO's format"),
    "VIA's CSV": ("via.csv", "filename,region_shape_attributes\n", "in COCO's format"),
    "Supervisely": ("ds/ann/a.png.json", SUPERVISELY, "as COCO or YOLO with Supervisely"),
    "Label Studio": ("project-1.json", LABEL_STUDIO, "as COCO or YOLO with images"),
    "Labelbox": ("export.ndjson", '{"data_row": {"id": "x"}}\n', "convert it to COCO"),
    "CreateML": ("train/_annotations.createml.json", CREATEML, "export as COCO, YOLO or"),
    "results": ("results.json", RESULTS, "the file with the images, categories and annotations"),
    "KITTI": ("label_2/0.txt", "Car 0.0 0 -1.5 1 2 20 30 1.5 1.6 3.7 1 1 1 -1.5\n", "convert"),
    "DOTA": ("labelTxt/a.txt", "imagesource:x\ngsd:0.1\n1 1 9 1 9 9 1 9 plane 0\n", "upright"),
    "a table": ("train.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "export as COCO"),
    "an archive": ("data.zip", "PK", "unpack it"),
}


def written(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def _read(place: Path) -> None:
    read_split(DataSource.from_folder(place, val_share=0.5).train)


@pytest.mark.parametrize("tool", EXPORTS)
def test_an_export_that_is_not_read_is_said_with_what_to_export(tmp_path: Path, tool: str) -> None:
    name, content, said = EXPORTS[tool]
    written(tmp_path / name, content)
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="which is not read") as caught:
        DataSource.from_folder(tmp_path)
    [problem] = caught.value.problems
    assert problem.what.startswith(name)
    assert said in problem.fix
    with pytest.raises(DataError, match=said):
        _read(tmp_path / name)


def test_coco_files_are_no_exports_of_others(tmp_path: Path) -> None:
    coco(tmp_path / "set.json", tmp_path / "images", ["a.png"])
    assert foreign_file(tmp_path / "set.json") is None
    assert foreign_in(tmp_path) is None


def test_annotations_that_are_a_list_are_said_to_be_detections(tmp_path: Path) -> None:
    written(tmp_path / "results.json", RESULTS)
    with pytest.raises(DataError, match="a list of detections: give the file with the images"):
        read_split(Split(tmp_path, tmp_path / "results.json"))
