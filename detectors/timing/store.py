"""Cache of speeds on disk: no process or node measures a speed again.

Files are written under a temporary name and then linked to their final one; the first writer wins.
This is also safe on storage shared by several nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from detectors.files import write_atomically, write_first
from detectors.own_folder import cache_folder
from detectors.timing.reference import REFERENCE_VERSION
from searchspace.digests import digest_of
from searchspace.errors import InputError

M = TypeVar("M", bound=BaseModel)


class Nominal(BaseModel):
    """The reference's lowest latency on a kind of hardware, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    milliseconds: float


@dataclass(frozen=True)
class SpeedStore:
    """A folder of speeds, by a digest of everything that determines them."""

    folder: Path

    @classmethod
    def of_node(cls) -> SpeedStore:
        """This node's store, for values that apply to all measurements on it."""
        return cls(cache_folder())

    def find(self, key: Mapping[str, Any], model: type[M]) -> M | None:
        """The value stored under a key; None if there is none.

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
            raise InputError(f"{path}: damaged ({first}); delete the file") from None

    def keep(self, key: Mapping[str, Any], value: M) -> M:
        """Store a value unless another process was first; returns the stored one."""
        path = self._path(key)
        write_first(path, value.model_dump_json(indent=1))
        kept = self.find(key, type(value))
        return value if kept is None else kept

    def replace(self, key: Mapping[str, Any], value: M) -> M:
        """Store a value in place of the one under the key, if any; returns it."""
        write_atomically(self._path(key), value.model_dump_json(indent=1))
        return value

    def improve(self, key: Mapping[str, Any], value: Nominal) -> Nominal:
        """Store a nominal latency if it is lower than the stored one; returns the lower."""
        known = self.find(key, Nominal)
        if known is not None and known.milliseconds <= value.milliseconds:
            return known
        return self.replace(key, value)

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / f"{digest_of(key)}.json"


def nominal_ms(hardware: Mapping[str, Any], best_ms: float, store: SpeedStore | None) -> float:
    """The reference's nominal latency on a kind of hardware.

    A node keeps the lowest that it has ever measured; a store keeps the value of its first
    measurement, so that all its figures are normalised with the same one.

    Args:
        hardware: the properties that distinguish kinds of hardware.
        best_ms: the lowest latency of the reference in this measurement.
    """
    key = {"reference": REFERENCE_VERSION, **hardware}
    own = SpeedStore.of_node().improve(key, Nominal(milliseconds=best_ms))
    return (store.keep(key, own) if store else own).milliseconds
