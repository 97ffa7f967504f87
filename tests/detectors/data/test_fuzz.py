from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.data.dataset import Dataset
from detectors.data.readers import Split
from detectors.data.reading import read_split
from detectors.data.validation import DataError


def assert_valid(split: Dataset) -> None:
    """The properties of a valid split that the rest of the project relies on."""
    assert split.images
    assert split.categories
    labels = {split.label_of(category.id) for category in split.categories}
    assert labels == set(range(1, split.num_classes + 1))
    for image in split.images:
        for item in split.annotations[image.id]:
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= image.width
            assert 0 <= y1 < y2 <= image.height
            assert 0 <= item.area < float("inf")
            assert item.id > 0
            if item.category_id is None:
                assert item.iscrowd, "a region of all classes"
            else:
                assert split.label_of(item.category_id) in labels
    truth = split.ground_truth()
    for annotation in truth.anns.values():
        if "segmentation" in annotation:
            image = truth.imgs[annotation["image_id"]]
            assert truth.annToMask(annotation).shape == (image["height"], image["width"])


def read_whatever_comes(folder: Any, content: bytes) -> None:
    folder.json.write_bytes(content)
    for skip_bad in (False, True, "anyway"):
        try:
            split = read_split(Split(folder.images, folder.json), skip_bad)
        except DataError as refusal:
            error = refusal
        else:
            assert_valid(split)
            continue
        assert error.problems
        assert str(error).encode()  # can be printed and written to a log


@pytest.fixture(scope="module")
def fuzzed_folder(
    tmp_path_factory: pytest.TempPathFactory, make_coco_folder: Callable[[Path], Any]
) -> Any:
    return make_coco_folder(tmp_path_factory.mktemp("fuzz") / "data")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_leads_to_anything_but_a_data_error(
    fuzzed_folder: Any, data: st.DataObject
) -> None:
    content = bytearray(json.dumps(fuzzed_folder.document).encode())
    places = st.integers(0, len(content) - 1)
    values = st.integers(0, 255) | st.sampled_from(b'0123456789-.eE"[]{},:\\')
    for place, value in data.draw(st.lists(st.tuples(places, values), max_size=4)):
        content[place] = value
    end = data.draw(st.just(len(content)) | places)

    read_whatever_comes(fuzzed_folder, bytes(content[:end]))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from([0, 1, -1, 10, 30, 40, 1e-300, 1e308, 10**20, 10**400, 2**63])
    | st.text(max_size=5)
    | st.sampled_from(["", "..", "a.png", "sub", "\0", "\ud800", "PPYi"]),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["id", "counts", "size", "bbox"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], (dict, list)):
            found += places_in(value[key])
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_change_of_values_leads_to_anything_but_a_data_error(
    fuzzed_folder: Any, data: st.DataObject
) -> None:
    document = copy.deepcopy(fuzzed_folder.document)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places_in(document)))
        container[key] = data.draw(JSON_VALUES)

    read_whatever_comes(fuzzed_folder, json.dumps(document).encode())
