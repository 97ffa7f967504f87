"""`sparrow papers`: the papers' systems with their published figures, or one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group
from rich.table import Table

from launch.cli import option_types
from launch.cli.options import PrintJson
from launch.cli.terminal import console, styled
from launch.figures import published_heading, show_published
from searchspace.papers import PaperSystem, Published, by_paper, needed_system, papers
from searchspace.papers.tables import TABLES, tables_of
from searchspace.words import command

COLUMNS = ("ap", "ap_small", "voc_map", "fps", "params")


def papers_command(
    name: Annotated[
        str | None,
        typer.Argument(
            parser=option_types.text,
            metavar="NAME",
            help="A system, such as mfssd_bn or mfssd_bn@coco; default: all of them.",
        ),
    ] = None,
    as_json: PrintJson = False,
) -> None:
    if name is None:
        if as_json:
            console.say_json([_facts(*item) for item in papers.items()])
        else:
            console.print(systems_table())
        return
    system = needed_system(name)
    if as_json:
        config = system.trial.model_dump(mode="json")
        console.say_json({**_facts(name, system), "config": config})
        return
    for line in _described(name, system):
        console.say(line)


def systems_table() -> Group:
    """The systems of each paper with their figures; sources and hardware stand below, by number."""
    parts: list[Table | str] = []
    for paper, systems in by_paper.items():
        notes: dict[str, int] = {}
        table = Table(
            title=styled((paper, "bold")),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.add_column("System", overflow="fold", min_width=30)
        for column in (*map(published_heading, COLUMNS), "Source"):
            table.add_column(column, justify="right", no_wrap=True)
        for name, system in systems.items():
            published = system.published
            number = notes.setdefault(_source(published), len(notes) + 1)
            figures = (show_published(f, getattr(published, f)) for f in COLUMNS)
            table.add_row(name, *figures, str(number))
        parts += [table, *(f" {number}: {note}" for note, number in notes.items()), ""]
    return Group(*parts)


def published_in_words(published: Published) -> str:
    """All figures that a paper gives, with their source."""
    figures = _figures(published)
    shown = ", ".join(f"{name} {_plain(value)}" for name, value in figures.items())
    return f"Published: {shown or 'no figures'} ({published.source})"


def _source(published: Published) -> str:
    """Where the figures are from, and on what the speed was measured."""
    on = f"; FPS on {published.hardware}" if published.hardware else ""
    return f"{published.source}{on}"


def _described(name: str, system: PaperSystem) -> Iterator[str]:
    trial = system.trial
    yield f"{name}: {trial.in_words()}"
    recipe, epochs = trial.train, trial.epochs
    more = f" and {epochs[1]} more" if epochs[1] else ""
    yield (
        f"Recipe: {epochs[0]} epochs{more}, batch {recipe.batch_size}, {recipe.optimizer}, "
        f"rate {recipe.learning_rate:g}, weight decay {recipe.weight_decay:g}, "
        f"weights {recipe.weights}"
    )
    yield f"Classes: {trial.detector.num_classes}; those of your data when it is run"
    if system.start:
        yield f"Starts from: {system.start}"
    if system.teacher:
        yield f"Teacher: {system.teacher}"
    yield published_in_words(system.published)
    for key in tables_of(name.partition("@")[0]):
        yield f"Row of {key}: {TABLES[key].title} ({TABLES[key].source})"
    yield f"Run it: {command('trial', name, '--data', 'FOLDER')}"


def _facts(name: str, system: PaperSystem) -> dict[str, Any]:
    paper = next(key for key, systems in by_paper.items() if name.partition("@")[0] in systems)
    return {
        "name": name,
        "paper": paper,
        "in_words": system.trial.in_words(),
        "source": system.published.source,
        "published": _figures(system.published),
        "needs": system.needs,
        "start": system.start,
        "tables": tables_of(name.partition("@")[0]),
    }


def _figures(published: Published) -> dict[str, float | int | str]:
    return {k: v for k, v in asdict(published).items() if v is not None and k != "source"}


def _plain(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value <= 1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else value
