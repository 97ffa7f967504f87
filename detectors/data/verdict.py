"""Whether a split may be used: what cannot be left out, and how much has to be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from detectors.data.dataset import Dataset
from detectors.data.records import as_typed
from detectors.data.validation import DataError, Problem, shown

SkipBad = bool | Literal["anyway"]
"""Whether entries that cannot be used are left out: only while 90 % of the images and of the
annotations are kept, or anyway."""

LEAST_KEPT = 0.9


def judge(split: Dataset, file: Path, named: Mapping[str, int], skip_bad: SkipBad) -> Dataset:
    """The split, if it may be used with what was left out of it.

    Args:
        file: what messages name.
        named: by class, how many annotations the file has.
        skip_bad: see `SkipBad`.

    Raises:
        DataError: it may not.
    """
    flaws = [*_normalised(split, file), *_same_names(split, file)]
    problems = list(split.skipped)
    if problems and skip_bad:
        flaws += _nothing_left(split, file, named)
        if skip_bad != "anyway" and not flaws:
            flaws += _little_left(split, file)
    if flaws or (problems and not skip_bad):
        raise DataError([*flaws, *problems], split.warnings)
    return split


def _normalised(split: Dataset, file: Path) -> list[Problem]:
    """A problem if boxes are fractions of the image, as in some formats.

    Read as pixels, such a box lies within the first pixel. A single one may be right; if most do,
    and at fractions of a pixel, they are not in pixels.
    """
    found = [item for items in split.annotations.values() for item in items]
    inside = [item for item in found if max(item.box[2:]) <= 1]
    fractions = any(not side.is_integer() for item in inside for side in item.box)
    if not fractions or 2 * len(inside) < len(found):
        return []
    what = (
        f"{len(inside)} of {len(found)} boxes lie in 0..1, as if they were fractions of the image"
    )
    fix = "write bbox as [x, y, width, height] in pixels: multiply by the image's width and height"
    return [Problem(str(file), "annotations", what, fix)]


def _same_names(split: Dataset, file: Path) -> list[Problem]:
    """A problem for each name that several classes have: figures of classes are told by name."""
    ids: dict[str, list[int]] = {}
    for category in split.categories:
        ids.setdefault(as_typed(category.name), []).append(category.id)
    return [
        Problem(
            str(file),
            "categories",
            f"ids {' and '.join(map(str, several))} are all called {shown(name)}",
            "give each class a name of its own, or all its annotations one id",
        )
        for name, several in ids.items()
        if len(several) > 1
    ]


def _nothing_left(split: Dataset, file: Path, named: Mapping[str, int]) -> list[Problem]:
    """A problem for each list and each class of which leaving out leaves nothing."""
    names: dict[int | None, str] = {item.id: item.name for item in split.categories}
    kept = Counter(
        names.get(item.category_id) for items in split.annotations.values() for item in items
    )
    parts = {"images": split.images, "categories": split.categories}
    lost = [f"of the {name}" for name, items in parts.items() if not items]
    if sum(named.values()) and not kept:
        lost.append("of the annotations")
    else:
        lost += [f"of the class {shown(name)}" for name in named if name not in kept]
    fix = "mend what is listed below"
    return [Problem(str(file), "--skip-bad", f"nothing is left {what}", fix, what) for what in lost]


def _little_left(split: Dataset, file: Path) -> list[Problem]:
    if split.least_kept >= LEAST_KEPT:
        return []
    fix = (
        "mend what is listed below, or give --skip-bad=anyway (in Python skip_bad='anyway') to go "
        "on with what is left"
    )
    return [Problem(str(file), "--skip-bad", split.kept_in_words(), fix)]
