"""Spaces that extend others: by name, by file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from searchspace import SpaceError, load_space
from searchspace.domains import Choice, Fixed, FloatRange

NARROWED = """
extends = "mobile"
[detector]
input_size = { choice = [96, 128] }
width = 0.25
[compress.pruning.importance]
ratio = { low = 0.2, high = 0.9 }
[train]
epochs = { choice = [3, 6] }
weights = "shapes"
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / f"{next(iter(files))}.toml"


def test_a_file_narrows_fixes_and_widens_the_space_that_it_extends(tmp_path: Path) -> None:
    base, mine = load_space("mobile"), load_space(write(tmp_path, mine=NARROWED))
    changed = {
        "detector.input_size": Choice(96, 128),
        "detector.width": Fixed(0.25),
        "compress.pruning.importance.ratio": FloatRange(0.2, 0.9),
        "train.epochs": Choice(3, 6),
        "train.weights": Fixed("shapes"),
    }
    assert mine.name == "mine"
    assert dict(mine.domains) == {**base.domains, **changed}
    assert mine.holds(mine.baseline())


def test_a_file_extends_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    write(tmp_path / "lab", near="extends = '../base.toml'\n[train]\nepochs = 5")
    write(tmp_path, base=NARROWED)
    space = load_space(tmp_path / "lab" / "near.toml")
    assert space.domains["train.epochs"] == Fixed(5)
    assert space.domains["detector.width"] == Fixed(0.25)
    assert space.domains["detector.head.multibox.postprocess.nms_iou"] == Fixed(0.6)


@pytest.mark.parametrize(
    ("files", "fragments"),
    [
        (
            {"a": "extends = 'mobil'"},
            ["a.toml: extends = 'mobil'", "mobile, ", "did you mean 'mobile'?"],
        ),
        ({"a": "extends = 'gone.toml'"}, ["a.toml: extends = 'gone.toml'", "nor a TOML file"]),
        ({"a": "extends = 3"}, ["a.toml: extends = 3", "give the name"]),
        ({"a": "extends = ['mobile']"}, ["a.toml: extends = ['mobile']", "give the name"]),
        ({"a": "extends = 'a.toml'"}, ["extend each other", "a.toml -> ", "remove one extends"]),
        (
            {"a": "extends = 'b.toml'", "b": "extends = 'a.toml'"},
            ["extend each other", "a.toml -> ", "b.toml -> "],
        ),
        (
            {"a": "extends = 'b.toml'", "b": "[train]\nepoch = 3"},
            ["b.toml: there is no field train.epoch", "nearest one is train.epochs"],
        ),
        (
            {"a": "extends = 'mobile'\n[detector.neck]\ndual_path = 'split'"},
            ["a.toml", "detector.neck.dual_path", "nearest one is detector.neck.ssd.dual_path"],
        ),
        (
            {"a": "extends = 'mobile'\n[detector.backbone.mobilenet_v1]\nsecond_path = true"},
            ["no field detector.backbone.mobilenet_v1.second_path", "nearest one is"],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_extended_is_refused(
    tmp_path: Path, files: dict[str, str], fragments: list[str]
) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(write(tmp_path, **files))
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("'context'", "and not 'context'; if a plugin defines it, load that first (--plugin, or"),
        ("{choice = ['fused', 'fuzed']}", "and not 'fuzed'; did you mean 'fused'?"),
        ("7", "and not 7$"),
    ],
)
def test_an_unknown_kind_names_plugins_or_the_kind_meant(
    spec: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f"detector.neck.kind = {spec}\n")
    with pytest.raises(SpaceError, match=words.replace("(", r"\(").replace("?", r"\?")):
        load_space(file)
