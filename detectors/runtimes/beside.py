"""What lies beside an exported file: how it is used, and a script that runs it without Sparrow."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detectors.files import write_atomically
from detectors.runtimes.exported import Exported
from searchspace.reading import visible

NAMES = {"README.md": "README.md.jinja", "run.py": "run.py.jinja"}
"""The files, and the templates that they are made from."""

OF = "Written by sparrow export for"
"""What comes before the name of the model near the top of each file."""


def write_beside(exported: Exported, path: Path) -> tuple[Path, ...]:
    """Write both files beside an exported detector, as read back from its file.

    A file of the same name that belongs to something else is left alone; ours then begins with the
    name of the model.
    """
    files = {name: _place(path, name) for name in NAMES}
    for name, file in files.items():
        text = (
            _templates()
            .get_template(NAMES[name])
            .render(
                model=path.name,
                script=files["run.py"].name,
                target=exported.target,
                about=exported.metadata,
                note=f"{OF} {path.name}",
            )
        )
        write_atomically(file, text)
    return tuple(files.values())


def _place(path: Path, name: str) -> Path:
    """Where a file goes: to its own name if that is free or belongs to this model."""
    file = path.with_name(name)
    if file.exists():
        start = file.read_text(encoding="utf-8", errors="replace")[:400]
        if f"{OF} {path.name}\n" not in start.replace(" -->", ""):
            return path.with_name(f"{path.name}.{name}")
    return file


def _templates() -> Environment:
    """Templates of plain text, in which names of classes show control characters."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value, keep="\n") if isinstance(value, str) else value,
    )
    return made
