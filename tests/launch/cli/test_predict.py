"""`sparrow predict`: what servers would compute from its files is what Sparrow computes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectors.data.dataset import ImageRecord
from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from detectors.detector import Detector
from detectors.evaluate import coco_metrics, detect_split
from detectors.thresholds import Threshold, Thresholds, write_thresholds
from launch.cli.predict import reduced_in_words
from searchspace import DetectorConfig
from searchspace.backbones import MobileNetV1
from searchspace.heads import Multibox, Postprocess
from searchspace.priors import ScaledPriors
from tests.devkit import by_definition
from tests.shared import COCO_STATS

Run = Callable[..., tuple[int, str]]

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, shapes_folder: Path) -> Path:
    """An untrained detector that finds a few objects by chance."""
    classes = [c.name for c in read_split(DataSource.from_folder(shapes_folder).val).categories]
    return detector_of(tmp_path_factory.mktemp("saved") / "detector", classes)


def detector_of(folder: Path, classes: list[str]) -> Path:
    torch.manual_seed(0)
    head = Multibox(
        priors=ScaledPriors(), postprocess=Postprocess(score_threshold=0.0, detections=100)
    )
    config = DetectorConfig(
        input_size=64, num_classes=len(classes), width=0.1, backbone=MobileNetV1(), head=head
    )
    return Detector(config, classes).save(folder)


def test_the_file_for_cocos_server_has_the_figures_of_the_evaluation(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep/results.json"
    code, text = run("predict", saved, "--data", shapes_folder, "--to", "coco", "--out", out)
    assert code == 0, text
    assert "detections on 8 images" in text
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(shapes_folder / "annotations/instances_val.json"))
        scored = COCOeval(truth, truth.loadRes(str(out)), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    val = read_split(DataSource.from_folder(shapes_folder).val)
    metrics = coco_metrics(val, detect_split(Detector.load(saved), val, CPU))
    known = [-1 if (v := getattr(metrics, name)) is None else v for name in COCO_STATS]
    assert known == scored.stats.tolist()
    assert 0 < metrics.ap < 1
    code, text = run("predict", saved, "--data", shapes_folder, "--to", "coco", "--out", out)
    assert code == 1
    assert "exists" in text


def test_test_images_keep_their_ids_and_those_of_cocos_categories(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    document = json.loads((shapes_folder / "annotations/instances_val.json").read_text())
    del document["annotations"]
    document["images"] = [
        {**image, "id": 1000 + 7 * image["id"], "coco_url": ""} for image in document["images"][:3]
    ]
    for number, category in enumerate(document["categories"]):
        category["id"] = 11 + 20 * number
    listing, out = tmp_path / "image_info_test.json", tmp_path / "results.json"
    listing.write_text(json.dumps(document))
    files = ("--images", shapes_folder / "val", "--annotations", listing)
    code, text = run("predict", saved, *files, "--to", "coco", "--out", out)
    assert code == 0, text
    results = json.loads(out.read_text())
    assert {result["image_id"] for result in results} == {i["id"] for i in document["images"]}
    own = {category["id"] for category in document["categories"]}
    assert {result["category_id"] for result in results} == own
    assert {frozenset(result) for result in results} == {
        frozenset(("image_id", "category_id", "bbox", "score"))
    }


def test_the_files_for_vocs_server_score_by_its_definition_as_the_evaluation_does(
    run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    """On the shapes as images of VOC, of whose objects every third is difficult."""
    val = read_split(DataSource.from_folder(shapes_folder).val)
    year, classes = tmp_path / "VOC2007", {c.id: c.name for c in val.categories}
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    for image in val.images:
        shutil.copy(image.path, year / "JPEGImages" / image.path.name)
        objects = []
        for item in val.annotations[image.id]:
            x1, y1, x2, y2 = map(round, item.box)
            objects.append(
                f"<object><name>{classes[item.category_id]}</name>"
                f"<difficult>{int(item.id % 3 == 0)}</difficult><bndbox><xmin>{x1 + 1}</xmin>"
                f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            )
        text = f"<annotation>{''.join(objects)}</annotation>"
        (year / f"Annotations/{image.path.stem}.xml").write_text(text)
    ids = "\n".join(image.path.stem for image in val.images)
    for name in ("trainval", "test"):
        (year / f"ImageSets/Main/{name}.txt").write_text(ids)
    split = read_split(DataSource.from_folder(tmp_path).val)
    saved = detector_of(tmp_path / "saved", [category.name for category in split.categories])
    out = tmp_path / "results"
    code, text = run("predict", saved, "--data", tmp_path, "--to", "voc", "--out", out)
    assert code == 0, text
    metrics = coco_metrics(split, detect_split(Detector.load(saved), split, CPU))
    images = {image.path.stem: image.id for image in split.images}
    for category in split.categories:
        results = []
        for line in (out / f"comp4_det_test_{category.name}.txt").read_text().splitlines():
            name, *numbers = line.split()
            score, x1, y1, x2, y2 = map(float, numbers)
            results.append(
                {
                    "image_id": images[name],
                    "category_id": category.id,
                    "bbox": [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1],
                    "score": score,
                }
            )
        area, points = by_definition(split, results, category.id)
        figures = metrics.classes[category.name]
        assert figures.voc_ap == pytest.approx(area)
        assert figures.voc_ap_07 == pytest.approx(points)
    assert metrics.voc_map > 0


def test_a_folder_of_images_is_enough_for_vocs_form(run: Run, saved: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "results"
    for name in ("a.png", "below/b.JPG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (9, 99, 199)).save(folder / name)
    (folder / "notes.txt").write_text("")
    command = ("predict", saved, "--images", folder, "--to", "voc", "--out", out)
    code, text = run(*command)
    assert code == 0, text
    files = sorted(file.name for file in out.iterdir())
    classes = Detector.load(saved).classes
    assert files == sorted(f"comp4_det_test_{name}.txt" for name in classes)
    lines = [line.split() for name in files for line in (out / name).read_text().splitlines()]
    assert {line[0] for line in lines} == {"a", "b"}
    assert all(1 <= float(line[2]) <= float(line[4]) + 1 <= 51.001 for line in lines)
    code, text = run(*command)
    assert (code, "exists" in text) == (1, True)
    shutil.copy(folder / "a.png", folder / "below/a.png")
    code, text = run(*command[:-1], tmp_path / "others")
    assert code == 1
    assert "rename one of them" in text
    shutil.move(folder / "below/a.png", folder / "below/a b.png")
    code, text = run(*command[:-1], tmp_path / "others")
    assert (code, "rename the image without spaces" in text) == (1, True), text
    (folder / "below/a b.png").unlink()
    (folder / "below/a.png").write_bytes(b"")
    code, text = run(*command[:-1], tmp_path / "others", "--skip-bad=anyway")
    assert code == 0, text
    assert "2 images; 1 bad entry dropped; 2 of 3 images (67%)" in text


def test_it_is_said_how_many_pictures_are_reduced() -> None:
    images = [ImageRecord(k, Path("a"), *size) for k, size in enumerate(((6000, 5000), (80, 60)))]
    assert reduced_in_words(images).startswith("; 1 picture of more than 25 megapixels reduced")
    assert reduced_in_words(images[1:]) == ""


def test_images_are_drawn_and_listed_above_the_thresholds(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "images", tmp_path / "drawn"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("a.png", "below/b.png")):
        Image.effect_noise((80, 60), 50 + 50 * number).convert("RGB").save(folder / name)
    code, text = run("predict", saved, folder, "--out", out, "--threshold", 0.2)
    assert code == 0, text
    assert "scores of 0.2 or more" in text
    rows = list(csv.DictReader((out / "detections.csv").open()))
    assert {row["image"] for row in rows} == {"a.png", "below/b.png"}
    assert all(float(row["score"]) >= 0.2 for row in rows)
    before, after = (np.asarray(Image.open(at / "below/b.png")) for at in (folder, out))
    assert before.shape == after.shape
    assert (before != after).any()
    code, text = run("predict", saved, folder / "a.png", "--out", tmp_path / "default")
    assert "scores of 0.3 or more, as no threshold was chosen: sparrow eval" in text
    classes = Detector.load(saved).classes
    chosen = {name: Threshold(score=0.25 if name == classes[0] else None) for name in classes}
    write_thresholds(saved, Thresholds(rule="f1", images=8, classes=chosen))
    for form in ("csv", "coco"):
        files = (folder / "a.png", "--to", form, "--out", tmp_path / f"x.{form}", "--json")
        code, text = run("predict", saved, *files)
        assert code == 0, text
        assert form == "coco" or "thresholds of best F1" in text
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert {row["class"] for row in rows} <= {classes[0]}
    results = json.loads((tmp_path / "x.coco").read_text())
    assert {row["file_name"] for row in results} == {"a.png"}
    kept = [r for r in results if r["category_id"] == 1 and r["score"] >= 0.25]
    assert len(kept) == len(rows)
    (saved / "thresholds.json").unlink()


def test_yolos_labels_are_fractions_of_the_image(
    run: Run, saved: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    options = ("--data", shapes_folder, "--to", "yolo", "--threshold", 0)
    code, text = run("predict", saved, *options, "--out", tmp_path / "labels")
    assert code == 0, text
    val = read_split(DataSource.from_folder(shapes_folder).val)
    expected = detect_split(Detector.load(saved), val, CPU)
    image = val.images[0]
    lines = (tmp_path / "labels" / image.path.name).with_suffix(".txt").read_text().splitlines()
    mine = [row for row in expected if row["image_id"] == image.id]
    assert len(lines) == len(mine) > 0
    label, x, y, width, height, score = map(float, lines[0].split())
    box = [
        (x - width / 2) * image.width,
        (y - height / 2) * image.height,
        width * image.width,
        height * image.height,
    ]
    assert box == pytest.approx(mine[0]["bbox"], abs=1e-3)
    assert (val.categories[int(label)].id, score) == (
        mine[0]["category_id"],
        pytest.approx(mine[0]["score"], abs=1e-6),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "csv", "--images", "i"), "csv needs it"),
        (("--to", "png", "--data", "d"), "'png': there are pictures, csv, yolo, coco, voc"),
        (("--to", "coco"), "give either --data or --images"),
        (("--to", "coco", "--data", "d", "--images", "i"), "give either --data or --images"),
        (("--to", "coco", "--data", "d", "--annotations", "a"), "it goes with --images only"),
        (("i", "--annotations", "a"), "it goes with --images only"),
        (("--to", "coco", "--images", "i"), "give --annotations, such as image_info_test-dev2017"),
    ],
)
def test_options_of_predict_that_do_not_go_together(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    out = () if "csv" in arguments else ("--out", "o")
    code, text = run("predict", "detector", *arguments, *out)
    assert code == 2
    assert message in text
