"""`sparrow reproduce`: run or resume the trials of a paper's table, and print the comparison."""

from __future__ import annotations

from pathlib import Path

import typer

from launch.cli.given import check_weights, of_option
from launch.cli.live import Screen
from launch.cli.options import DataPaths, TableOptions
from launch.cli.running import resumed, running
from launch.cli.search_output import print_no_front, printer
from launch.cli.terminal import console, errors
from launch.report.published import as_tree, comparison
from launch.report.terminal import comparison_table
from launch.searches.given import reproduce, table_systems
from launch.study.opening import read_records
from launch.study.search_settings import GivenSettings, given_options
from launch.study.settings import read_settings
from searchspace import TrialConfig
from searchspace.errors import InputError
from searchspace.overrides import overridden


def run_table(
    context: typer.Context,
    table: str | None,
    options: TableOptions,
    data: DataPaths,
    settings: GivenSettings,
    folder: Path,
) -> None:
    """Run or resume a table in a folder; ends with status 1 if no trial finished."""
    out = errors if options.as_json else console
    with running(context, folder, options.quiet, out) as screen:
        if table is None or options.resume:
            resumed(folder, settings, options.retry_failed, data, screen)
        else:
            _begin(table, options, data, settings, folder, screen)
    _print(folder, options.as_json)


def _begin(
    table: str,
    options: TableOptions,
    data: DataPaths,
    settings: GivenSettings,
    folder: Path,
    screen: Screen,
) -> None:
    def change(config: TrialConfig) -> TrialConfig:
        return overridden(config.shortened(options.epochs_share), options.settings)

    check_weights(options.settings, settings.start.weights)
    with of_option("--rows"):
        systems = table_systems(table, options.rows)
    with of_option("--set"):
        for name, system in systems.items():
            try:
                change(system.trial)
            except InputError as error:
                raise InputError(f"{error} (in {name})") from None
    source = data.needed_source()
    screen.say(f"{table} on {source.shown}, in {folder}")
    reproduce(
        table,
        source,
        folder,
        change,
        options.rows,
        on_end=printer(settings.goal.objectives, folder, screen.say_words),
        say=screen.say,
        **given_options(settings),
    )


def _print(folder: Path, as_json: bool) -> None:
    """The comparison with the published figures, and where the report is."""
    records = read_records(folder)
    compared = comparison(read_settings(folder), records)
    if compared and as_json:
        console.say_json(as_tree(compared))
    elif compared:
        console.print(comparison_table(compared))
    out = errors if as_json else console
    out.say(f"Report: {folder / 'report.html'}")
    if not any(record.result for record in records):
        print_no_front(folder, out)
        raise typer.Exit(1)
