"""`sparrow watch`: the live view of a study from another terminal."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from launch.cli.live import Screen
from launch.cli.options import StudyFolder
from launch.cli.search_output import printer
from launch.cli.terminal import console
from launch.cli.view import EVERY, Announcer, as_tree, rendered
from launch.report.progress import StudyFollower, View
from launch.study.settings import resume_command


def watch_command(
    folder: StudyFolder,
    once: Annotated[bool, typer.Option("--once", help="Print the study as it is now.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the study as it is now, as JSON.")
    ] = False,
) -> None:
    follower = StudyFollower(folder)
    view = follower.look()
    if as_json:
        console.say_json(as_tree(view))
        return
    if not once and view.holder is not None:
        try:
            view = _watched(follower, view)
        except KeyboardInterrupt:
            console.say(f"The search goes on: {view.holder}")
            return
    console.print(rendered(view, console.size))
    console.say(_state(view))


def _watched(follower: StudyFollower, view: View) -> View:
    """The study when no process works on it any more; until then it is shown."""
    screen = Screen(console)
    say = printer(view.settings.goal.objectives, view.folder, screen.say_words)
    announcer = Announcer(None if screen.live else screen.say, say)
    with screen.shown():
        screen.follow(lambda: rendered(view, console.size))
        while view.holder is not None:
            announcer.hear(view)
            time.sleep(EVERY)
            view = follower.look()
        announcer.hear(view)
    return view


def _state(view: View) -> str:
    """Whether a process works on a study, and how it goes on if none does."""
    if view.holder is not None:
        return f"At work: {view.holder}"
    unfinished = len(view.trials.in_state("running"))
    again = f"; {unfinished} unfinished: {resume_command(view.folder)}" if unfinished else ""
    return f"No process works on it{again}"
