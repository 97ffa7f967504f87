"""The front, a pruning ladder and a comparison with published figures, as tables for a terminal."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from launch.figures import (
    DEFAULT,
    FIGURES,
    FigureName,
    columns,
    published_heading,
    show,
    show_change,
)
from launch.records import TrialRecord
from launch.report.certainty import certainty, show_bounded
from launch.report.epochs import epochs_in_words, legend, marked_epochs, warning
from launch.report.published import Comparison, shown_cells
from launch.report.study import StudyView
from launch.trial.result import Outcome, TrialResult
from searchspace.reading import visible

DESIGN = 30
"""The fewest columns of a terminal in which a design is shown beside the figures of its trial."""


def front_table(
    records: Sequence[TrialRecord],
    objectives: tuple[FigureName, ...] = DEFAULT,
    gone: Collection[int] = (),
) -> Table:
    """The front, best in the first objective first; below it the baseline, if it finished and is
    not on it; above it a warning, if most of the front was still rising.

    Args:
        gone: the trials whose detectors are missing; they are marked.
    """
    view, names = StudyView.of(records, objectives), columns(objectives)
    table = FrontTable(header_style="bold", caption_justify="left", title_justify="left")
    table.add_column("Trial", justify="right", no_wrap=True)
    for name in names:
        table.add_column(FIGURES[name].heading, justify="right", no_wrap=True)
    table.add_column("Epochs", no_wrap=True)
    table.add_column("Design")
    shown = list(view.front)
    for record in view.front:
        _add(table, view, record, record.number in gone)
    baseline = view.baseline
    if baseline and baseline.result and baseline not in view.front:
        table.add_section()
        _add(table, view, baseline, baseline.number in gone)
        shown.append(baseline)
    table.title = _lines(warning(view.front), "table.title")
    table.caption = _lines([*legend(shown), *certainty(view.front)], "table.caption")
    return table


class FrontTable(Table):
    """A table whose last column, the designs, is printed below it where the terminal is narrow."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        *figures, designs = self.columns
        words = [console.render_str(str(cell)) for cell in (designs.header, *designs.cells)]
        alone = copy.copy(self)
        alone.columns = figures
        unbounded = options.update_width(sum(map(len, words)) + 1000)
        widths = [Measurement.get(console, unbounded, text) for text in words]
        needed = max(max(width.minimum, min(DESIGN, width.maximum)) for width in widths)
        margin = sum(self.padding[1::2]) + 1
        beside = Measurement.get(console, unbounded, alone).maximum + margin + needed
        if beside <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        alone.box, alone.show_edge, alone.pad_edge = box.SIMPLE_HEAD, False, False
        alone.padding = 0
        yield from Table.__rich_console__(alone, console, options)
        for number, text, row in zip(figures[0].cells, words[1:], self.rows, strict=True):
            style = row.style or ""
            yield Text.assemble(f"trial {number}: ", text, style=style, overflow="fold")


def _lines(texts: Iterable[str], style: str) -> Text | None:
    """Lines above or below a table, if any."""
    text = "\n".join(map(visible, texts))
    return Text(text, style) if text else None


def ladder_table(results: Sequence[TrialResult], control: Outcome | None = None) -> Table:
    """The trials of a ladder, below their parent.

    Changes are relative to the control, which has had as much training as the pruned detectors, or
    else to the parent.
    """
    table = Table(header_style="bold")
    table.add_column("Pruned", justify="right", no_wrap=True)
    for name in columns():
        table.add_column(FIGURES[name].heading, justify="right")
    table.add_column("Epochs", no_wrap=True)
    parent, epochs = results[0].dense, results[0].config.epochs
    whole = [("parent", parent, (epochs[0], 0))]
    if control is not None:
        whole.append(("unpruned", control, epochs))
    for name, outcome, had in whole:
        figures = (show(figure, outcome.figure(figure)) for figure in columns())
        table.add_row(name, *figures, epochs_in_words(had))
    table.add_section()
    for result in results:
        ratio = f"{100 * result.config.compress.removal.ratio:.0f} %"
        changed = _changed(control or parent, result.final)
        table.add_row(ratio, *changed, epochs_in_words(result.config.epochs))
    return table


def comparison_table(compared: Comparison) -> Table:
    """A table for the terminal: for each system a line with the published figures, and ours."""
    table = Table(
        title=compared.title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), caption=_lines(compared.notes, "table.caption"),
    )  # fmt: skip
    table.add_column("System", overflow="fold")
    for name in compared.figures:
        # A narrow terminal would break a heading anywhere.
        heading = Text(published_heading(name).replace("_", "_\n"))
        table.add_column(heading, justify="right", overflow="fold", min_width=5)
    for row in compared.rows:
        table.add_row(row.system, *shown_cells(row.published, compared.figures), style="dim")
        table.add_row(f"  {row.state}", *shown_cells(row.ours, compared.figures))
    return table


def _changed(parent: Outcome, child: Outcome) -> list[str]:
    """Each figure of a child, and how it changed."""
    figures = [(name, parent.figure(name), child.figure(name)) for name in columns()]
    return [f"{show(name, new)} ({show_change(name, old, new)})" for name, old, new in figures]


def _add(table: Table, view: StudyView, record: TrialRecord, is_gone: bool) -> None:
    words = view.in_words(record)
    if is_gone:
        words += " (its detector is gone)"
    is_baseline = record.origin == "baseline"
    table.add_row(
        str(record.number),
        *(show_bounded(record.finished.final, name) for name in columns(view.objectives)),
        marked_epochs(record),
        f"baseline: {words}" if is_baseline else words,
        style="dim" if is_baseline else None,
    )
