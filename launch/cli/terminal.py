"""What reaches the terminal. Text of users cannot style, move or reorder it."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from searchspace.reading import visible


class PlainConsole(Console):
    """A console to which a string is one line of plain text.

    Names of classes, files and folders come from others. Rich would read `[bold]` or `:smile:` in
    them as markup, and a terminal would obey their control characters; here both are shown as they
    are written. That holds for whatever is printed and for strings in tables and trees. What shall
    have a style, or several lines, is a renderable made for it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, markup=False, highlight=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def say(self, text: str = "") -> None:
        """Print one line, however long: the terminal wraps it, so that paths can be copied."""
        self.print(text, soft_wrap=True)


console = PlainConsole()
errors = PlainConsole(stderr=True)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of texts, each plain or with its style, for tables and trees."""
    return Text.assemble(
        *(visible(p) if isinstance(p, str) else (visible(p[0]), p[1]) for p in parts)
    )


def show_error(message: str) -> None:
    """Print an error, whose text may have several lines."""
    first, *more = message.split("\n")
    errors.say(f"error: {first}")
    for line in more:
        errors.say(line)


class Commands(TyperGroup):
    """Commands whose usage errors are printed as all other errors are, and end with status 2."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            status = super().main(*args, standalone_mode=False, **extra)
        except typer.Abort:
            errors.say("Aborted.")
            sys.exit(1)
        except Exception as error:
            # Which of Click's classes it is depends on the release of typer, which brings its own.
            if not hasattr(error, "format_message"):
                raise
            _show_usage(error)
            sys.exit(error.exit_code)
        sys.exit(status if isinstance(status, int) else 0)


def _show_usage(error: Any) -> None:
    """What is wrong with a command line; a command without arguments has shown its help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return
    # Typer holds numbers to their bounds by pydantic, and speaks as that does.
    show_error(error.format_message().replace("Input should be", "must be"))
    if context is not None:
        errors.say(f"Try: {context.command_path} {context.help_option_names[0]}")
