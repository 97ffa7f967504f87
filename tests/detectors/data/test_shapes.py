"""The generated set: what lies on disk, the truth of its annotations, and its mix of sizes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectors.data.shapes import ShapesConfig, generate_shapes

TINY = ShapesConfig(train_images=3, val_images=2, size=96)
FULL_SIZE = ShapesConfig(train_images=300, val_images=20)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_shapes(tmp_path_factory.mktemp("shapes") / "set", FULL_SIZE)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read(folder: Path, split: str) -> dict[str, Any]:
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_text())


def load(folder: Path, split: str) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(folder / "annotations" / f"instances_{split}.json")


def objects_by_image(folder: Path, split: str) -> dict[int, list[tuple[int, list[int]]]]:
    data = read(folder, split)
    objects: dict[int, list[tuple[int, list[int]]]] = {image["id"]: [] for image in data["images"]}
    for entry in data["annotations"]:
        objects[entry["image_id"]].append((entry["category_id"], entry["bbox"]))
    return objects


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


class TestFiles:
    def test_layout_is_that_of_a_coco_folder(self, tmp_path: Path) -> None:
        folder = generate_shapes(tmp_path / "set", TINY)
        assert folder == tmp_path / "set"
        assert set(contents(folder)) == {
            "train/000001.jpg",
            "train/000002.jpg",
            "train/000003.jpg",
            "val/000001.jpg",
            "val/000002.jpg",
            "annotations/instances_train.json",
            "annotations/instances_val.json",
        }
        with Image.open(folder / "val" / "000002.jpg") as image:
            assert (image.size, image.mode, image.format) == ((96, 96), "RGB", "JPEG")

    def test_the_same_configuration_gives_the_same_bytes(self, tmp_path: Path) -> None:
        first = generate_shapes(tmp_path / "first", TINY)
        second = generate_shapes(tmp_path / "second", TINY)
        assert contents(first) == contents(second)

    def test_another_seed_gives_other_images_and_objects(self, tmp_path: Path) -> None:
        first = generate_shapes(tmp_path / "first", TINY)
        second = generate_shapes(
            tmp_path / "second", ShapesConfig(train_images=3, val_images=2, size=96, seed=1)
        )
        for name in ("train/000001.jpg", "val/000001.jpg"):
            assert contents(first)[name] != contents(second)[name]
        assert read(first, "train")["annotations"] != read(second, "train")["annotations"]

    def test_an_image_does_not_depend_on_how_many_there_are(self, tmp_path: Path) -> None:
        few = generate_shapes(tmp_path / "few", TINY)
        many = generate_shapes(
            tmp_path / "many", ShapesConfig(train_images=5, val_images=4, size=96)
        )
        images = {name: data for name, data in contents(few).items() if name.endswith(".jpg")}
        assert len(images) == 5
        assert images.items() <= contents(many).items()
        for split in ("train", "val"):
            assert objects_by_image(few, split).items() <= objects_by_image(many, split).items()

    def test_train_and_val_differ(self, tmp_path: Path) -> None:
        folder = generate_shapes(tmp_path / "set", TINY)
        train = {contents(folder)[f"train/{i:06d}.jpg"] for i in (1, 2, 3)}
        val = {contents(folder)[f"val/{i:06d}.jpg"] for i in (1, 2)}
        assert len(train | val) == 5


class TestExistingFolder:
    def test_the_same_set_is_left_alone(self, tmp_path: Path) -> None:
        folder = generate_shapes(tmp_path / "set", TINY)
        (folder / "note.txt").write_text("kept")
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert generate_shapes(folder, TINY) == folder
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        assert len(contents(generate_shapes(tmp_path / "set", TINY))) == 7

    def test_the_set_of_another_configuration_is_refused(self, tmp_path: Path) -> None:
        folder = generate_shapes(tmp_path / "set", TINY)
        before = contents(folder)
        with pytest.raises(FileExistsError, match=r"set exists .*'seed': 0.* delete this one"):
            generate_shapes(folder, ShapesConfig(train_images=3, val_images=2, size=96, seed=1))
        assert contents(folder) == before

    @pytest.mark.parametrize("text", [None, "not JSON", "[]", '{"images": []}'])
    def test_a_foreign_folder_is_refused(self, tmp_path: Path, text: str | None) -> None:
        annotations = tmp_path / "set" / "annotations"
        annotations.mkdir(parents=True)
        if text is not None:
            (annotations / "instances_train.json").write_text(text)
        before = contents(tmp_path)
        with pytest.raises(FileExistsError, match="Give another folder"):
            generate_shapes(tmp_path / "set", TINY)
        assert contents(tmp_path) == before

    def test_a_file_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "set").write_text("a file")
        with pytest.raises(FileExistsError, match="Give another folder"):
            generate_shapes(tmp_path / "set", TINY)


class TestInterruption:
    def test_an_interrupted_generation_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save, calls = Image.Image.save, []

        def interrupted(image: Image.Image, *args: Any, **options: Any) -> None:
            calls.append(args)
            if len(calls) == 4:
                raise KeyboardInterrupt
            save(image, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "save", interrupted)
            with pytest.raises(KeyboardInterrupt):
                generate_shapes(tmp_path / "set", TINY)
        assert list(tmp_path.iterdir()) == []
        assert len(contents(generate_shapes(tmp_path / "set", TINY))) == 7

    def test_remains_of_a_killed_generation_do_no_harm(self, tmp_path: Path) -> None:
        clean = contents(generate_shapes(tmp_path / "clean", TINY))
        left = tmp_path / ".set-abc123" / "set" / "train"
        left.mkdir(parents=True)
        (left / "000001.jpg").write_bytes(b"half an image")
        assert contents(generate_shapes(tmp_path / "set", TINY)) == clean

    def test_a_set_that_another_process_finished_first_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename

        def overtaken(path: Path, target: Path) -> Path:
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", rename)
                generate_shapes(target, TINY)
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", overtaken)
            folder = generate_shapes(tmp_path / "set", TINY)
        assert len(contents(folder)) == 7
        assert [path.name for path in tmp_path.iterdir()] == ["set"]


class TestConfig:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("train_images", 0), ("val_images", 0), ("size", 63), ("seed", -1), ("size", 192.0)],
    )
    def test_impossible_values_are_refused(self, field: str, value: float) -> None:
        with pytest.raises(ValueError, match=rf"{field} must be an integer >= .*{value}"):
            ShapesConfig(**{field: value})

    @pytest.mark.parametrize("size", [64, 161, 320])
    def test_any_allowed_size_can_be_generated(self, tmp_path: Path, size: int) -> None:
        config = ShapesConfig(train_images=12, val_images=1, size=size)
        folder = generate_shapes(tmp_path / "set", config)
        assert all(objects_by_image(folder, "train").values())
        assert pixels(folder / "train" / "000012.jpg").shape == (size, size, 3)


class TestAnnotations:
    def test_ids_count_from_one(self, full_size: Path) -> None:
        for split, count in (("train", 300), ("val", 20)):
            data = read(full_size, split)
            assert [image["id"] for image in data["images"]] == list(range(1, count + 1))
            ids = [entry["id"] for entry in data["annotations"]]
            assert ids == list(range(1, len(ids) + 1))
            assert {entry["category_id"] for entry in data["annotations"]} == {1, 2, 3, 4}
            assert [(category["id"], category["name"]) for category in data["categories"]] == [
                (1, "disc"),
                (2, "square"),
                (3, "triangle"),
                (4, "cross"),
            ]

    def test_boxes_and_areas_are_those_of_the_masks(self, full_size: Path) -> None:
        coco = load(full_size, "train")
        for entry in coco.dataset["annotations"]:
            mask = coco.annToMask(entry)
            ys, xs = np.nonzero(mask)
            assert mask.shape == (192, 192)
            assert entry["area"] == len(ys)
            x, y, width, height = entry["bbox"]
            assert (x, y, x + width, y + height) == (
                xs.min(),
                ys.min(),
                xs.max() + 1,
                ys.max() + 1,
            )

    def test_objects_lie_off_the_border(self, full_size: Path) -> None:
        for entry in read(full_size, "train")["annotations"]:
            x, y, width, height = entry["bbox"]
            assert min(x, y) >= 1
            assert max(x + width, y + height) <= 191

    def test_masks_of_an_image_are_disjoint(self, full_size: Path) -> None:
        coco = load(full_size, "train")
        for image_id in coco.getImgIds():
            masks = [coco.annToMask(entry) for entry in coco.imgToAnns[image_id]]
            assert np.sum(masks, axis=0).max() == 1

    def test_small_objects_are_whole_and_others_hidden_by_a_quarter_at_most(
        self, full_size: Path
    ) -> None:
        """Held to the least share that a whole disc, square, triangle or cross takes of its box
        at any angle: pi / 4, 1/2, 0.464 (turned by 15 degrees), 0.52 (by 20 degrees)."""
        least = {1: np.pi / 4, 2: 0.5, 3: 0.464, 4: 0.52}
        for entry in read(full_size, "train")["annotations"]:
            visible = 1.0 if entry["area"] < 32**2 else 0.75
            _, _, width, height = entry["bbox"]
            share = entry["area"] / (width * height)
            assert share > 0.9 * visible * least[entry["category_id"]]

    def test_objects_stand_out(self, full_size: Path) -> None:
        """The colour just inside an outline differs from that just outside, for nearly all."""
        coco = load(full_size, "val")
        differences = []
        for image in coco.dataset["images"]:
            canvas = pixels(full_size / "val" / image["file_name"])
            for entry in coco.imgToAnns[image["id"]]:
                mask = coco.annToMask(entry).astype(bool)
                outside = dilated(dilated(mask)) & ~dilated(mask)
                difference = canvas[mask].mean(axis=0) - canvas[outside].mean(axis=0)
                differences.append(np.abs(difference).max())
        assert np.quantile(differences, 0.02) > 20
        assert np.median(differences) < 150

    def test_ground_truth_as_detections_scores_one(self, full_size: Path) -> None:
        coco = load(full_size, "val")
        detections = [
            {key: entry[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
            for entry in coco.dataset["annotations"]
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # AP, AP50, AP75 and those of small, medium and large objects.
        assert evaluation.stats[:6] == pytest.approx(np.ones(6))


class TestMix:
    def test_sizes_are_mixed_as_in_coco(self, full_size: Path) -> None:
        areas = np.array([entry["area"] for entry in read(full_size, "train")["annotations"]])
        assert np.mean(areas < 32**2) == pytest.approx(0.41, abs=0.03)
        assert np.mean((areas > 32**2) & (areas < 96**2)) == pytest.approx(0.34, abs=0.03)
        assert np.mean(areas > 96**2) == pytest.approx(0.24, abs=0.03)

    def test_number_of_objects_an_image(self, full_size: Path) -> None:
        counts = [len(objects) for objects in objects_by_image(full_size, "train").values()]
        assert 1 <= min(counts) <= 2
        assert 9 <= max(counts) <= 12
        assert 5 <= np.mean(counts) <= 7

    def test_sides_of_small_boxes_spread_evenly(self, full_size: Path) -> None:
        sides = np.array(
            [
                max(entry["bbox"][2:])
                for entry in read(full_size, "train")["annotations"]
                if entry["area"] < 32**2
            ]
        )
        assert 9 <= sides.min() <= 11
        assert 30 <= sides.max() <= 31
        assert np.quantile(sides, [0.25, 0.5, 0.75]) == pytest.approx([15.25, 20.5, 25.75], abs=2)

    def test_categories_are_equally_frequent(self, full_size: Path) -> None:
        ids = [entry["category_id"] for entry in read(full_size, "train")["annotations"]]
        assert np.bincount(ids)[1:] / len(ids) == pytest.approx(np.full(4, 0.25), abs=0.04)


def dilated(mask: np.ndarray) -> np.ndarray:
    """The mask and the pixels beside it."""
    wide = np.pad(mask, 1)
    return mask | wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2]
