"""What other nodes of a cluster need: Sparrow's code and the plugins in one folder, which Ray takes
to them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from searchspace.errors import InputError

ROOMS = ("searchspace", "detectors", "compress", "launch")
PACKAGE = "sparrow-search"

FOLDER = "sparrow-code-"
"""Prefix of the temporary folders, before the number of the process that made it."""

ROOT = Path(__file__).parents[2]
"""Where the rooms lie."""


@contextlib.contextmanager
def packed(plugins: Sequence[str], files: Sequence[Path] = ()) -> Iterator[Path]:
    """A temporary folder for Ray's `working_dir`, in which the code can be imported.

    Args:
        plugins: as `searchspace.load_plugins` returns them; those of installed packages stay, as
            they have to be installed everywhere.
        files: further files.

    Raises:
        InputError: two files have one name.
    """
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-") as folder:
        place = Path(folder)
        for room in ROOMS:
            _copy(ROOT / room, place)
        about = metadata.distribution(PACKAGE)
        facts = place / f"sparrow_search-{about.version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(about.read_text("METADATA") or "", encoding="utf-8")
        for source in [*filter(None, map(_source, plugins)), *files]:
            _copy(source, place)
        yield place


def arrived(plugins: Sequence[str]) -> tuple[str, ...]:
    """Where plugins lie for a process on another node: files that are not there have travelled to
    its working folder."""
    return tuple(_near(name) if name.endswith(".py") else name for name in plugins)


def _near(file: str) -> str:
    travelled = Path(file).name
    return travelled if Path(travelled).exists() and not Path(file).exists() else file


def _copy(source: Path, place: Path) -> None:
    target = place / source.name
    if target.exists():
        raise InputError(f"{source}: another file that goes to the cluster has its name; rename it")
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _source(plugin: str) -> Path | None:
    """The file or folder of a plugin; None if it is installed."""
    if plugin.endswith(".py"):
        return Path(plugin)
    spec = importlib.util.find_spec(plugin.partition(".")[0])
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    installed = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    if any(origin.is_relative_to(os.path.realpath(place)) for place in installed):
        return None
    return origin.parent if spec.submodule_search_locations else origin
