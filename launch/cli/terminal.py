"""Output on the terminal. Text from users cannot style, move or reorder it."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from searchspace.masking import without_secrets
from searchspace.reading import visible


class PlainConsole(Console):
    """A console to which a string is one line of plain text.

    Names of classes, files and folders come from others. Rich would interpret `[bold]` or `:smile:`
    in them, and a terminal their control characters; here both are shown literally, also in tables
    and trees. Styled text and several lines need a renderable.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, markup=False, highlight=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def say(self, text: str = "") -> None:
        """Print one line of any length: the terminal wraps it, so that paths can be copied."""
        self.print(text, soft_wrap=True)

    def say_words(self, text: str) -> None:
        """Print prose line by line; a terminal's lines end between words."""
        for line in text.split("\n"):
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            broken = textwrap.wrap(
                line,
                self.width,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for part in broken if self.is_terminal else [line]:
                self.say(part)

    def say_lines(self, text: str) -> None:
        """Print a text of several lines."""
        for line in text.split("\n"):
            self.say(line)

    def say_json(self, tree: Any) -> None:
        """Print a result as JSON, in ASCII: names of classes come from others."""
        self.file.write(json.dumps(tree, indent=1) + "\n")


console = PlainConsole()
errors = PlainConsole(stderr=True)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of texts, each plain or with a style, for tables and trees."""
    return Text.assemble(
        *(visible(p) if isinstance(p, str) else (visible(p[0]), p[1]) for p in parts)
    )


def plain_table() -> Table:
    """A table without frames, to which columns and rows are added."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def figure_table(first: str, *others: str, fold: bool = False) -> Table:
    """A table whose first column has names, and the others figures.

    Args:
        fold: long headings and figures are broken.
    """
    made = plain_table()
    made.add_column(first, overflow="fold")
    for heading in others:
        overflow, whole = ("fold", False) if fold else ("ellipsis", True)
        made.add_column(heading, justify="right", overflow=overflow, no_wrap=whole)
    return made


def show_error(message: str) -> None:
    """Print an error, whose text may have several lines, without passwords and keys."""
    errors.say_lines(f"error: {without_secrets(message)}")
