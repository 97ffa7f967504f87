"""The commands `sparrow cache show | clear`: decoded images and fetched data on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from detectors.data.fetched import OnNode, data_folder, on_node
from detectors.data.node_cache import CachedSplit, clear, entries, images_folder
from launch.cli.options import PrintJson
from launch.cli.terminal import console
from searchspace.words import counted

Kept = Sequence[CachedSplit] | Sequence[OnNode]


def show_command(as_json: PrintJson = False) -> None:
    images, data = entries(images_folder()), on_node()
    if as_json:
        console.say_json(_as_tree(images, data))
        return
    if images:
        table = Table("Images of", "Images", "Kept", "Size", "Last used")
        for entry in images:
            header = entry.header
            known = (
                (header.split, str(header.images), header.form)
                if header
                else (entry.path.name, "", "damaged")
            )
            table.add_row(*known, _gigabytes([entry]), _day(entry.used))
        console.print(table)
    console.say(f"{images_folder()}: {_gigabytes(images)}")
    if data:
        table = Table("Data at", "Files", "Size", "Last used")
        for one in data:
            address = one.address or "not all of it has arrived"
            table.add_row(address, str(one.files), _gigabytes([one]), _day(one.used))
        console.print(table)
        console.say(f"{data_folder()}: {_gigabytes(data)}")


def _as_tree(images: Sequence[CachedSplit], data: Sequence[OnNode]) -> dict[str, Any]:
    """Of a damaged split, `images_of`, `images` and `form` are None; of data that have not all
    arrived, `address`."""
    return {
        "splits": [
            {
                "path": str(entry.path),
                "images_of": entry.header and entry.header.split,
                "images": entry.header and entry.header.images,
                "form": entry.header and entry.header.form,
                "bytes": entry.bytes,
                "last_used": _moment(entry.used),
            }
            for entry in images
        ],
        "data": [
            {
                "address": one.address,
                "files": one.files,
                "bytes": one.bytes,
                "last_used": _moment(one.used),
            }
            for one in data
        ],
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def clear_command() -> None:
    _say_cleared(images_folder(), "file", *clear(images_folder()))
    if data := on_node():
        removed = [one for one in data if one.remove()]
        _say_cleared(data_folder(), "data set", removed, [o for o in data if o not in removed])


def _say_cleared(folder: Path, what: str, removed: Kept, left: Kept) -> None:
    console.say(f"{folder}: {counted(len(removed), what)} removed, {_gigabytes(removed)}")
    if left:
        console.say(f"{counted(len(left), what)}, {_gigabytes(left)}, left: they are in use")


def _gigabytes(found: Kept) -> str:
    return f"{sum(entry.bytes for entry in found) / 1e9:.2f} GB"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
