from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from detectors.data.readers import Split
from detectors.data.reading import read_split
from detectors.data.validation import DataError, Problem

IMAGE_IDS = {10, 20, 30}
ANNOTATION_IDS = {1, 2, 3, 4}


def field(section: str, index: int, **values: Any) -> Callable[[Any], None]:
    return lambda folder: folder.document[section][index].update(values)


def without(section: str, index: int, key: str) -> Callable[[Any], None]:
    return lambda folder: folder.document[section][index].pop(key)


def append(section: str, entry: Any) -> Callable[[Any], None]:
    return lambda folder: folder.document[section].append(entry)


def repeat(section: str, index: int, **values: Any) -> Callable[[Any], None]:
    def corrupt(folder: Any) -> None:
        folder.document[section].append({**folder.document[section][index], **values})

    return corrupt


def file_content(name: str, content: bytes) -> Callable[[Any], None]:
    return lambda folder: (folder.images / name).write_bytes(content)


def cut_in_half(name: str) -> Callable[[Any], None]:
    def corrupt(folder: Any) -> None:
        content = (folder.images / name).read_bytes()
        (folder.images / name).write_bytes(content[: len(content) // 2])

    return corrupt


def delete(name: str) -> Callable[[Any], None]:
    return lambda folder: (folder.images / name).unlink()


def become_a_folder(folder: Any) -> None:
    (folder.images / "a.png").unlink()
    (folder.images / "a.png").mkdir()


# what goes wrong, where, which words must be said, which images and annotations skip_bad leaves
BAD_ENTRIES: list[tuple[Callable[[Any], None], str, list[str], set[int], set[int]]] = []


def bad_image(corrupt: Callable[[Any], None], *words: str) -> None:
    BAD_ENTRIES.append((corrupt, "images[0] id 10", [*words], {20, 30}, {3, 4}))


def bad_annotation(corrupt: Callable[[Any], None], *words: str) -> None:
    BAD_ENTRIES.append((corrupt, "annotations[1] id 2", [*words], IMAGE_IDS, {1, 3, 4}))


def bad_addition(corrupt: Callable[[Any], None], entry: str, *words: str) -> None:
    BAD_ENTRIES.append((corrupt, entry, [*words], IMAGE_IDS, ANNOTATION_IDS))


bad_image(delete("a.png"), "a.png", "does not exist")
bad_image(file_content("a.png", b""), "a.png", "is empty (0 bytes)")
bad_image(file_content("a.png", b"GIF8 no more"), "a.png", "not an image of a known format")
bad_image(cut_in_half("a.png"), "a.png", "cannot be decoded")
bad_image(become_a_folder, "a.png", "not a regular file")
bad_image(field("images", 0, width=30, height=40), "declared as 30x40", "40x30", "a.png")
bad_image(without("images", 0, "file_name"), "lacks the key 'file_name'")
bad_image(field("images", 0, file_name=7), "file_name is 7 (int)")
bad_image(field("images", 0, file_name=""), "file_name is '' (str)")
bad_image(field("images", 0, file_name="\ud800.png"), r"'\ud800.png'", "Unicode")
bad_image(field("images", 0, file_name="a\0.png"), r"'a\x00.png'", "not a path")
bad_image(field("images", 0, file_name="a" * 5000), "cannot be opened", "aaa")
bad_image(field("images", 0, file_name="../train/a.png"), "'../train/a.png' leaves")
bad_image(field("images", 0, file_name="/etc/passwd"), "'/etc/passwd' leaves the image folder")
bad_image(field("images", 0, file_name="."), "not a regular file")

bad_annotation(
    field("annotations", 1, bbox=[5, 5, 0, 4]), "[5.0, 5.0, 0.0, 4.0]", "0 wide and 4 high"
)
bad_annotation(field("annotations", 1, bbox=[5, 5, 4, -2]), "[5.0, 5.0, 4.0, -2.0]", "-2 high")
bad_annotation(field("annotations", 1, bbox=[5, 5, 4, 1e-300]), "high", "positive extent")
bad_annotation(field("annotations", 1, bbox=[float("nan"), 5, 4, 4]), "[nan, 5, 4, 4]")
bad_annotation(field("annotations", 1, bbox=[5, float("-inf"), 4, 4]), "[5, -inf, 4, 4]")
bad_annotation(field("annotations", 1, bbox=[5, 5, 10**400, 4]), "not four finite numbers")
bad_annotation(field("annotations", 1, bbox=[5, 5, 4]), "[5, 5, 4]", "[x, y, width, height]")
bad_annotation(field("annotations", 1, bbox=[5, 5, "x", 4]), "[5, 5, 'x', 4]")
bad_annotation(field("annotations", 1, bbox=[5, 5, True, 4]), "[5, 5, True, 4]")
bad_annotation(field("annotations", 1, bbox={"x": 5}), "{'x': 5}")
bad_annotation(without("annotations", 1, "bbox"), "lacks the key 'bbox'")
bad_annotation(
    field("annotations", 1, bbox=[30, 20, 11.5, 5]),
    *("[30.0, 20.0, 11.5, 5.0]", "1.5 px outside", "40x30", "clip it to [30.0, 20.0, 10.0, 5.0]"),
)
bad_annotation(field("annotations", 1, bbox=[-2, 5, 9, 4]), "2 px outside", "clip it to [0.0,")
bad_annotation(field("annotations", 1, bbox=[1e308, 5, 1e308, 4]), "entirely outside")
bad_annotation(
    field("annotations", 1, bbox=[40, 5, 1, 4]), "[40.0, 5.0, 1.0, 4.0]", "entirely outside"
)
bad_annotation(
    field("annotations", 1, bbox=[5, -9, 4, 9]), "[5.0, -9.0, 4.0, 9.0]", "entirely outside"
)
bad_annotation(field("annotations", 1, category_id=8), "category_id is 8", "use one of [7, 3]")
bad_annotation(field("annotations", 1, image_id=11), "image_id is 11", "one of [10, 20, 30]")
bad_annotation(field("annotations", 1, image_id=[10]), "image_id is [10] (list)")
bad_annotation(field("annotations", 1, image_id=None), "image_id is None (NoneType)")
bad_annotation(field("annotations", 1, category_id=-7), "category_id is -7")
bad_annotation(field("annotations", 1, iscrowd=2), "iscrowd is 2", "from 0 to 1")

bad_addition(append("annotations", 17), "annotations[4]", "is 17 (int), not an object")
bad_addition(append("images", None), "images[3]", "is None (NoneType), not an object")
bad_addition(append("categories", ["x"]), "categories[2]", "is ['x'] (list), not an object")
bad_addition(append("categories", {"id": 9}), "categories[2] id 9", "lacks the key 'name'")
bad_addition(append("categories", {"id": -1, "name": "x"}), "categories[2] id -1", "id is -1")
bad_addition(append("categories", {"id": 9, "name": 5}), "categories[2] id 9", "name is 5 (int)")
bad_addition(
    repeat("annotations", 0), "annotations[4] id 1", "taken already by annotations[0] id 1"
)
bad_addition(repeat("images", 0), "images[3] id 10", "id 10 is taken already by images[0] id 10")
bad_addition(repeat("categories", 0), "categories[2] id 7", "taken already by categories[0] id 7")
bad_addition(repeat("images", 0, id=40), "images[3] id 40", "'a.png' is taken already by images[0]")
bad_addition(
    repeat("images", 0, id=40, file_name="./a.png"), "images[3] id 40", "'./a.png' is taken"
)


@pytest.mark.parametrize(
    ("corrupt", "entry", "words", "images", "annotations"),
    BAD_ENTRIES,
    ids=[f"{row[1]} {row[2][0]!a}"[:70] for row in BAD_ENTRIES],
)
def test_a_bad_entry_is_named_and_can_be_skipped(
    coco_folder: Any,
    corrupt: Callable[[Any], None],
    entry: str,
    words: list[str],
    images: set[int],
    annotations: set[int],
) -> None:
    corrupt(coco_folder)
    split = coco_folder.save()

    with pytest.raises(DataError) as caught:
        read_split(split)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{split.annotations}:"
    assert any(
        line.startswith(f"  {entry}: ") and all(word in line for word in words) for line in lines
    ), lines
    assert {problem.entry for problem in caught.value.problems} == {entry}

    rest = read_split(split, skip_bad="anyway")
    assert {image.id for image in rest.images} == images == rest.annotations.keys()
    assert {item.id for items in rest.annotations.values() for item in items} == annotations
    assert [category.id for category in rest.categories] == [3, 7]
    assert rest.skipped == caught.value.problems


def test_ids_that_two_different_entries_claim_are_dropped_with_all_that_refers_to_them(
    coco_folder: Any,
) -> None:
    coco_folder.document["images"][1]["id"] = 10  # whose boxes are those of image 10?
    for annotation in coco_folder.document["annotations"]:
        annotation["image_id"] = 10
    append("categories", {"id": 8, "name": "fox"})(coco_folder)
    append("categories", {"id": 8, "name": "wolf"})(coco_folder)
    for number, category in ((11, 3), (12, 7)):
        entry = {"id": number, "image_id": 30, "category_id": category, "bbox": [1, 1, 3, 3]}
        append("annotations", entry)(coco_folder)

    rest = read_split(coco_folder.save(), skip_bad="anyway")

    assert [image.id for image in rest.images] == [30]
    assert [category.name for category in rest.categories] == ["cat", "dog"]
    assert [item.id for item in rest.annotations[30]] == [11, 12]
    assert [problem.entry for problem in rest.skipped] == ["categories[3] id 8", "images[1] id 10"]


def test_all_problems_are_reported_at_once(coco_folder: Any) -> None:
    field("images", 0, width=41)(coco_folder)
    delete("c.png")(coco_folder)
    field("annotations", 0, bbox=[1, 2, 3], iscrowd=7, category_id=99)(coco_folder)
    field("annotations", 3, bbox=[1, 2, 0, 3])(coco_folder)
    append("categories", {"name": "no id"})(coco_folder)

    with pytest.raises(DataError) as caught:
        read_split(coco_folder.save())

    found = [(problem.entry, problem.what.split(" is ")[0]) for problem in caught.value.problems]
    assert sorted(found) == [
        ("annotations[0] id 1", "bbox"),
        ("annotations[0] id 1", "category_id"),
        ("annotations[0] id 1", "iscrowd"),
        ("annotations[3] id 4", "bbox [1.0, 2.0, 0.0, 3.0]"),
        ("categories[2]", "lacks the key 'id'"),
        ("images[0] id 10", f"'{coco_folder.images / 'a.png'}'"),
        ("images[2] id 30", f"'{coco_folder.images / 'c.png'}' does not exist"),
    ]


DEEP = b"[" * 100_000
VALID = b'{"images": [{}], "annotations": [], "categories": [{}]}'
UNREADABLE = {
    "empty": (b"", ["file: is empty"]),
    "cut in a list": (b'{"images": [\n{"id": 1,\n', ["line 3 column 1", "cut off"]),
    "cut in a string": (b'{"images": [\n{"file_na', ["line 2 column 2", "cut off"]),
    "no JSON": (b"{'images': []}", ["line 1 column 2", "is not JSON"]),
    "something after it": (VALID + b"}", ["line 1 column 56", "is not JSON", "Extra data"]),
    "a list": (b"[1, 2]", ["top level", "[1, 2] (list), not an object"]),
    "null": (b"null", ["top level", "None (NoneType), not an object"]),
    "nothing in it": (b"{}", ["images: is missing", "annotations: is", "categories: is missing"]),
    "no lists": (
        b'{"images": {"1": 2}, "annotations": "x", "categories": 3}',
        ["images: is {'1': 2} (dict), not a list", "annotations: is 'x'", "categories: is 3 (int)"],
    ),
    "empty lists": (
        b'{"images": [], "annotations": [], "categories": []}',
        ["images: is an empty list", "categories: is an empty list"],
    ),
    "deep nesting": (b'{"images": ' + DEEP, ["nested too deeply"]),
    "a number of 5000 digits": (
        VALID[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        ["too long to be read"],
    ),
    "Latin-1": (b'{"images": "\xe9t\xe9"}', ["byte 12", "utf-8", "\\xe9"]),
    "half a UTF-16 character": (codecs.BOM_UTF16_LE + b"{\0}", ["byte 4", "utf-16"]),
}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_file_is_located_and_never_skipped(
    coco_folder: Any, name: str, skip_bad: bool
) -> None:
    content, words = UNREADABLE[name]
    coco_folder.json.write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_split(Split(coco_folder.images, coco_folder.json), skip_bad)

    text = str(caught.value)
    assert text.startswith(f"{coco_folder.json}:\n")
    assert [word for word in words if word not in text] == []
    assert all(problem.fix for problem in caught.value.problems)


@pytest.mark.parametrize("section", ["images", "categories"])
def test_nothing_usable_left_is_an_error_also_when_skipping(coco_folder: Any, section: str) -> None:
    for entry in coco_folder.document[section]:
        entry["id"] = -5

    with pytest.raises(DataError, match=rf"{section}\[0\] id -5: id is -5 \(int\)"):
        read_split(coco_folder.save(), skip_bad="anyway")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["UTF-8", "UTF-16", "UTF-16 BE"],
)
def test_byte_order_marks_are_read(coco_folder: Any, encode: Callable[[str], bytes]) -> None:
    coco_folder.document["categories"][0]["name"] = "Übergrößenträger"
    split = coco_folder.save()
    split.annotations.write_bytes(encode(json.dumps(coco_folder.document, ensure_ascii=False)))

    assert read_split(split).categories[1].name == "Übergrößenträger"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_named(coco_folder: Any) -> None:
    (coco_folder.images / "a.png").chmod(0)

    with pytest.raises(DataError, match=r"a\.png' cannot be opened \(Permission denied\)"):
        read_split(coco_folder.save())


def test_text_has_a_line_for_each_cause_below_its_file_and_ends_after_fifty() -> None:
    problems = [
        Problem(f"{i % 2}.json", f"entry {i}", "is wrong", "right it", f"cause {i % 53}")
        for i in range(106)
    ]

    lines = str(DataError(problems)).splitlines()

    assert lines[:2] == ["0.json:", "  2 entries, such as entry 0: is wrong; right it"]
    assert lines[26:28] == ["1.json:", "  2 entries, such as entry 1: is wrong; right it"]
    assert len(lines) == 53  # 50 causes, 2 files, 1 rest
    assert lines[-1] == "and 3 more causes"


def test_problems_with_one_fix_have_one_cause() -> None:
    problems = [Problem("x.json", f"entry {i}", f"is {i}", "right it") for i in range(3)]
    assert str(DataError(problems[:1])) == "x.json:\n  entry 0: is 0; right it"
    assert str(DataError(problems)) == "x.json:\n  3 entries, such as entry 0: is 0; right it"
