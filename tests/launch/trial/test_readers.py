"""Every reader of a user's file, on every kind of broken file: one sentence that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from compress.plan import read_plan
from detectors.data.coco import read_document
from detectors.detector import Detector
from launch.cli.names import read_trial
from launch.report import load_front
from launch.study.known_csv import read_rows
from launch.study.settings import read_settings
from searchspace import load_space

QUICK = load_space("quick")

READERS: dict[str, Callable[[Path], object]] = {
    "trial.json": read_trial,
    "space.toml": load_space,
    "study.json": lambda path: read_settings(path.parent),
    "front.json": lambda path: load_front(path.parent),
    "known.csv": lambda path: read_rows(path, QUICK, ("ap_small", "fps")),
    "coco.json": read_document,
    "detector.json": lambda path: Detector.load(path.parent),
    "plan.json": read_plan,
}

BROKEN = {
    "latin-1": '{"caf\xe9": 1}'.encode("latin-1"),
    "utf-16": '{"caf\xe9": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"x": 1}',
    "truncated": b'{"detector": {"wid',
    "list at the root": b"[]",
    "number at the root": b"3",
    "deep nesting": b'{"detector":' * 20_000 + b"1" + b"}" * 20_000,
    "nan": b'{"seed": NaN, "detector": NaN}',
    "number beyond floats": b'{"seed": 1e999, "detector": 1' + b"0" * 400 + b"}",
    "number of five thousand digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "bytes": bytes(range(256)),
    "zeros": b"\0\0\0\0",
    "markup and escapes": b'{"[/b]\\u001b[31m\\u202e": 1}',
    "plain text": b"hello",
}
"""None of them is anything that a reader reads."""

DEEP_TOML = b"detector = " + b"[" * 20_000 + b"]" * 20_000
HUGE_TOML = b"seed = " + b"9" * 5000


def message(name: str, path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path.parent))) as failure:
        READERS[name](path)
    return str(failure.value)


def hold(text: str, path: Path) -> None:
    """Properties of every message about a file."""
    assert path.name in text or str(path.parent) in text
    assert "://" not in text
    assert "Input should" not in text
    assert "Traceback" not in text
    assert len(text) < 1500
    assert text.count("\n") == text.count("\n  "), "lines only where a data set's problems stand"
    assert not any((ord(c) < 32 and c != "\n") or c == "\u202e" for c in text)
    sentences = [part.strip() for part in text.replace("\n", "; ").split("; ")]
    assert len(sentences) == len(set(sentences)), "no sentence twice"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_in_one_sentence(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[kind])
    hold(message(name, path), path)


@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_place_of_a_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.mkdir()
    hold(message(name, path), path)


@pytest.mark.parametrize("name", [name for name in READERS if name != "space.toml"])
def test_an_empty_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"")  # as TOML, it is a space that narrows nothing
    hold(message(name, path), path)


@pytest.mark.parametrize("text", [DEEP_TOML, HUGE_TOML])
def test_toml_that_is_too_deep_or_too_large_is_named(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_bytes(text)
    hold(message("space.toml", path), path)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"train": {"epochs": 0}}, "train.epochs is 0, but must be 1 or more"),
        ({"train": {"epochs": "many"}}, "train.epochs is 'many', but must be an integer"),
        ({"train": {"epoch": 3}}, "train.epoch: there is no such field; the nearest one is train."),
        ({"detectr": {}}, "detectr: there is no such field; the nearest one is detector"),
        ({"seed": 1.5}, "seed is 1.5, but must be an integer"),
        ({"seed": 2**80}, "seed is 1208925819614629174706176, but must be 2147483647 or less"),
        ({"detector": 3}, "detector is 3, but must be an object with fields"),
        ({"detector": {"backbone": {"kind": "vgg"}}}, "detector.backbone: kind 'vgg' is not one"),
        ({"detector": {"input_size": "x"}}, "must be an integer or a list"),
        (
            {"measure": {"precision": "half"}},
            "must be 'float32', 'bfloat16', 'float16' or 'int8' or 'auto'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value_and_what_it_must_be(
    tree: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(tree))
    text = message("trial.json", path)
    hold(text, path)
    assert expected in text


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[train]\nepochs = 0", "train.epochs = 0: must be 1 or more, and not 0"),
        ('[detector]\ninput_size = "big"', "must be an integer or a list"),
        ("[detector]\nwidth = { choices = [1] }", "give a value, {choice = [...]}"),
        ("[train.copy_paste]\nsource = { low = 1, high = 2 }", "must be"),
        ("[train]\nepochs = { low = 5, high = 1 }", "not a range of integers"),
    ],
)
def test_a_wrong_value_of_a_space_is_said_once(toml: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(toml)
    text = message("space.toml", path)
    hold(text, path)
    assert expected in text


def test_text_is_read_with_a_byte_order_mark_and_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text("[detector]\nwidth = 0.5  # caf\xe9", encoding=encoding)
        assert load_space(path).domains["detector.width"].value == 0.5
