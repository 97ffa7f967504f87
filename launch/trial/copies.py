"""What a node's copy of a study at an address has of it: see `launch.trial.remote_study`."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from detectors.files import write_atomically, written
from detectors.locks import held, living_holder
from detectors.regularly import regularly
from detectors.remote import RemoteError
from launch.files import (
    ATTEMPT,
    BUNDLES,
    JOURNAL,
    LOCK,
    MEASURED,
    MEMBERS,
    ORIGIN,
    OTHERS,
    RAY,
    RESULT,
    STAGES,
    TRIALS,
)
from launch.trial.data import given_path
from launch.trial.remote_study import COPIES, RemoteStudy, is_newer, remote_of
from searchspace.masking import is_address

LAG = 20.0
"""Seconds between two looks for files of a running trial that have to be sent."""

PIECE = 1 << 20
"""Bytes of a piece of the journal: object stores can add nothing to an object, so that a long
journal would be written anew with each line."""

PLACE = re.compile(f"(.+)/((?:{TRIALS}|{STAGES})(?:/.*)?)")
"""The address of a study, and a folder or file in it."""

PIECES = f"{JOURNAL}.pieces"
FETCHING = "fetching.lock"
"""Held while the files of the study itself are fetched, which a search on this node writes."""

APART = (STAGES, TRIALS, RAY, ORIGIN, LOCK, JOURNAL, FETCHING)
"""What of a study is not sent with its report: it is of this node alone, or was sent already."""


logger = logging.getLogger(__name__)


def study_place(name: str, value: Path | str, patience: float = 0.0) -> Path:
    """An argument as the folder of a study: of one at an address, this node's copy.

    Raises:
        SettingsError: it is empty.
        RemoteError, InputError: the address cannot be used.
    """
    folder = RemoteStudy.at(str(value)).copy if is_address(value) else given_path(name, value)
    fetch_study(folder, patience=patience)
    return folder


def shown_place(study: Path) -> str:
    """Where a study lies, for messages and commands: its address, or its folder."""
    remote = remote_of(study)
    return str(study) if remote is None else remote.address


def fetch_study(study: Path, ours: bool = False, patience: float = 0.0) -> None:
    """Fetch what is new of a study but detectors and stages; nothing where it is no copy.

    Args:
        ours: whether this process works on the study. If another one of this node does, only the
            files of trials are fetched: all others it has itself.

    Raises:
        RemoteError: the address does not answer for `patience` seconds.
    """
    remote = remote_of(study)
    if remote is None:
        return
    with held(study / FETCHING, "fetching"):
        if ours or living_holder(study / LOCK) is None:
            found = remote.listing(patience=patience, deep=False)
            for folder in (BUNDLES, MEASURED, MEMBERS, OTHERS):
                found |= remote.listing(folder, patience)
            remote.fetch({name: info for name, info in found.items() if name not in APART})
            for file in (study / OTHERS).glob("*"):
                RemoteStudy.at(file.read_text(encoding="utf-8").strip())
            _fetch_journal(remote, patience)
        of_trials = remote.listing(TRIALS, patience)
        remote.fetch({name: info for name, info in of_trials.items() if name.count("/") == 2})
        for name in of_trials:
            (study / "/".join(name.split("/")[:2])).mkdir(parents=True, exist_ok=True)


def folder_beside(study: Path, home: str) -> str:
    """The folder of another driver of a study, as this one's trials name it: its path, or, of one
    at an address, this machine's copy.

    Copies lie side by side, and are named by their addresses, so that from one to another the way
    is the same on all machines; the address is kept for those that have not met it.
    """
    if not is_address(home):
        return home
    other, remote = RemoteStudy.at(home), remote_of(study)
    if remote is None:
        return str(other.copy)
    name = f"{OTHERS}/{other.copy.name}"
    if not (study / name).exists():
        write_atomically(study / name, f"{home}\n")
        remote.send(name)
    return f"../{other.copy.name}"


def fetch_trial(folder: Path) -> None:
    """Fetch the files of a trial but its detectors; nothing where its study is no copy."""
    remote = remote_of(folder.parent.parent)
    if remote is not None:
        remote.fetch(remote.listing(remote.name_of(folder), deep=False))


def fetch_detectors(folder: Path) -> None:
    """Fetch all of a trial; nothing where its study is no copy."""
    remote = remote_of(folder.parent.parent)
    if remote is not None:
        remote.fetch(remote.listing(remote.name_of(folder)))


def missing_folders(study: Path, names: Iterable[str]) -> set[str]:
    """Those of some folders of trials, by their names in a study, that neither lie here nor at an
    address."""
    lost: set[str] = set()
    elsewhere: dict[RemoteStudy, dict[str, str]] = defaultdict(dict)
    for name in names:
        if (study / name).is_dir():
            continue
        remote, own = _at_address(study / name)
        if remote is None:
            lost.add(name)
        else:
            elsewhere[remote][own] = name
    for remote, named in elsewhere.items():
        there = {file.rpartition("/")[0] for file in remote.listing(TRIALS)}
        lost |= {name for own, name in named.items() if own not in there}
    return lost


def bring(path: Path) -> Path:
    """The folder of a detector, which is fetched if it lies in a copy of a study that lacks it.

    Of a stage, all of it is fetched.
    """
    remote, name = _at_address(path)
    if remote is not None and not path.is_dir():
        parts = name.split("/")
        remote.fetch_folder("/".join(parts[:2] if parts[0] == STAGES else parts))
    return path


def portable(path: Path) -> str:
    """A path in a study for other machines, of which `here` makes theirs: of one at an address,
    that."""
    remote, name = _at_address(path)
    return str(path.resolve()) if remote is None else f"{remote.address}/{name}"


def here(place: str) -> Path:
    """Where what `portable` gave on another machine lies on this one."""
    found = PLACE.fullmatch(place) if is_address(place) else None
    return Path(place) if found is None else RemoteStudy.at(found[1]).copy / found[2]


def _at_address(path: Path) -> tuple[RemoteStudy | None, str]:
    """The study at an address in whose copy a path lies, and its name there; None without one."""
    path = path.resolve()
    for folder in path.parents:
        if folder.parent.name == COPIES and (remote := remote_of(folder)) is not None:
            return remote, path.relative_to(folder).as_posix()
    return None, str(path)


def send_trial(folder: Path) -> None:
    """Send all of a trial that this node has; nothing where its study is no copy."""
    remote = remote_of(folder.parent.parent)
    if remote is not None:
        remote.send_folder(remote.name_of(folder), last=RESULT)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """During an attempt at a trial, its files are at the address of its study, if it has one: what
    other nodes have done of it is fetched first, and all of it is sent at the end.

    Raises:
        RemoteError: the address does not answer.
    """
    remote = remote_of(folder.parent.parent)
    if remote is None:
        yield
        return
    fetch_trial(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with sent_on(folder, remote, deep=False, every=LAG):
        yield
    send_trial(folder)


@contextmanager
def sent_on(folder: Path, remote: RemoteStudy, deep: bool, every: float) -> Iterator[None]:
    """While files in a folder of a copy are written, they are sent from time to time and at the
    end, so that another node can go on from them, and others can look.

    Args:
        deep: also those in its folders.
        every: seconds.
    """
    seen: dict[Path, tuple[int, int]] = {}

    def send() -> None:
        try:
            _send_changed(folder, remote, deep, seen)
        except (RemoteError, OSError) as error:
            logger.warning(f"{folder.name} is not at the address yet: {error}")

    try:
        with regularly(send, every, "sender"):
            yield
    finally:
        send()


def _send_changed(
    folder: Path, remote: RemoteStudy, deep: bool, seen: dict[Path, tuple[int, int]]
) -> None:
    for file in sorted(folder.rglob("*") if deep else folder.glob("*")):
        with suppress(FileNotFoundError):
            if not file.is_file() or file.suffix == ".partial" or file.name == ATTEMPT:
                continue
            found = file.stat()
            state = found.st_mtime_ns, found.st_size
            if seen.get(file) != state:
                remote.send(remote.name_of(file), patience=0)
                seen[file] = state


def send_report(study: Path, patience: float) -> None:
    """Send what lies in a study's folder besides trials and stages; nothing where it is no copy."""
    remote = remote_of(study)
    if remote is None:
        return
    own = [path for path in sorted(study.iterdir()) if path.name not in APART]
    found = (file for path in own for file in (path, *path.rglob("*")) if file.is_file())
    names = (remote.name_of(file) for file in found if file.suffix != ".partial")
    remote.send(*names, patience=patience)


class SentJournal:
    """The journal of a study at an address, in pieces of which only the last ones are sent again.

    Args:
        study: its folder; where it is no copy, nothing is sent.
    """

    def __init__(self, study: Path) -> None:
        self._remote, self._file = remote_of(study), study / JOURNAL
        self._sent = 0

    def send(self) -> None:
        """Send what was added; raises `RemoteError`."""
        if self._remote is None:
            return
        with open(self._file, "rb") as file:
            file.seek(self._sent // PIECE * PIECE)
            first = self._sent // PIECE
            while content := file.read(PIECE):
                self._remote.write(_piece(first), content)
                self._sent, first = first * PIECE + len(content), first + 1
        if not self._sent:
            self._remote.write(_piece(0), b"")

    def send_all(self) -> None:
        """Send all of it, as it may have been mended."""
        if self._remote is None:
            return
        self._sent = 0
        self.send()
        after = max(1, -(-self._sent // PIECE))
        found = self._remote.listing(PIECES)
        self._remote.remove(*(name for name in found if name >= _piece(after)))


def _fetch_journal(remote: RemoteStudy, patience: float) -> None:
    """Fetch the journal, unless this node's goes on where that at the address ends."""
    file = remote.copy / JOURNAL
    found = remote.listing(PIECES, patience)
    if not any(is_newer(info, file) for info in found.values()):
        return
    content = b"".join(remote.read(name) for name in sorted(found))
    if not (file.exists() and file.read_bytes().startswith(content)):
        with written(file) as stream:
            stream.write(content)


def _piece(number: int) -> str:
    return f"{PIECES}/{number:06d}"
