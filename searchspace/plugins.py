"""Plugins: user modules that register their own classes, such as a neck step, when imported.

A plugin is named by its dotted module name or by the path of its file. Installed packages offer
theirs as entry points of the group `sparrow.plugins`, whose values are module names.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from searchspace.errors import InputError, named_line

GROUP = "sparrow.plugins"
"""The group of entry points that name the plugins of installed packages."""

_loaded: dict[str, str] = {}
"""By module name, the names of the plugins loaded in this process."""


class PluginError(InputError):
    """A plugin that cannot be loaded; the message says which, why, and what to do."""


def load_plugins(names: Iterable[str | Path] = (), moved: bool = False) -> tuple[str, ...]:
    """Import the plugins of installed packages, and those named; each once in a process.

    Args:
        names: dotted names of modules, or paths of Python files. Modules are found as Python finds
            them, or in the working folder.
        moved: a missing file, or a copy of it, may have been loaded from elsewhere already.

    Returns:
        The names of all plugins loaded in this process, with which another process can load them:
        absolute paths of files, and names of modules.

    Raises:
        PluginError: one is missing, or its import fails.
    """
    _load_installed()
    for name in names:
        _load(str(name), moved)
    return tuple(_loaded.values())


def load_remembered(names: Iterable[str], of: str) -> None:
    """Load the plugins that something stored names, where they are not loaded already.

    Args:
        of: what names them, in words, such as `the study runs/mine`.

    Raises:
        PluginError: one is missing or broken.
    """
    try:
        load_plugins(names, moved=True)
    except PluginError as error:
        raise PluginError(
            f"{error}; {of} names it: if it was moved, give its new path with --plugin"
        ) from error


@functools.cache
def _load_installed() -> None:
    for point in sorted(entry_points(group=GROUP)):
        package = point.dist.name if point.dist else "an installed package"
        name = f"{point.module} of {package}"
        _import(point.module, name, f"repair or uninstall {package}")
        _loaded.setdefault(point.module, point.module)


def _load(name: str, moved: bool) -> None:
    if not name.endswith(".py"):
        name = _file_here(name) or name
    if not name.endswith(".py"):
        if name not in _loaded:
            _append_to_path(Path.cwd())
            _import(name, name, "correct it, or leave the plugin out")
            _loaded[name] = name
        return
    file = Path(os.path.abspath(name))
    known = _loaded.get(file.stem)
    if known == str(file) or (known and moved and _is_alike(file, Path(known))):
        return
    _load_file(file)
    _loaded[file.stem] = str(file)


def _is_alike(file: Path, loaded: Path) -> bool:
    """Whether a file is gone, or holds the same as one that was loaded, as a copy in a job does."""
    return not file.exists() or (loaded.is_file() and file.read_bytes() == loaded.read_bytes())


def _file_here(name: str) -> str | None:
    """The file of a module in the working folder, which can only be found from there."""
    file = Path(f"{name}.py").absolute()
    if "." in name or not file.is_file():
        return None
    spec = importlib.util.find_spec(name)
    found = None if spec is None else spec.origin
    return str(file) if found is None or os.path.abspath(found) == str(file) else None


def _load_file(file: Path) -> None:
    """Import a file as a module with its own name, so that other processes can find it too."""
    if not file.is_file():
        raise PluginError(
            f"plugin {file}: no such file; give the path of a Python file, or a module's name"
        )
    if not file.stem.isidentifier():
        raise PluginError(
            f"plugin {file}: {file.stem!r} is not a module name; rename the file using letters, "
            "digits and underscores"
        )
    _append_to_path(file.parent)
    module = _import(file.stem, str(file), "correct it, or leave the plugin out")
    origin = getattr(module, "__file__", None)
    if origin is None or not os.path.samefile(origin, file):
        raise PluginError(
            f"plugin {file}: another module is called {file.stem} ({origin or 'built in'}); rename "
            "the file"
        )


def _append_to_path(folder: Path) -> None:
    """Let Python find modules in a folder, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()


def _import(module: str, name: str, fix: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        own = error.name is not None and f"{module}.".startswith(f"{error.name}.")
        if not own:
            raise PluginError(
                f"plugin {name}: it needs the module {error.name}, which is not installed; install "
                "it, or leave the plugin out"
            ) from error
        raise PluginError(
            f"plugin {name}: there is no module {error.name}, neither installed nor in "
            f"{Path.cwd()}; correct the name, install it, or give the path of its file"
        ) from None
    except (Exception, SystemExit) as error:
        what = f"{named_line(error)}{_place(error)}"
        raise PluginError(f"plugin {name}: its import failed: {what}; {fix}") from error


def _place(error: BaseException) -> str:
    """The line of a plugin that an error comes from."""
    if isinstance(error, SyntaxError):
        return ""  # the message has it already
    between = (__file__, importlib.__file__)
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename not in between and not frame.filename.startswith("<frozen"):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def plugin_at_fault(error: BaseException) -> str | None:
    """The loaded plugin in whose code an error arose, or was last passed through, in words."""
    files = {
        os.path.abspath(module.__file__): name
        for module, name in ((sys.modules.get(key), name) for key, name in _loaded.items())
        if module is not None and module.__file__ is not None
    }
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if name := files.get(os.path.abspath(frame.filename)):
            return (
                f"plugin {name} failed: {named_line(error)} "
                f"({Path(frame.filename).name}, line {frame.lineno})"
            )
    return None
