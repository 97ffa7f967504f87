"""What Pascal VOC, TT100K and VisDrone say besides boxes, and how their files vary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from detectors.canvas import MEAN_COLOUR
from detectors.data.dataset import Dataset
from detectors.data.ignored import blanked
from detectors.data.pixels import Decoded
from detectors.data.readers import DataSource, Split
from detectors.data.reading import read_source, read_split
from detectors.data.samples import TrainingSet
from detectors.data.tt100k import BENCHMARK_CLASSES
from detectors.data.validation import DataError
from detectors.data.voc import VOC_CLASSES
from searchspace.augmentation import Augment, CopyPaste
from searchspace.training import TrainConfig

PLAIN = TrainConfig(augment=Augment(photometric=0, zoom_out=0, crop=0, flip=0), batch_size=1)


def picture(file: Path, size: tuple[int, int] = (40, 30)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(file, format="PNG")


def voc_object(name: str, *corners: object, more: str = "") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def voc_image(year: Path, name: str, text: str, suffix: str = ".jpg") -> None:
    picture(year / "JPEGImages" / f"{name}{suffix}")
    file = year / "Annotations" / f"{name}.xml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def voc_set(year: Path, name: str, *lines: str, end: str = "\n") -> None:
    file = year / "ImageSets/Main" / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(end.join(lines).encode())


def voc_year(year: Path, sets: dict[str, list[str]], label: str = "dog") -> None:
    for name, ids in sets.items():
        voc_set(year, name, *ids)
        for own in ids:
            text = f"<annotation>{voc_object(label, 1, 1, 40, 30)}</annotation>"
            voc_image(year, own, text)


def names(split: Dataset) -> list[str]:
    return [image.path.stem for image in split.images]


# ---- VOC


@pytest.mark.parametrize("inner", ["", "VOCdevkit"])
def test_years_are_joined_and_the_annotated_test_set_validates(tmp_path: Path, inner: str) -> None:
    root = tmp_path / inner
    voc_year(root / "VOC2007", {"trainval": ["01", "02"], "test": ["03"]})
    voc_year(root / "VOC2012", {"train": ["2008_1"], "trainval": ["2008_1"]})
    voc_set(root / "VOC2012", "test", "2008_9")  # listed, but not annotated
    train, val = read_source(DataSource.from_folder(tmp_path))
    assert (names(train), names(val)) == (["01", "02", "2008_1"], ["03"])
    assert tuple(category.name for category in train.categories) == VOC_CLASSES
    assert train.fingerprint != val.fingerprint
    one = DataSource.from_folder(root / "VOC2007")
    assert names(read_split(one.train)) == ["01", "02"]


def test_without_an_annotated_test_set_val_validates(tmp_path: Path) -> None:
    voc_year(tmp_path / "VOC2012", {"train": ["1"], "val": ["2"], "trainval": ["1", "2"]})
    voc_set(tmp_path / "VOC2012", "test", "9")
    assert [names(split) for split in read_source(DataSource.from_folder(tmp_path))] == [
        ["1"],
        ["2"],
    ]


def test_an_id_may_end_as_names_of_images_do(tmp_path: Path) -> None:
    """As after `mv a.png a.png.jpg`; else a suffix in a list is that of the image."""
    voc_year(tmp_path / "VOC2007", {"train": ["a.png"], "val": ["b"]})
    voc_set(tmp_path / "VOC2007", "val", "b.jpg")
    train, val = read_source(DataSource.from_folder(tmp_path))
    assert (names(train), names(val)) == (["a.png"], ["b"])


def test_other_classes_are_sorted_and_those_of_both_splits(tmp_path: Path) -> None:
    voc_year(tmp_path, {"train": ["1"]}, label="traffic light")
    voc_year(tmp_path, {"val": ["2"]}, label="person")
    for split in read_source(DataSource.from_folder(tmp_path)):
        assert [category.name for category in split.categories] == ["person", "traffic light"]


def test_corners_count_from_one_and_difficult_objects_are_flagged(tmp_path: Path) -> None:
    hard = voc_object("cat", 3, 4, 3, 4, more="<difficult>1</difficult><truncated>1</truncated>")
    text = f"<annotation>{voc_object('dog', 1, 1, 40, 30)}{hard}</annotation>"
    voc_image(tmp_path, "a", text)
    voc_set(tmp_path, "train", "a")
    voc_set(tmp_path, "val", "a")
    train = read_split(DataSource.from_folder(tmp_path).train)
    whole, small = train.annotations[1]
    assert (whole.box, whole.scored) == ((0, 0, 40, 30), True)
    assert (small.box, small.area, small.difficult, small.scored) == ((2, 3, 3, 4), 1, True, False)
    _, target = TrainingSet(train, PLAIN, 40, seed=0).sample(0)
    assert len(target["labels"]) == 2, "difficult objects are trained on, as in SSD's own code"


def test_variants_of_files_are_read(tmp_path: Path) -> None:
    size = "<size><width>40</width><height>30</height></size>"
    voc_image(tmp_path, "a", f"<annotation>{size}</annotation>", ".JPG")
    overhanging = voc_object("dog", 0, 0, 41, 30.4)
    voc_image(tmp_path, "my b.c", f"\ufeff<annotation>{overhanging}</annotation>", "")
    empty = "<annotation><size><width>0</width><height>0</height></size></annotation>"
    voc_image(tmp_path, "d", empty, ".png")
    voc_set(tmp_path, "train", "a", "my b.c", "", "d.png", "", end="\r\n")
    voc_set(tmp_path, "val", "a")
    train = read_split(DataSource.from_folder(tmp_path).train)
    assert [image.path.name for image in train.images] == ["a.JPG", "my b.c", "d.png"]
    assert [a.box for a in train.annotations[2]] == [(0, 0, 40, 30)]


@pytest.mark.parametrize(
    ("text", "entry", "problem"),
    [
        ("", "file", "is not XML (no element found: line 1, column 0); export"),
        ("<annotation>", "file", "is not XML (no element found: line 1, column 12); export"),
        (voc_object("", 1, 1, 2, 2), "object[0]", "name is missing or empty; write the class"),
        (voc_object("dog", "a", 1, 2, 2), "object[0] dog", "bndbox xmin is 'a'; write a number"),
        (voc_object("dog", 1, 1, "", 2), "object[0] dog", "bndbox xmax is missing or empty; wri"),
        (voc_object("dog", 1, 1, "nan", 2), "object[0] dog", "bndbox xmax is 'nan'; write a num"),
        (voc_object("dog", 9, 1, 8, 2), "object[0] dog", "bbox [8.0, 0.0, 0.0, 2.0] is 0 wide"),
        ("</annotation><image>", "file", "is not XML (junk after document element"),
    ],
)
def test_what_cannot_be_read_is_named_and_can_be_dropped(
    tmp_path: Path, text: str, entry: str, problem: str
) -> None:
    whole = text if not text or text == "<annotation>" else f"<annotation>{text}</annotation>"
    voc_image(tmp_path, "a", whole)
    voc_image(tmp_path, "b", f"<annotation>{voc_object('dog', 1, 1, 9, 9)}</annotation>")
    voc_set(tmp_path, "train", "a", "b")
    voc_set(tmp_path, "val", "b")
    source = DataSource.from_folder(tmp_path)
    with pytest.raises(DataError) as caught:
        read_split(source.train)
    [found] = caught.value.problems
    assert (found.file, found.entry) == (str(tmp_path / "Annotations/a.xml"), entry)
    assert str(found).startswith(f"{entry}: {problem}")
    kept = read_split(source.train, skip_bad="anyway")
    assert [a.box for items in kept.annotations.values() for a in items] == [(0, 0, 9, 9)]


def test_a_stated_size_is_compared_with_the_file(tmp_path: Path) -> None:
    size = "<size><width>30</width><height>40</height></size>"
    voc_image(tmp_path, "a", f"<annotation>{size}{voc_object('dog', 1, 1, 9, 9)}</annotation>")
    voc_set(tmp_path, "train", "a", "b")
    voc_set(tmp_path, "val", "a")
    with pytest.raises(DataError) as caught:
        read_split(DataSource.from_folder(tmp_path).train)
    lost, turned = caught.value.problems
    assert (lost.file, lost.what) == (str(tmp_path / "Annotations/b.xml"), "does not exist")
    assert "is declared as 30x40, but the file holds 40x30" in turned.what


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("latin-1", "ISO-8859-1"),
        ("utf-16", "utf-16"),
        ("utf-8", "utf-16"),  # as .NET writes it
        ("utf-8-sig", None),
        ("utf-16-le", None),
    ],
)
def test_xml_is_read_in_the_encoding_that_it_has(
    tmp_path: Path, encoding: str, declared: str | None
) -> None:
    first = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = f"{first}<annotation>{voc_object('Schlüssel', 1, 1, 9, 9)}</annotation>"
    voc_image(tmp_path, "a", "")
    (tmp_path / "Annotations/a.xml").write_bytes(text.encode(encoding))
    voc_set(tmp_path, "train", "a")
    voc_set(tmp_path, "val", "a")
    train = read_split(DataSource.from_folder(tmp_path).train)
    assert [category.name for category in train.categories] == ["Schlüssel"]


def test_an_encoding_that_is_not_said_is_asked_for(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", "")
    text = f"<annotation>{voc_object('Schlüssel', 1, 1, 9, 9)}</annotation>"
    (tmp_path / "Annotations/a.xml").write_bytes(text.encode("latin-1"))
    voc_set(tmp_path, "train", "a")
    with pytest.raises(DataError, match=r"is not utf-8 .*; save it as UTF-8, or say in its first"):
        read_split(DataSource.from_folder(tmp_path, val_share=0.5).train.whole)


@pytest.mark.parametrize("value", ["Unspecified", "maybe", "2"])
def test_a_mark_that_cannot_be_read_does_not_cost_the_box(tmp_path: Path, value: str) -> None:
    text = voc_object("dog", 1, 1, 9, 9, more=f"<difficult>{value}</difficult>")
    voc_image(tmp_path, "a", f'<annotation xmlns="http://a.b/c">{text}</annotation>')
    voc_set(tmp_path, "train", "a")
    train = read_split(DataSource.from_folder(tmp_path, val_share=0.5).train.whole)
    assert [(a.box, a.difficult) for a in train.annotations[1]] == [((0, 0, 9, 9), False)]
    assert "it is taken for an ordinary object" in str(train.warnings)


def test_own_data_in_vocs_format_have_the_classes_that_occur(tmp_path: Path) -> None:
    voc_year(tmp_path / "mine", {"train": ["1"], "val": ["2"]}, label="person")
    train, _ = read_source(DataSource.from_folder(tmp_path / "mine"))
    assert [category.name for category in train.categories] == ["person"]


@pytest.mark.parametrize(
    ("lists", "share", "expected"),
    [
        ({"train": ["a  1", "b -1"], "val": ["c"]}, None, "ab"),  # as VOC's lists of one class
        ({"default": ["a", "b", "c"]}, 0.4, "abc"),  # as CVAT's
        ({"trainval": ["a", "b", "c"]}, 0.4, "abc"),
        ({"train": ["a", "b"], "test": ["c"]}, None, "ab"),
    ],
)
@pytest.mark.parametrize("inner", ["", "VOCdevkit/mine"])
def test_lists_of_tools_are_found(
    tmp_path: Path, lists: dict[str, list[str]], share: float | None, expected: str, inner: str
) -> None:
    for name, lines in lists.items():
        voc_set(tmp_path / inner, name, *lines)
    for name in "abc":
        text = f"<annotation>{voc_object('dog', 1, 1, 9, 9)}</annotation>"
        voc_image(tmp_path / inner, name, text)
    train = DataSource.from_folder(tmp_path, share).train
    assert names(read_split(train.whole)) == list(expected)


def test_xml_files_and_images_may_lie_in_folders_alike(tmp_path: Path) -> None:
    for name in ("p/a", "q/a"):
        picture(tmp_path / f"images/{name}.jpg")
        file = tmp_path / f"annotations/{name}.xml"
        file.parent.mkdir(parents=True)
        file.write_text(f"<annotation>{voc_object(name[0], 1, 1, 9, 9)}</annotation>")
    whole = read_split(DataSource.from_folder(tmp_path, 0.5).train.whole)
    assert [file.name for file in whole.files.values()] == ["p/a.jpg", "q/a.jpg"]
    assert [category.name for category in whole.categories] == ["p", "q"]


def test_an_object_without_a_box_is_one_problem(tmp_path: Path) -> None:
    text = "<object><name>dog</name><robndbox><cx>3</cx></robndbox></object>"
    voc_image(tmp_path, "a", f"<annotation>{text}</annotation>")
    voc_set(tmp_path, "train", "a")
    with pytest.raises(DataError) as caught:
        read_split(DataSource.from_folder(tmp_path, 0.5).train.whole)
    [problem] = caught.value.problems
    assert problem.what == "has no bndbox"


def test_images_without_an_xml_file_are_said(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", f"<annotation>{voc_object('dog', 1, 1, 9, 9)}</annotation>")
    picture(tmp_path / "JPEGImages/b.jpg")
    train = read_split(Split.at(tmp_path / "JPEGImages", tmp_path / "Annotations"))
    assert names(train) == ["a"]
    assert "there is no XML file for 'b.jpg', and it is left out" in str(train.warnings)


# ---- TT100K


def tt100k(root: Path, types: list[str], **categories: str) -> DataSource:
    """`categories`: the sign on each image; those from `t` on are in `test`."""
    images = {}
    for name, category in categories.items():
        part = "test" if name >= "t" else "train"
        picture(root / part / f"{name}.jpg")
        box = {"xmin": 1.5, "ymin": 2, "xmax": 11.25, "ymax": 12}
        sign = {"category": category, "bbox": box, "ellipse_org": []}
        images[name] = {"path": f"{part}/{name}.jpg", "id": name, "objects": [sign]}
    for part in ("train", "test"):
        own = [name for name in categories if (name >= "t") == (part == "test")]
        (root / part / "ids.txt").write_bytes("\r\n".join(own).encode())
    file = root / "annotations.json"
    file.write_text(json.dumps({"imgs": images, "types": types}))
    return DataSource.from_folder(root)


def test_the_benchmarks_classes_are_those_of_the_whole_set(tmp_path: Path) -> None:
    assert len(set(BENCHMARK_CLASSES)) == 45
    source = tt100k(tmp_path / "all", ["zo", *BENCHMARK_CLASSES], a="zo", b="i2", t="pl5", u="zo")
    train, val = read_source(source)
    assert tuple(category.name for category in train.categories) == BENCHMARK_CLASSES
    found = [a for split in (train, val) for items in split.annotations.values() for a in items]
    assert [a.category_id for a in found] == [1, 1 + BENCHMARK_CLASSES.index("pl5")]
    assert found[0].box == (1.5, 2, 11.25, 12)
    assert len(train.images) == 2, "an image whose signs are left out is one without objects"
    few, _ = read_source(tt100k(tmp_path / "few", ["i2", "zo"], a="zo", b="i2", t="i2"))
    assert [category.name for category in few.categories] == ["i2", "zo"]


def test_flaws_of_tt100k_are_named(tmp_path: Path) -> None:
    source = tt100k(tmp_path, ["zo"], a="zo", b="zo", c="zo", d="zo", t="zo")
    file = source.train.annotations
    document = json.loads(file.read_text())
    images = document["imgs"]
    del images["a"]
    images["b"]["path"] = "test/t.jpg"
    images["c"]["objects"][0] |= {"category": None, "bbox": [1, 2, 3, 4]}
    file.write_text(json.dumps(document))
    with pytest.raises(DataError) as caught:
        read_split(source.train)
    assert [(p.entry, p.what) for p in caught.value.problems] == [
        ("imgs a, entry 1 of ids.txt", "is missing"),
        ("imgs b, entry 2 of ids.txt", "path is 'test/t.jpg'"),
        ("imgs c objects[0]", "category is None"),
        ("imgs c objects[0]", "bbox is [1, 2, 3, 4]"),
    ]
    kept = read_split(source.train, skip_bad="anyway")
    assert (names(kept), kept.listed) == (["c", "d"], (4, 2))
    file.write_text("[]")
    with pytest.raises(DataError, match=r"imgs: is None, not an object"):
        read_split(source.train)


def test_an_image_that_a_list_names_twice_counts_once(tmp_path: Path) -> None:
    """In TT100K both entries lead to the same place in the file, in VOC to different lines."""
    source = tt100k(tmp_path / "signs", ["zo"], a="zo", b="zo", t="zo")
    (source.train.images / "ids.txt").write_text("a\nb\na\n")
    year = tmp_path / "VOC2007"
    voc_year(year, {"trainval": ["a", "b", "a"], "test": ["t"]})
    for split in (source.train, DataSource.from_folder(year).train):
        with pytest.raises(DataError, match="is taken already by") as caught:
            read_split(split)
        assert len(caught.value.problems) == 1
        kept = read_split(split, skip_bad="anyway")
        assert names(kept) == ["a", "b"]
        assert sum(map(len, kept.annotations.values())) == 2


def test_a_flaw_of_a_file_of_both_splits_is_named_once(tmp_path: Path) -> None:
    source = tt100k(tmp_path, ["zo"], a="zo", t="zo")
    source.train.annotations.write_text("{")
    with pytest.raises(DataError) as caught:
        read_source(source)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("part", ["{}", "VisDrone2021-DET-{}/VisDrone2021-DET-{}"])
def test_parts_of_visdrone_are_found_by_their_lines(tmp_path: Path, part: str) -> None:
    for name in ("train", "val"):
        folder = tmp_path / part.format(name, name)
        picture(folder / "images/a.jpg")
        (folder / "annotations").mkdir()
        (folder / "annotations/a.txt").write_text("1,2,10,10,1,4,0,0\n")
    source = DataSource.from_folder(tmp_path)
    assert source.train.reader == "visdrone"
    assert [len(split.annotations[1]) for split in read_source(source)] == [1, 1]


# ---- VisDrone


def visdrone(root: Path, texts: dict[str, str]) -> DataSource:
    for part in ("train", "val"):
        for name, text in texts.items():
            picture(root / f"VisDrone2019-DET-{part}/images/{name}.jpg")
            file = root / f"VisDrone2019-DET-{part}/annotations/{name}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(text.encode())
    return DataSource.from_folder(root)


REGIONS = "20,0,20,30,0,0,0,0\r\n0,0,4,4,1,11,0,0,\r\n\r\n8,8,4,4,0,4,0,1\r\n30,10,5,5,1,4,0,2,\r\n"
"""A region over half of the image, another vehicle, a car of score 0, and a car in the region."""


def test_regions_others_and_scores_of_0_are_ignored_in_all_classes(tmp_path: Path) -> None:
    train = read_split(visdrone(tmp_path, {"a": REGIONS, "b": ""}).train)
    items = train.annotations[1]
    assert [(a.category_id, a.iscrowd) for a in items] == [(None, True)] * 3 + [(4, False)]
    assert train.annotations[2] == ()
    truth = train.ground_truth().dataset["annotations"]
    assert len({entry["id"] for entry in truth}) == len(truth) == 1 + 3 * train.num_classes
    assert sorted({e["category_id"] for e in truth if e["iscrowd"]}) == list(range(1, 11))


def test_training_sees_no_pixel_of_an_ignored_region(tmp_path: Path) -> None:
    train = read_split(visdrone(tmp_path, {"a": REGIONS}).train)
    image, target = TrainingSet(train, PLAIN, (30, 40), seed=0).sample(0)
    assert target["boxes"].tolist() == [[30, 10, 35, 15]]
    filled = (image == image.new_tensor(MEAN_COLOUR)[:, None, None]).all(0)
    ignored = filled.new_zeros(30, 40)
    for x1, y1, x2, y2 in ((20, 0, 40, 30), (0, 0, 4, 4), (8, 8, 12, 12)):
        ignored[y1:y2, x1:x2] = True
    ignored[10:15, 30:35] = False  # an annotated object keeps its pixels
    assert filled.equal(ignored)
    half = blanked(Decoded().get(train.images[0])[:, ::2, ::2], train.annotations[1], (0.5, 0.5))
    kept = (half == half.new_tensor(MEAN_COLOUR)[:, None, None]).all(0)[1:]
    assert kept.equal(ignored[2::2, ::2]), "a smaller copy"
    # Not even a car of score 0 is ever pasted, and nothing is pasted into a region.
    pasting = PLAIN.model_copy(update={"copy_paste": CopyPaste(probability=1, pastes=3)})
    for epoch in range(5):
        samples = TrainingSet(train, pasting, (30, 40), seed=epoch)
        _, target = samples.sample(0)
        assert all(box[2] <= 20 for box in target["boxes"][1:].tolist())
        assert target["labels"].tolist() == [4] * len(target["labels"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,2,3,4,1,4,0", "line 1: is '1,2,3,4,1,4,0'; write x,y,width,height,score,"),
        ("1,2,3,x,1,4,0,0", "line 1: is '1,2,3,x,1,4,0,0'; write"),
        ("1,2,3,4,0.7,4,0,0", "line 1: is '1,2,3,4,0.7,4,0,0'; write"),
        ("1,2,0,4,1,4,0,0", "line 1: bbox [1.0, 2.0, 0.0, 4.0] is 0 wide and 4 high"),
        ("1,2,3,4,1,12,0,0", "line 1: category_id is 12, which is not the id of any entry"),
        ("30,2,20,4,1,4,0,0", "line 1: bbox [30.0, 2.0, 20.0, 4.0] reaches 10 px outside"),
    ],
)
def test_flaws_of_visdrone_are_named_and_can_be_dropped(
    tmp_path: Path, line: str, problem: str
) -> None:
    source = visdrone(tmp_path, {"a": line, "b": "1,1,9,9,1,4,0,0"})
    with pytest.raises(DataError) as caught:
        read_split(source.train)
    [found] = caught.value.problems
    assert found.file == str(source.train.annotations / "a.txt")
    assert str(found).startswith(problem)
    kept = read_split(source.train, skip_bad="anyway")
    assert [len(items) for items in kept.annotations.values()] == [0, 1]


def test_an_image_without_a_file_of_annotations_is_named(tmp_path: Path) -> None:
    source = visdrone(tmp_path, {"a": "", "b": "1,1,9,9,1,1,0,0"})
    (source.train.annotations / "a.txt").unlink()
    with pytest.raises(DataError, match=r"a: there is no file for .*a\.jpg'; add a\.txt, empty if"):
        read_split(source.train)
    assert names(read_split(source.train, skip_bad="anyway")) == ["b"]


def test_what_is_no_image_needs_no_file_of_annotations(tmp_path: Path) -> None:
    source = visdrone(tmp_path, {"b": "1,1,9,9,1,1,0,0"})
    for name in ("Thumbs.db", "._b.jpg", "notes.txt"):
        (source.train.images / name).write_bytes(b"\0")
    assert names(read_split(source.train)) == ["b"]
