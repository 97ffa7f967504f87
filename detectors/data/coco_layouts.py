"""Where COCO files and their images lie: COCO's own names, Roboflow's, and those of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detectors.data.image_files import files_in, is_image
from detectors.data.looking import IMAGE_FOLDERS, TOKENS, head, split_in

PLACES = ("annotations", "Annotations", "annotation", "labels")
"""Folders of annotation files."""

KNOWN = {"annotations/instances_*.json": "COCO", "*/_annotations.coco.json": "Roboflow's COCO"}
_YEAR = re.compile(r"annotations/instances_\*(\d{4})\.json")
_COCO = re.compile(r'"(?:annotations|images)"\s*:\s*\[')
_CLASSES = re.compile(r'"categories"\s*:\s*\[')
BEGINNING = 2**18
"""Bytes of a file by which it is recognised, in characters of at most four bytes."""

_NAME = re.compile(r'"file_name"\s*:\s*"((?:[^"\\]|\\.)+)"')

INSTANCES = ("instances", "_annotations.coco")
"""Names of files with boxes begin so, if there are others beside them, such as captions."""


@dataclass(frozen=True)
class Files:
    """Annotation files whose names differ in the split alone, by split; `` for no split."""

    pattern: str
    files: dict[str, Path]

    @property
    def layout(self) -> str:
        """What this layout is called."""
        if found := _YEAR.fullmatch(self.pattern):
            return f"COCO {found[1]}"
        return KNOWN.get(self.pattern, f"COCO ({self.pattern})")

    def member(self, split: str) -> Path | None:
        return self.files.get(split)


def find_files(root: Path) -> list[Files]:
    """The COCO files in a folder, in one for annotations, or beside the images of each split."""
    found: dict[str, dict[str, Path]] = {}
    for file in _candidates(root):
        name = file.relative_to(root).as_posix()
        split, pattern = split_in(name) or ("", name)
        found.setdefault(pattern, {}).setdefault(split, file)
    groups = [Files(pattern, files) for pattern, files in found.items()]
    named = [group for group in groups if group.files.keys() & {"train", "val"}]
    return _with_boxes(named) or _with_boxes([group for group in groups if "" in group.files])


def usual_files(root: Path) -> Files:
    """The files of COCO's layout, which need not exist."""
    names = {split: root / "annotations" / f"instances_{split}.json" for split in ("train", "val")}
    return Files("annotations/instances_*.json", names)


def split_images(root: Path, file: Path) -> Path:
    """The folder with the images of a COCO file: where the first of them lies, if one is there."""
    folders = list(_image_folders(root, file))
    there = [folder for folder in folders if folder.is_dir()]
    names = [match[1].replace("\\\\", "/") for match in _NAME.finditer(head(file))][:1]
    holding = (f for name in names for f in there if _holds(f, name))
    likely = (f for f in there if f != root or any(map(is_image, root.iterdir())))
    return next(holding, None) or next(likely, folders[0])


def root_of(file: Path) -> Path:
    """The folder of the data that a COCO file belongs to."""
    folder = file.parent
    inside = folder.name in PLACES or (
        split_in(folder.name) is not None and split_in(file.stem) is None
    )
    return folder.parent if inside else folder


def _with_boxes(groups: list[Files]) -> list[Files]:
    """Those of instances, where there are some; the others may hold captions or key points."""
    holding = [g for g in groups if next(iter(g.files.values())).name.startswith(INSTANCES)]
    return holding or groups


def _candidates(root: Path) -> Iterator[Path]:
    """The JSON files that may be COCO's."""
    folders = [root, *(root / name for name in PLACES)]
    folders += sorted(p for p in root.glob("*/") if split_in(p.name) and p.name not in PLACES)
    seen: set[Path] = set()
    for folder in folders:
        for file in files_in(folder, ".json"):
            known = file.name.startswith(INSTANCES)
            if file.resolve() not in seen and (known or _is_coco(head(file, BEGINNING))):
                seen.add(file.resolve())
                yield file


def _is_coco(text: str) -> bool:
    """Whether a file that begins so is an object with lists of COCO's.

    Other tools write lists of images that have annotations, or beside their labels a file of
    categories; those of a COCO file may be all that is seen of it.
    """
    is_object = text.lstrip("\ufeff \t\r\n").startswith("{")
    longer = len(text) >= BEGINNING // 4
    return is_object and bool(_COCO.search(text) or (longer and _CLASSES.search(text)))


def _image_folders(root: Path, file: Path) -> Iterator[Path]:
    """Where the images of a file may lie, the most likely first."""
    beside = file.parent != root and file.parent.name not in PLACES
    if beside:
        within = (file.parent / folder for folder in IMAGE_FOLDERS)
        yield from (folder for folder in within if folder.is_dir())
        yield file.parent
    for name in _split_folders(file.stem):
        yield root / name
        yield from (root / folder / name for folder in IMAGE_FOLDERS)
    yield from (root / folder for folder in IMAGE_FOLDERS)
    yield root


def _split_folders(stem: str) -> Iterator[str]:
    """What the folder of the images of a split may be called: `train2017`, `train`."""
    found = split_in(stem)
    if found is None:
        yield "default" if stem.endswith("default") else stem
        return
    split, pattern = found
    year = re.match(r"\d{4}", pattern.partition("*")[2])
    own = next(
        (t for t in TOKENS[split] if re.search(rf"(?<![A-Za-z]){t}(?![A-Za-z])", stem, re.I)), split
    )
    tokens = dict.fromkeys((own, *TOKENS[split]))
    if year:
        yield from (f"{token}{year[0]}" for token in tokens)
    yield from tokens


def _holds(folder: Path, name: str) -> bool:
    try:
        return (folder / name).exists()
    except (OSError, ValueError):
        return False
