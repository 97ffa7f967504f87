"""Cache of stage outputs: a folder of artefacts, each named by a hash of its inputs."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.files import write_atomically
from detectors.locks import held
from launch.files import CLAIMS, LOCKS, MANIFEST, RECORD, SCRATCH
from launch.trial.claims import claimed
from launch.trial.copies import LAG, sent_on
from launch.trial.remote_study import remote_of
from searchspace.digests import digest_of, sha256

VERSIONS = {
    "train": 3,
    "prune": 3,
    "finetune": 3,
    "quantise": 2,
    "evaluate": 4,
    "rung": 4,
    "shared_score": 2,
}
"""By stage, what is part of its artefacts' names; 1 for those not here. Raised when a stage begins
to do something else with the same inputs."""

OnStage = Callable[[str, str, bool], None]
"""Called with a stage, the key of its artefact, and whether that is there: else it is made now, or
waited for while another process makes it."""

logger = logging.getLogger(__name__)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Artefact:
    """The output of a stage.

    Attributes:
        key: the stage's name and a hash of its inputs; later stages use it as an input.
        folder: the folder of its files.
    """

    key: str
    folder: Path


class Manifest(BaseModel):
    """Describes an artefact; written last, so a folder without it is incomplete.

    Attributes:
        inputs: everything that determined the artefact.
        files: SHA-256 of each file by its path.
        seconds: duration of the attempt that finished it.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    inputs: dict[str, Any]
    files: dict[str, str]
    seconds: float


class Store:
    """Artefacts by their inputs; any number of processes may share one store.

    That of a study at an address is this node's copy: an artefact that it lacks is fetched, and one
    that is made is sent.

    Args:
        on_stage: called when a stage's artefact is needed.
    """

    def __init__(self, folder: Path, on_stage: OnStage | None = None) -> None:
        self.folder = folder
        self._on_stage = on_stage or (lambda stage, key, reused: None)
        self._remote = remote_of(folder.resolve().parent)
        self._sent: set[str] = set()

    def once(self, stage: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Artefact:
        """The artefact of a stage, made first if it is missing or damaged.

        If several processes need it, one makes it and the others wait; after a while they log for
        whom. A lock is released when its process ends.

        Args:
            inputs: everything that determines the output, as JSON values.
            make: fills a folder, which survives a crash and is passed to the next attempt. The
                artefact appears atomically when `make` has returned.
        """
        artefact = self.artefact(stage, inputs)
        missing = _damage(artefact.folder)
        self._on_stage(stage, artefact.key, not missing)
        if missing:
            lock = self.folder / LOCKS / artefact.key
            lock.parent.mkdir(parents=True, exist_ok=True)
            with held(lock, f"making {artefact.key}"):
                damage, work = _damage(artefact.folder), Path(f"{artefact.folder}.partial")
                if damage:
                    _remove(artefact.folder, damage)
                make_it = functools.partial(_make, artefact.folder, work, stage, inputs, make)
                if not (damage and self._make_or_fetch(artefact, work, make_it)):
                    self._on_stage(stage, artefact.key, True)
        self._make_sure_it_is_sent(artefact)
        return artefact

    def _make_or_fetch(self, artefact: Artefact, work: Path, make: Callable[[], None]) -> bool:
        """Make an artefact that this node lacks; False if another node had made it, so that it was
        fetched.

        Args:
            work: the folder of the unfinished one, of which the address may have the checkpoint.
        """
        remote = self._remote
        if remote is None:
            make()
            return True
        name, unfinished = remote.name_of(artefact.folder), remote.name_of(work)
        fetch = functools.partial(remote.fetch_folder, name, MANIFEST, _damage)
        if fetch():
            return False
        with claimed(remote, f"{name}.{CLAIMS}", f"making {artefact.key}"):
            if fetch():
                return False
            remote.fetch(remote.listing(unfinished))
            with sent_on(work / SCRATCH, remote, deep=True, every=LAG):
                make()
            remote.send_folder(name, last=MANIFEST)
            remote.remove(*remote.listing(unfinished))
        return True

    def _make_sure_it_is_sent(self, artefact: Artefact) -> None:
        """Send an artefact that the address did not take when it was made."""
        remote = self._remote
        if remote is None or artefact.key in self._sent:
            return
        name = remote.name_of(artefact.folder)
        if not remote.has(f"{name}/{MANIFEST}"):
            remote.send_folder(name, last=MANIFEST)
        self._sent.add(artefact.key)

    def artefact(self, stage: str, inputs: Mapping[str, Any]) -> Artefact:
        """Where the artefact of a stage lies or will lie."""
        cause = {"version": VERSIONS.get(stage, 1), "stage": stage, "inputs": inputs}
        key = f"{stage}-{digest_of(cause)}"
        return Artefact(key, self.folder / key)

    def record(
        self, stage: str, inputs: Mapping[str, Any], model: type[M], make: Callable[[], M]
    ) -> tuple[M, Artefact]:
        """The value of a stage whose output is a single value."""

        def write(folder: Path) -> None:
            write_atomically(folder / RECORD, make().model_dump_json(indent=1))

        artefact = self.once(stage, inputs, write)
        return model.model_validate_json((artefact.folder / RECORD).read_text()), artefact


def _damage(folder: Path) -> str | None:
    """The damage of an artefact; None if it is intact."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
        differ = [
            name for name, digest in manifest.files.items() if sha256(folder / name) != digest
        ]
    except (OSError, ValidationError) as error:
        return str(error)
    return f"not what was written: {', '.join(differ)}" if differ else None


def _remove(folder: Path, damage: str) -> None:
    if folder.exists():
        logger.warning(f"{folder} is damaged and will be made again ({damage})")
        shutil.rmtree(folder)


def _make(
    folder: Path,
    work: Path,
    stage: str,
    inputs: Mapping[str, Any],
    make: Callable[[Path], None],
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    make(work)
    seconds = time.monotonic() - start
    paths = {str(file.relative_to(work)): file for file in work.rglob("*") if file.is_file()}
    files = {p: sha256(f) for p, f in paths.items() if not p.startswith(f"{SCRATCH}{os.sep}")}
    manifest = Manifest(stage=stage, inputs=dict(inputs), files=files, seconds=seconds)
    write_atomically(work / MANIFEST, manifest.model_dump_json(indent=1))
    os.replace(work, folder)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
