"""What fills in the templates of this folder. Jinja escapes every value, and control characters in
names of classes, files and folders are made visible, so that they cannot reorder the text."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from launch.report.words import show_seconds
from searchspace.reading import visible


def environment() -> Environment:
    """A new environment of templates."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.finalize = _plain
    made.filters.update(seconds=show_seconds)
    return made


def _plain(value: object) -> object:
    """A text without characters that could reorder the text around it; Jinja escapes it."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value, keep="\n")
    return value
