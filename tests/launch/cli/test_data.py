from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.io import read_image

from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_split
from launch.cli.contact_sheet import contact_sheet
from searchspace.augmentation import Augment, CopyPaste
from searchspace.training import TrainConfig

SIZE = 160

Run = Callable[..., tuple[int, str]]


def test_the_command_reads_options_or_a_trial(
    run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    sheets = [tmp_path / "deep" / f"{name}.png" for name in ("options", "trial", "files")]
    options = ("--size", SIZE, "--copies", 1, "--mosaic", 0.5, "--count", 4, "--seed", 3)
    code, text = run("data", "preview", "--data", shapes_folder, *options, "--out", sheets[0])
    assert code == 0, text
    assert "magenta pasted" in text
    train = TrainConfig(augment=Augment(mosaic=0.5), copy_paste=CopyPaste(copies=1))
    trial = tmp_path / "trial.json"
    trial.write_text(
        f'{{"train": {train.model_dump_json()}, "detector": {{"input_size": {SIZE}, '
        '"head": {"kind": "multibox", "priors": {"kind": "scaled"}}}}'
    )
    annotations = shapes_folder / "annotations/instances_train.json"
    files = ("--images", shapes_folder / "train", "--annotations", annotations)
    rest = ("--config", trial, "--count", 4, "--seed", 3)
    code, text = run("data", "preview", *files, *rest, "--out", sheets[1])
    assert code == 0, text
    expected = contact_sheet(
        read_split(DataSource.from_folder(shapes_folder).train), train, SIZE, count=4, seed=3
    )
    assert all(torch.equal(read_image(str(sheet)), expected) for sheet in sheets[:2])
    code, text = run("data", "preview", *files, *rest, "--out", sheets[1])
    assert (code, "exists; choose another file, or give --overwrite" in text) == (1, True)
    assert run("data", "preview", *files, *rest, "--out", sheets[1], "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --data, or --images and --annotations"),
        (("--images", "x"), "give both --images and --annotations"),
        (("--data", "x", "--images", "x"), "give --data, or"),
        (("--data", "x", "--config", "y", "--copies", "1"), "give either it or augmentation"),
        (("--data", "x", "--source", "pixels"), "there are mask, box, mask_or_box"),
        (("--data", "x", "--copies", "4"), "'--copies': must be 3 or less"),
    ],
)
def test_options_that_do_not_go_together(run: Run, arguments: tuple, message: str) -> None:
    code, text = run("data", "preview", *arguments)
    assert code == 2
    assert message in text


def test_both_splits_of_a_folder_are_checked(run: Run, tmp_path: Path) -> None:
    texts = {
        "train": "1,1,9,9,1,4,0,0,\n9,9,40,40,0,0,0,0",
        "val": "1,1,0,9,1,4,0,0\n1,1,9,9,1,4,0,0",
    }
    for part, line in texts.items():
        folder = tmp_path / f"VisDrone2019-DET-{part}"
        for name in ("images", "annotations"):
            (folder / name).mkdir(parents=True)
        (folder / "annotations/a.txt").write_text(line)
        Image.new("RGB", (64, 64)).save(folder / "images/a.jpg")
    assert run("data", "check", "--data", tmp_path)[0] == 1
    code, text = run("data", "check", "--skip-bad", "--data", tmp_path)
    assert (code, "1 of 2 annotations (50%) are left" in " ".join(text.split())) == (1, True)
    code, text = run("data", "check", "--data", tmp_path, "--skip-bad=anyway")
    assert code == 0, text
    text = " ".join(text.split())
    assert "train/annotations): 1 image, 1 object (1 small, 1 ignore regions) of 10 categ" in text
    assert "val/annotations): 1 image, 1 object (1 small) of 10 categories, 1 bad entry" in text
    assert "dropped: line 1: bbox [1.0, 1.0, 0.0, 9.0] is 0 wide and 9 high" in text
    assert run("data", "check", tmp_path, "--skip-bad=anyway")[0] == 0
    code, text = run("data", "check", tmp_path, "--data", tmp_path)
    assert (code, "is given as well; give one" in text) == (2, True)
    sheet = tmp_path / "sheet.png"
    code, text = run("data", "preview", "--data", tmp_path, "--skip-bad=anyway", "--out", sheet)
    assert code == 0, text


def test_data_on_which_nothing_would_be_scored_do_not_pass(run: Run, tmp_path: Path) -> None:
    for part, line in {"train": "1,1,9,9,1,4,0,0", "val": "1,1,9,9,0,0,0,0"}.items():
        folder = tmp_path / f"VisDrone2019-DET-{part}"
        for name in ("images", "annotations"):
            (folder / name).mkdir(parents=True)
        (folder / "annotations/a.txt").write_text(line)
        Image.new("RGB", (64, 64)).save(folder / "images/a.jpg")
    code, text = run("data", "check", "--data", tmp_path)
    assert code == 1
    assert "no objects that are scored" in " ".join(text.split())


def test_the_subset_command_writes_once(run: Run, shapes_folder: Path, tmp_path: Path) -> None:
    source, out = shapes_folder / "annotations/instances_train.json", tmp_path / "cut.json"
    command = ("data", "subset", "--annotations", source, "--classes", "disc, cross")
    code, text = run(*command, "--all-images", "--out", out)
    assert code == 0, text
    assert "16 images" in text
    cut = read_split(Split(shapes_folder / "train", out))
    assert {category.name for category in cut.categories} == {"disc", "cross"}
    code, text = run(*command, "--out", out)
    assert code == 1
    assert "exists" in text


def test_what_a_format_has_no_room_for_is_counted(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for part in ("train", "val"):
        base = root / f"VisDrone2019-DET-{part}"
        for name in ("images", "annotations"):
            (base / name).mkdir(parents=True)
        (base / "annotations/a.txt").write_text("1,1,9,9,1,4,0,0\n20,20,9,9,0,0,0,0")
        Image.new("RGB", (64, 64)).save(base / "images/a.jpg")
    code, text = run("data", "convert", root, tmp_path / "yolo", "--to", "yolo", "--link")
    assert code == 0, text
    assert "2 images and 2 objects as yolo" in text
    assert "warning: yolo has no room for 2 ignore regions" in text
    linked = tmp_path / "yolo/images/train/a.jpg"
    assert linked.stat().st_ino == (root / "VisDrone2019-DET-train/images/a.jpg").stat().st_ino
    code, text = run("data", "convert", root, tmp_path / "yolo", "--to", "coco")
    assert (code, "exists and is not empty: choose another folder" in text) == (1, True)
    assert run("data", "convert", root, tmp_path / "new", "--to", "xml")[0] == 2


def test_more_objects_than_cocos_detections_are_said(
    run: Run, shapes_folder: Path, tmp_path: Path
) -> None:
    file = shapes_folder / "annotations" / "instances_val.json"
    document = json.loads(file.read_text())
    first = document["annotations"][0]
    document["annotations"] += [{**first, "id": 10_000 + n} for n in range(120)]
    dense = tmp_path / "dense.json"
    dense.write_text(json.dumps(document))
    images = ("--images", shapes_folder / "val")
    most = sum(a["image_id"] == first["image_id"] for a in document["annotations"])
    code, text = run("data", "check", *images, "--annotations", dense)
    assert code == 0, text
    assert f"{most} detections of an image are kept and scored, not COCO's 100" in text
    assert "kept and scored" not in run("data", "check", *images, "--annotations", file)[1]
