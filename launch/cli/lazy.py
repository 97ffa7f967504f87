"""Groups of commands that are imported when they are called: `sparrow --help` loads none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from launch.cli.plugins import plugins_first


class Entry(NamedTuple):
    """A command in a table.

    Attributes:
        where: `module:name` of its function, or of a group of commands.
        help: one line.
        examples: lines that a user may type, shown below its options.
        passes_on: whether what comes after its first argument is another command's.
    """

    where: str
    help: str
    examples: tuple[str, ...] = ()
    passes_on: bool = False


Table = Mapping[str, Mapping[str, Entry]]
"""By panel of the help text, and in it by name, the commands of a group."""


class LazyCommand(TyperCommand):
    """A command that is imported when it is called; until then only name and help are known."""

    def __init__(self, name: str, panel: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, rich_help_panel=panel)
        self.entry = entry

    def load(self) -> Any:
        """The command itself; plugins of installed packages are loaded first."""
        # Neither is needed for a help text.
        from launch.cli.live import moving
        from searchspace.plugins import load_plugins

        module, attribute = self.entry.where.split(":")
        with moving("Importing"):
            load_plugins()
            found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
            # Paragraphs, because lines of one are joined.
            examples = "\n\n".join(["Examples:", *self.entry.examples])
            epilog = examples if self.entry.examples else None
            settings = {"allow_interspersed_args": not self.entry.passes_on}
            alone.command(self.name, help=self.help, epilog=epilog, context_settings=settings)(
                found
            )
            found = alone
        return typer.main.get_command(found)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **named: Any) -> Any:
        command = self.load()
        from launch.cli.from_fields import with_bare_values  # not needed for a help text

        return command.make_context(info_name, with_bare_values(args), *more, **named)


class LazyCommands(TyperGroup):
    """Commands from a table. Usage errors are printed like all other errors, with status 2."""

    table: ClassVar[Table]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, plugins_first(args))

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for entries in self.table.values() for name in entries]

    def get_command(self, ctx: Any, cmd_name: str) -> LazyCommand | None:
        for panel, entries in self.table.items():
            if cmd_name in entries:
                return LazyCommand(cmd_name, panel, entries[cmd_name])
        return None

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            status = super().main(*args, standalone_mode=False, **extra)
        except typer.Abort:
            sys.exit("Aborted.")
        except Exception as error:
            if not is_usage(error):
                raise
            _show_usage(error)
            sys.exit(getattr(error, "exit_code", 1))
        sys.exit(status if isinstance(status, int) else 0)


def lazy_group(
    help: str,
    table: Table,
    callback: Callable[..., None] = lambda: None,
    completion: bool = False,
) -> typer.Typer:
    """A group of the commands in `table`; `help` is the first line of its `--help`.

    Args:
        callback: its parameters are options of the group.
        completion: whether it has the options that install completion in a shell.
    """
    group = typer.Typer(
        cls=type("Commands", (LazyCommands,), {"table": table}),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=completion,
    )
    group.callback(help=help)(callback)
    return group


def is_usage(error: Exception) -> bool:
    """Whether the error is a usage error or an exit of a command.

    Newer releases of typer bring their own copy of Click's classes.
    """
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message")


def _show_usage(error: Any) -> None:
    """Print a usage error; for a command without arguments, the help was printed already."""
    from launch.cli.terminal import errors, show_error  # not needed for a help text

    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return
    # Typer checks bounds of numbers by pydantic, and uses its wording.
    show_error(error.format_message().replace("Input should be", "must be"))
    if context is not None:
        errors.say(f"Try: {context.command_path} {context.help_option_names[0]}")
