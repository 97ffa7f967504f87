from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.data import json_lists
from detectors.data.json_lists import Irregular, JsonLists

VALUES = st.recursive(
    st.sampled_from(["}, {", '"},', "]", "a\\", "ü\U0001f600", "", 1, -2.5, 1e300, 10**25, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(",}]b"), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.just("k"), VALUES), max_size=6)


def elements(text: str, chunk: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"images": [], "annotations": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "CHUNK", chunk)
        for name, value in JsonLists(io.StringIO(text)).elements(found):
            found[name].append(value)
    return found


@settings(max_examples=150, deadline=None)
@given(
    lists=st.fixed_dictionaries({"images": OBJECTS, "annotations": OBJECTS}),
    other=VALUES,
    chunk=st.sampled_from([1, 7, 50, 10**6]),
    form=st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}]),
)
def test_elements_are_those_of_the_whole_document(
    lists: dict[str, Any], other: object, chunk: int, form: dict[str, Any]
) -> None:
    document = {"info": other, **lists, "more": [other]}
    assert elements(json.dumps(document, **form), chunk) == lists


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [], "annotations": []} x',
        '{"images": [], "annotations": [{}',
        '{"images": [], "images": [], "annotations": []}',
        '{"images": {}, "annotations": []}',
        '{"images": []}',
        '["images"]',
        "",
    ],
)
def test_other_texts_are_irregular(text: str) -> None:
    with pytest.raises(Irregular):
        elements(text, 5)
