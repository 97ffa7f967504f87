"""Speeds on disk: what was measured once is not measured again, by any process or node.

Files are written whole under a name of their own and then linked to their place; the first one
stays. This also holds on storage that several nodes share.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.own_folder import cache_folder
from detectors.timing.reference import REFERENCE_VERSION
from searchspace.errors import InputError

M = TypeVar("M", bound=BaseModel)


class Nominal(BaseModel):
    """The reference's latency in milliseconds on a kind of hardware at its best."""

    model_config = ConfigDict(frozen=True)

    milliseconds: float


@dataclass(frozen=True)
class SpeedStore:
    """A folder of speeds, by a digest of everything that decides them."""

    folder: Path

    @classmethod
    def of_node(cls) -> SpeedStore:
        """Where this node keeps what holds for all that is measured on it."""
        return cls(cache_folder())

    def find(self, key: Mapping[str, Any], model: type[M]) -> M | None:
        """What was kept under a key; None where nothing was.

        Raises:
            ValueError: the file is damaged.
        """
        path = self._path(key)
        try:
            return model.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]["msg"]
            raise InputError(f"{path}: a damaged speed ({first}); delete the file") from None

    def keep(self, key: Mapping[str, Any], value: M) -> M:
        """Keep a value, unless another process came first; returns the one that is kept."""
        path = self._path(key)
        self._write(path, value, lambda written: _link_first(written, path))
        return self.find(key, type(value))

    def improve(self, key: Mapping[str, Any], value: Nominal) -> Nominal:
        """Keep the lesser of a nominal latency and the one that is kept; returns it."""
        known = self.find(key, Nominal)
        if known is not None and known.milliseconds <= value.milliseconds:
            return known
        path = self._path(key)
        self._write(path, value, lambda written: os.replace(written, path))
        return value

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"

    def _write(self, path: Path, value: BaseModel, place: Callable[[Path], None]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        written.write_text(value.model_dump_json(indent=1), encoding="utf-8")
        try:
            place(written)
        finally:
            written.unlink(missing_ok=True)


def _link_first(written: Path, path: Path) -> None:
    try:
        os.link(written, path)
    except FileExistsError:
        pass
    except OSError:
        # Storage without hard links: here the last one stays, which is as good.
        os.replace(written, path)


def nominal_ms(hardware: Mapping[str, Any], best_ms: float, store: SpeedStore | None) -> float:
    """The reference's nominal latency on a kind of hardware.

    A node keeps the least that it has ever seen; a store keeps what its first measurement found,
    so that all its figures rest on the same one.

    Args:
        hardware: what tells one kind from another.
        best_ms: the least latency of the reference in this measurement.
    """
    key = {"reference": REFERENCE_VERSION, **hardware}
    own = SpeedStore.of_node().improve(key, Nominal(milliseconds=best_ms))
    return (store.keep(key, own) if store else own).milliseconds
