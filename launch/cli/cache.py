"""The commands `sparrow cache show | clear`: the decoded images on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from detectors.data.node_cache import CachedSplit, clear, entries, images_folder
from launch.cli.terminal import console
from searchspace.words import counted


def show_command() -> None:
    folder = images_folder()
    found = entries(folder)
    if found:
        table = Table("Images of", "Images", "Kept", "Size", "Last used")
        for entry in found:
            used = f"{datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}"
            header = entry.header
            known = (
                (header.split, str(header.images), header.form)
                if header
                else (entry.path.name, "", "damaged")
            )
            table.add_row(*known, _gigabytes([entry]), used)
        console.print(table)
    console.say(f"{folder}: {_gigabytes(found)}")


def clear_command() -> None:
    folder = images_folder()
    removed, left = clear(folder)
    console.say(f"{folder}: {counted(len(removed), 'file')} removed, {_gigabytes(removed)}")
    if left:
        console.say(f"{counted(len(left), 'file')}, {_gigabytes(left)}, left: they are in use")


def _gigabytes(found: Sequence[CachedSplit]) -> str:
    return f"{sum(entry.bytes for entry in found) / 1e9:.2f} GB"
