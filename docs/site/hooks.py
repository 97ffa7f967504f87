"""Pages of the site that are made from the code: the commands, the configuration, Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from configuration import cell, configuration
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import detectors
import launch
import searchspace
from launch.cli.lazy import LazyCommand
from launch.cli.main import app
from searchspace.config import Config

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)", re.DOTALL)
"""A link that leads out of this folder: to a file of the source tree."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for name, text in (
        ("commands", _commands()),
        ("configuration", configuration()),
        ("python", _python()),
    ):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Files of the source tree are not part of the site: they are named there, not linked."""
    return OUTSIDE.sub(r"\1", markdown)


def _commands() -> str:
    """Each command with its help, and a table of options for each panel of `--help`."""
    root = typer.main.get_command(app)
    sections = ["# Commands", "As `sparrow COMMAND --help` shows them."]
    for path, command in _walk(root, "sparrow"):
        sections += [f"## {path}", (command.help or "").strip()]
        if command.epilog:
            examples = command.epilog.split("\n\n")[1:]
            sections.append("\n".join(["```sh", *examples, "```"]))
        for panel, options in _panels(command, path).items():
            rows = [f"| <code>{cell(name)}</code> | {cell(help)} |" for name, help in options]
            sections.append("\n".join([f"| {panel} | |", "|---|---|", *rows]))
    return "\n\n".join(sections)


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands below a group, with how they are called."""
    for name in group.list_commands(None):
        found = group.get_command(None, name)
        command = found.load() if isinstance(found, LazyCommand) else found
        if hasattr(command, "list_commands"):
            yield from _walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _panels(command: Any, path: str) -> dict[str, list[tuple[str, str]]]:
    """By panel, the options of a command as pairs of name and help."""
    context = typer.Context(command, info_name=path)
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            kind = f"{parameter.param_type_name.capitalize()}s"
            panels.setdefault(parameter.rich_help_panel or kind, []).append(record)
    return panels


def _python() -> str:
    """The public names of the packages that a user imports from, without the configuration's."""
    sections = ["# Python"]
    for package in (launch, searchspace, detectors):
        for name in package.__all__:
            value = getattr(package, name)
            if hasattr(value, "__qualname__") and not _is_configuration(value):
                sections.append(f"::: {value.__module__}.{value.__qualname__}")
    return "\n\n".join(sections)


def _is_configuration(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Config)
