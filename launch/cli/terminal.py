"""Output on the terminal. Text from users cannot style, move or reorder it."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

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


def show_error(message: str) -> None:
    """Print an error, whose text may have several lines."""
    errors.say_lines(f"error: {message}")
