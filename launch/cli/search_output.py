"""Output of `sparrow search` and `sparrow report`: trials as they end, and the front."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from launch.cli.debug import debugging
from launch.cli.terminal import PlainConsole, console, errors
from launch.decisions.budget import Outlook
from launch.figures import FigureName, with_name
from launch.files import REPORT_HTML, SETTINGS
from launch.records import TrialRecord
from launch.report import (
    Front,
    design_in_words,
    front_table,
    gone,
    gone_in_words,
    outlook_in_words,
)
from launch.study.opening import read_records
from launch.study.recovery import missing_in_words, read_missing
from launch.study.settings import read_settings, resume_command
from launch.study.study import OnEnd
from launch.trial.log import evidence, last_lines
from searchspace.measuring import MeasureConfig


def printer(objectives: Sequence[FigureName], folder: Path, say: Callable[[str], None]) -> OnEnd:
    """A callback that says of each trial how it ended, and what is left of the budget."""
    ways_to_run = set[MeasureConfig]()

    def print_end(record: TrialRecord, outlook: Outlook) -> None:
        ways_to_run.add(record.config.measure)
        words = design_in_words(record.config, alike=len(ways_to_run) == 1)
        named = ": ".join(filter(None, (record.name, words)))
        for line in _trial_lines(record, named, objectives, folder):
            say(line)
        say(f"  {outlook_in_words(outlook)}")

    return print_end


def _trial_lines(
    record: TrialRecord, words: str, objectives: Sequence[FigureName], folder: Path
) -> Iterator[str]:
    if record.result is None:
        yield f"trial {record.number} {record.state}: {record.why} ({words})"
        if record.state == "failed":
            yield from _evidence_lines(folder / record.folder)
        return
    figures = ", ".join(with_name(name, record.result.figure(name)) for name in objectives)
    yield f"trial {record.number}: {figures}, {record.seconds:.0f} s ({words})"


def _evidence_lines(folder: Path) -> Iterator[str]:
    """Where a failed trial left its traceback and its log; with --debug, also what they say."""
    for file in evidence(folder):
        yield f"  see {file}"
        if debugging():
            yield last_lines(file)


def print_no_front(folder: Path, out: PlainConsole = console) -> None:
    """Why a study has no front."""
    records = read_records(folder)
    failed = [record for record in records if record.state == "failed"]
    broken = dict.fromkeys(bound for record in records for bound in record.broken)
    if broken and not failed:
        out.say(f"No trial keeps to {' and '.join(broken)}, so there is no front.")
        return
    if not failed:
        lost = bool(read_missing(folder))
        again = f": restore them with {resume_command(folder)}" if lost else ""
        out.say(f"No trial has finished{again}.")
        return
    first = failed[0]
    text = f"No trial gives a front: {len(failed)} failed, trial {first.number}: {first.reason}"
    out.say(text)
    for line in _evidence_lines(folder / first.folder):
        out.say_lines(line)


def print_front(folder: Path, front: Front, as_json: bool = False) -> None:
    """The front of a study as a table or as JSON, and the path of its report.

    Without members, why there are none; the command then ends with status 1.
    """
    records, objectives = read_records(folder), read_settings(folder).goal.objectives
    lost, out = gone(folder, records), errors if as_json else console
    if as_json:
        console.say_json(front.model_dump(mode="json", by_alias=True))
    else:
        console.print(front_table(records, objectives, lost))
    for warning in filter(None, (gone_in_words(lost), missing_in_words(read_missing(folder)))):
        out.say(warning)
    out.say(f"Report: {folder / REPORT_HTML}")
    end_without_members(folder, front, out)


def end_without_members(folder: Path, front: Front, out: PlainConsole = console) -> None:
    """End the command with status 1 where a front has no members, and say why."""
    if not front.members:
        print_no_front(folder, out)
        raise typer.Exit(1)


def print_interrupted(folder: Path, out: PlainConsole = console) -> None:
    """Print that a study was interrupted, and how to resume it."""
    with contextlib.suppress(OSError):  # The terminal may be what has gone.
        out.say()
        if (folder / SETTINGS).exists():
            out.say(f"Interrupted. Go on with: {resume_command(folder)}")
        else:
            out.say("Interrupted before the search began; nothing was written.")
