"""The live view of a study or a trial, as what a terminal of 80 columns shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich import box
from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table

from detectors.regularly import regularly
from launch.cli.live import Frame
from launch.cli.machine import Machine
from launch.cli.terminal import PlainConsole, console, styled
from launch.figures import DEFAULT, FIGURES, FigureName, show, with_name
from launch.files import JOURNAL
from launch.records import TrialRecord
from launch.report.progress import Running, StudyFollower, TrialFollower, View
from launch.report.words import design_in_words, outlook_in_words, show_seconds
from launch.study.study import OnEnd
from searchspace.errors import InputError
from searchspace.words import counted

EVERY = 1.0
"""Seconds between two looks at the files."""

MEMBERS = 4
"""The most members of the front that are shown."""

DOING, LEFT = len("train, epoch 10/100 100 %"), len("10 min 00 s")
"""Columns of a terminal for what a running trial does, and for the time that it will take."""

FOR_LOSSES = 75
"""Columns of a terminal below which losses would take the room of what a trial does."""

OTHER_LINES = 14
"""Lines of the view beside those of running trials; the terminal has to have room for all."""


def rendered(view: View, size: ConsoleDimensions) -> RenderableType:
    """A view of a study for a terminal of some size, on no more lines than it has if it can be."""
    settings = view.settings
    objectives = settings.goal.objectives
    source = settings.known_source
    data = "" if source is None else f", data {source.shown}"
    parts: list[RenderableType] = [
        _line((settings.title, "bold"), f" in {view.folder}{data}"),
        _line(_counts(view)),
    ]
    if view.holder is not None:
        parts.append(styled(outlook_in_words(view.outlook)))
    most = max(1, size.height - OTHER_LINES)
    if view.running:
        parts.append(running_table(view.running[:most], objectives, view.time, size.width))
    if len(view.running) > most:
        parts.append(_line(f"and {len(view.running) - most} more are running"))
    front = view.trials.front
    if front:
        parts.append(_line((f"Front of {counted(len(front), 'trial')}", "bold")))
        parts += [_line(_member(record, objectives)) for record in front[:MEMBERS]]
    if len(front) > MEMBERS:
        parts.append(_line(f"  and {len(front) - MEMBERS} more"))
    return Group(*parts)


def as_tree(view: View) -> dict[str, Any]:
    """The same as JSON has it; what is not known is None."""
    return {
        "folder": str(view.folder),
        "at_work": view.holder and str(view.holder),
        "trials": view.trials.counts(),
        "left": {
            "trials": view.outlook.trials_left,
            "minutes": view.outlook.minutes_left,
            "device_hours": view.outlook.device_hours_left,
            "seconds_expected": view.outlook.seconds,
        },
        "running": [
            {
                "trial": each.name,
                "doing": each.in_words(),
                "epoch": each.now.epoch,
                "epochs": each.now.epochs,
                "losses": each.now.losses,
                "images_per_s": each.now.images_per_s,
                "figures": each.now.figures,
                "seconds_left": each.now.seconds_left(view.time),
            }
            for each in view.running
        ],
        "front": [
            {"trial": record.number}
            | {name: record.figure(name) for name in view.settings.goal.objectives}
            for record in view.trials.front
        ],
    }


def running_table(
    running: Sequence[Running], objectives: Sequence[FigureName], time: float, columns: int
) -> Table:
    """Running trials, each with what it does and how well it is so far, on so many columns."""
    losses = columns >= FOR_LOSSES
    scores = [name for name in objectives if FIGURES[name].source == "metrics"] or ["ap"]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    table.add_column("Trial", justify="right", no_wrap=True, max_width=16)
    # Of fixed widths, so that nothing moves sideways while it runs.
    table.add_column("Doing", no_wrap=True, ratio=2, min_width=DOING)
    if losses:
        table.add_column("Losses", no_wrap=True, ratio=1)
    for name in scores:
        table.add_column(FIGURES[name].heading, justify="right", no_wrap=True)
    table.add_column("img/s", justify="right", no_wrap=True, min_width=5)
    table.add_column("Left", justify="right", no_wrap=True, min_width=LEFT)
    for each in running:
        now = each.now
        left = now.seconds_left(time)
        table.add_row(
            each.name,
            each.in_words(),
            *([", ".join(f"{name} {value:.2g}" for name, value in now.losses.items())] * losses),
            *(show(name, now.figures.get(name)) for name in scores),
            f"{now.images_per_s:.0f}" if now.images_per_s else "",
            show_seconds(left) if left else "",
        )
    return table


def _line(*parts: str | tuple[str, str]) -> RenderableType:
    """A line that is cut where the terminal ends."""
    text = styled(*parts)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _counts(view: View) -> str:
    running = len(view.running)
    states = {state: n for state, n in view.trials.counts().items() if state != "running"}
    words = [f"{n} {state}" for state, n in states.items() if n]
    words.append(f"{running} running" if running else "none running")
    return f"{counted(len(view.trials.records), 'trial')}: {', '.join(words)}"


def _member(record: TrialRecord, objectives: Sequence[FigureName]) -> str:
    figures = ", ".join(with_name(name, record.figure(name)) for name in objectives)
    return f"  trial {record.number}: {figures}  {design_in_words(record.config, alike=True)}"


def study_frame(folder: Path, out: PlainConsole = console) -> Frame:
    """Shows a study that begins, or goes on, in a folder."""
    follower: StudyFollower | None = None

    def look() -> RenderableType:
        nonlocal follower
        if follower is None:
            if not (folder / JOURNAL).exists():
                return Group()
            follower = StudyFollower(folder)
        return rendered(follower.look(), out.size)

    return _now_and_then(look)


def trial_frame(folder: Path, name: str, out: PlainConsole = console) -> Frame:
    """Shows one trial, whose files are in a folder."""
    follower = TrialFollower(folder)
    return _now_and_then(
        lambda: running_table(
            [Running(name, follower.look())], DEFAULT, time.time(), out.size.width
        )
    )


def _now_and_then(look: Callable[[], RenderableType]) -> Frame:
    """A frame that looks anew once a second, with the use of this machine below it."""
    shown: RenderableType = Group()
    looked, machine = 0.0, Machine()

    def frame() -> RenderableType:
        nonlocal shown, looked
        if time.monotonic() - looked >= EVERY:
            try:
                shown = Group(look(), _line((machine.in_words(), "dim")))
            except (OSError, InputError) as error:
                # It is written, or its disk is away, just now.
                shown = _line(f"cannot be read: {error}")
            looked = time.monotonic()
        return shown

    return frame


class Announcer:
    """Says which trials begin and which end between two looks at a study.

    Args:
        begins: called with each trial that runs and did not before.
        ends: called with each trial that has ended after the first look, and what is left of the
            budget.
    """

    def __init__(self, begins: Callable[[str], None] | None, ends: OnEnd | None = None) -> None:
        self._begins = begins or (lambda name: None)
        self._ends = ends or (lambda record, outlook: None)
        self._running: set[str] = set()
        self._ended: set[int] | None = None

    def hear(self, view: View) -> None:
        running = {each.name for each in view.running}
        for name in sorted(running - self._running):
            self._begins(f"trial {name} begins")
        self._running = running
        ended = {r.number: r for r in view.trials.records if r.ending is not None}
        for number in sorted(ended.keys() - (ended.keys() if self._ended is None else self._ended)):
            self._ends(ended[number], view.outlook)
        self._ended = set(ended)


@contextmanager
def announced(folder: Path, announcer: Announcer) -> Iterator[None]:
    """Say what begins in a study's folder, from another thread, until the context ends."""
    follower: StudyFollower | None = None

    def look() -> None:
        nonlocal follower
        # While it is written: whoever works on it says what is wrong.
        with suppress(OSError, InputError):
            if follower is None and (folder / JOURNAL).exists():
                follower = StudyFollower(folder)
            if follower is not None:
                announcer.hear(follower.look())

    with regularly(look, EVERY, "announcer"):
        yield
