"""What a search that was killed leaves on a machine: Ray's processes and folders, and in a study
what nothing needs any more. Other users' files and living searches are not touched."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from detectors.locks import held, living_holder
from detectors.timing.turns import UNPACKED
from launch.drivers import travel
from launch.files import SHARED_JSON, STAGES
from launch.records import State
from launch.study.opening import read_records, worked_on

OWN_RAY = "sparrow-ray"
"""Prefix of the folders of Rays started by searches."""

OWN_LOGS = "sparrow-ray-logs-"
"""Prefix of the folders with the logs of Rays that did not start."""

OWN_GROUP = "sparrow-group-"
"""Prefix of the folders of trials that several workers train in a Ray that is not our own."""

OF_PROCESSES = {
    OWN_GROUP: "files of the workers of a trial that was killed",
    travel.FOLDER: "code of a job that was not submitted to the end",
    UNPACKED: "bundle whose measurement was killed",
}
"""Prefixes of folders whose names have the number of the process that made them, and what they
are."""

MARK = "SPARROW_RAY"
"""The variable that identifies all processes of our own Ray; its value is Ray's folder."""

DRIVER = "driver.lock"
"""In the folder of our own Ray: held by the process of the search."""

NEW = 60.0
"""Seconds in which a search that has made a folder has locked it."""

GRACE = 3.0
"""Seconds for Ray's processes to end by themselves."""

PARTIAL_FILE = re.compile(r".+\.[0-9a-f]{8}\.partial")
"""What `detectors.files.written` calls a file until it is whole."""

GOES_ON: tuple[State, ...] = ("running", "stopped")
"""States of trials that a resumed search continues from what their stages left."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs.

    Attributes:
        what: what it is, in words.
        processes: those that still work in it.
    """

    path: Path
    what: str
    processes: tuple[psutil.Process, ...] = ()

    @property
    def bytes(self) -> int:
        files = [self.path, *self.path.rglob("*")]
        return sum(file.lstat().st_size for file in files if file.is_file())

    def remove(self) -> None:
        """End the processes, and remove the files.

        Raises:
            OSError: a file cannot be removed; the message names it.
        """
        _kill(self.processes)
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def of_machine() -> list[Leftover]:
    """What searches of this user left in the temporary folders of this machine."""
    logs = (folder for folder in _own_folders() if folder.name.startswith(OWN_LOGS))
    return [
        *killed_rays(),
        *(Leftover(folder, "logs of a Ray that did not start") for folder in logs),
        *(
            Leftover(folder, what)
            for prefix, what in OF_PROCESSES.items()
            for folder in _folders(prefix)
            if not _has_maker(folder, prefix)
        ),
    ]


def killed_rays() -> list[Leftover]:
    """What this user's searches that were killed left of their Rays on this machine."""
    return [
        Leftover(folder, "Ray of a search that was killed", marked(folder))
        for folder in _own_folders()
        if not (folder.name.startswith(OWN_LOGS) or _is_used(folder))
    ]


def of_study(folder: Path) -> list[Leftover]:
    """What nothing needs any more in a study that no process works on.

    Half-made stages stay as long as an unfinished trial, or resuming, may go on from them.

    Raises:
        StudyError: there is no study in the folder.
    """
    records = read_records(folder)
    if worked_on(folder):
        return []
    store = folder / STAGES
    # Behind a link they are those of several drivers.
    partial = [] if store.is_symlink() else store.glob("*.partial")
    stages = sorted(path for path in partial if path.is_dir())
    found = [Leftover(file, "half-written file") for file in _half_written(folder, stages)]
    if not any(record.state in GOES_ON for record in records):
        # Shared weights are trained before there is any trial.
        waits = not (folder / SHARED_JSON).exists()
        done = [stage for stage in stages if not (waits and stage.name.startswith("shared-"))]
        found += [Leftover(stage, "half-made stage") for stage in done]
    return found


def _half_written(folder: Path, stages: Sequence[Path]) -> Iterator[Path]:
    for file in sorted(folder.rglob("*.partial")):
        inside = any(file.is_relative_to(stage) for stage in stages)
        if not inside and file.is_file() and PARTIAL_FILE.fullmatch(file.name):
            yield file


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """While this process runs its own Ray in a folder, it is no leftover."""
    with held(folder / DRIVER, "running Ray", wait=False):
        yield


def end_processes(folder: Path) -> None:
    """End the remaining processes of our own Ray, suspended ones included."""
    _, left = psutil.wait_procs(marked(folder), GRACE)
    _kill(left)


def marked(folder: Path) -> tuple[psutil.Process, ...]:
    """The processes of our own Ray in a folder, besides this one."""
    return tuple(process for process in psutil.process_iter() if _is_marked(process, folder))


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder) and process.pid != os.getpid()
    except psutil.Error:
        return False


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, GRACE)


def _own_folders() -> Iterator[Path]:
    """Folders of Rays of this user's searches."""
    return _folders(OWN_RAY)


def _folders(prefix: str) -> Iterator[Path]:
    """This user's temporary folders whose names begin so, and no links."""
    for parent in temporary_folders():
        for path in sorted(Path(parent).glob(f"{prefix}*")):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                    yield path


def temporary_folders() -> list[str]:
    """Where Rays of searches may lie, the preferred place first."""
    given = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp"]
    return list(dict.fromkeys(os.path.abspath(parent) for parent in given if parent))


def _has_maker(folder: Path, prefix: str) -> bool:
    """Whether the process that made a folder still runs, or is not known."""
    maker = folder.name.removeprefix(prefix).partition("-")[0]
    return not maker.isdecimal() or psutil.pid_exists(int(maker))


def _is_used(folder: Path) -> bool:
    """Whether a process of this machine runs Ray there, or may be about to."""
    lock = folder / DRIVER
    if lock.exists():
        return living_holder(lock) is not None
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return True  # Another process has removed it, or its search has ended.
    # Another version's search locks nothing, but its processes are marked.
    return age < NEW or bool(marked(folder))
