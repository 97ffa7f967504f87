"""Space files: TOML that narrows, fixes or widens paths of `TrialConfig`, or of another space.

::

    extends = "mobile"                          # a named space, or a file in the same folder

    [detector]
    input_size = {choice = [128, 160, 192]}     # options
    [detector.backbone]
    kind = "mobilenet_v1"                       # a plain value fixes the field
    [compress.pruning.importance]
    ratio = {low = 0.2, high = 0.7}             # a range
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from searchspace.domains import Domain
from searchspace.equal_training import equal_training
from searchspace.errors import InputError, UnknownName
from searchspace.fields import paths
from searchspace.names import closest, nearest, unknown
from searchspace.plugins import load_plugins
from searchspace.reading import Unreadable, in_words, parse_toml, read_text, shown
from searchspace.space import Space
from searchspace.training import auto_batch
from searchspace.trial import TrialConfig
from searchspace.walk import parse_domain

EXTENDS = "extends"
MOST_FILES = 50


class SpaceError(InputError):
    """A space file that cannot be used; the message names file, path, value and fix."""


class UnknownSpace(SpaceError, UnknownName):
    """There is neither a named space nor a file of this name."""


def space_names() -> list[str]:
    """The spaces that ship with the package."""
    files = resources.files("searchspace.spaces").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_space(name: str | Path) -> Space:
    """A named space, or one from a TOML file.

    Paths that a file does not set are as in the space that it `extends`, or else as declared by the
    fields; the second part of the training is equal for pruned and unpruned designs
    (`equal_training`). Plugins of installed packages are loaded first.

    Raises:
        SpaceError: there is no such space or file, a path does not exist (the nearest valid one is
            suggested), a value does not fit its field, or files extend each other.
    """
    load_plugins()
    return Space(Path(name).stem, equal_training(_load(str(name), Path(), ())))


def _load(name: str, folder: Path, above: tuple[str, ...]) -> dict[str, Domain]:
    """The domains of a space; a file is looked up in `folder`, and `above` are those extending
    it."""
    by = f"{above[-1]}: {EXTENDS} = {name!r}" if above else f"space {name!r}"
    file = folder / name
    if name in space_names():
        text = resources.files("searchspace.spaces").joinpath(f"{name}.toml").read_text()
        source = name
    elif file.is_file():
        text, source = _read(file), os.path.normpath(file)
    else:
        meant = nearest(name, space_names())
        known = ", ".join(space_names())
        raise UnknownSpace(f"{by}: neither a named space ({known}) nor a TOML file{meant}")
    if source in above:
        chain = " -> ".join((*above[above.index(source) :], source))
        raise SpaceError(f"{by}: these files extend each other: {chain}; remove one {EXTENDS}")
    try:
        tree = parse_toml(source, text)
    except Unreadable as error:
        raise SpaceError(str(error)) from None
    if len(above) > MOST_FILES:
        raise SpaceError(f"{source}: over {MOST_FILES} files extend each other; write fewer")
    base = tree.pop(EXTENDS, None)
    if base is None:
        return _parse(source, tree)
    if not isinstance(base, str):
        raise SpaceError(f"{source}: {EXTENDS} = {base!r}: give the name of a space or of a file")
    return _load(base, file.parent, (*above, source)) | _parse(source, tree)


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except Unreadable as error:
        raise SpaceError(str(error)) from None


def _parse(source: str, tree: dict[str, Any]) -> dict[str, Domain]:
    valid = list(paths(TrialConfig))
    domains: dict[str, Domain] = {}
    try:
        leaves = list(_leaves(tree, set(valid), ""))
    except RecursionError:
        raise SpaceError(
            f"{source}: its tables are nested too deeply; there is no such field"
        ) from None
    for named, spec in leaves:
        path = auto_batch(named, spec)
        if path not in valid:
            raise SpaceError(f"{source}: there is no field {path}{closest(path, valid)}")
        try:
            domains[path] = parse_domain(TrialConfig, path, spec)
        except (TypeError, ValueError) as error:
            what = _wrong(path, error) if isinstance(error, ValidationError) else str(error)
            raise SpaceError(f"{source}: {path} = {shown(spec)}: {what}") from None
    return domains


def _wrong(path: str, error: ValidationError) -> str:
    """The problem of a field; of an unknown kind, with the kind meant or the hint at plugins."""
    first, words = error.errors()[0], in_words(error)
    if not path.endswith(".kind") or not isinstance(first["input"], str):
        return words
    return words + unknown(first["input"], re.findall("'(.+?)'", first["ctx"]["expected"]))


def _leaves(tree: dict[str, Any], valid: set[str], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        is_table = isinstance(value, dict) and not value.keys() & {"choice", "low", "high"}
        if is_table and here not in valid:
            yield from _leaves(value, valid, here)
        else:
            yield here, value
