"""The examples in the documentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from searchspace import load_plugins, plugins
from searchspace.registry import Registry

EXTENDING = Path(__file__).parents[1] / "docs" / "extending.md"


def example(heading: str, language: str = "python") -> str:
    """The only code in a language below a heading of docs/extending.md."""
    section = EXTENDING.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    [code] = re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
    return code


@contextmanager
def plugin(file: Path, heading: str, *registries: Registry) -> Iterator[None]:
    """The example below a heading, loaded from a file as `--plugin` does, and gone afterwards."""
    file.write_text(example(heading), encoding="utf-8")
    path, loaded = [*sys.path], dict(plugins._loaded)
    members = [dict(registry._members) for registry in registries]
    try:
        load_plugins([file])
        yield
    finally:
        sys.modules.pop(file.stem, None)
        sys.path[:], plugins._loaded = path, loaded
        for registry, before in zip(registries, members, strict=True):
            registry._members, registry._adapter = before, None
