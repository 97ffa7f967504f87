"""Fields of a configuration set by `PATH=VALUE`, such as `train.epochs=2`.

A path is that of the field in `trial.json`, or that in a space, which names the kind as well. Items
of lists are numbered from 0. A value is JSON, or else text. A new `kind` has its own defaults,
which further settings may change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from searchspace.config import C
from searchspace.errors import InputError
from searchspace.fields import field_names
from searchspace.names import closest
from searchspace.reading import in_words, shown
from searchspace.training import auto_batch


def overridden(config: C, settings: Sequence[str]) -> C:
    """A configuration with some fields set, all at once, so that they may depend on each other.

    Args:
        settings: texts `PATH=VALUE`, applied in order.

    Raises:
        InputError: a path does not exist, where the nearest is suggested, or a value does not fit.
    """
    if not settings:
        return config
    tree = _Tree(config.model_dump(mode="json"))
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign or not path.strip():
            raise InputError(f"{shown(setting)}: write PATH=VALUE, such as train.epochs=2")
        value = _value(text)
        tree.set(auto_batch(path.strip(), value), value)
    try:
        return config.model_validate(tree.fields)
    except ValidationError as error:
        words = in_words(error, field_names(type(config)))
        # Among several, the field that the words name says which one is meant.
        given = f"{shown(settings[0])}: " if len(settings) == 1 else ""
        raise InputError(given + words) from None


def sets(settings: Sequence[str], path: str) -> bool:
    """Whether one of the settings is of a path."""
    return any(setting.partition("=")[0].strip() == path for setting in settings)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _Tree:
    """A configuration as JSON, whose fields are set one by one.

    Objects that are set as a whole need not name all their fields, so that any may follow; the
    configuration's own checks find those that do not exist.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self._partial: list[Any] = []

    def set(self, path: str, value: Any) -> None:
        """Set a field; raises `InputError` if there is no such path."""
        *above, last = path.split(".")
        owner: Any = self.fields
        for name in above:
            if isinstance(owner, dict) and name not in owner and owner.get("kind") == name:
                continue
            key = self._key(owner, name, path)
            if isinstance(owner, dict) and key not in owner:
                owner[key] = {}
                self._partial.append(owner[key])
            owner = owner[key]
        key = self._key(owner, last, path)
        if key == "kind" and value != owner.get(key):
            owner.clear()
            self._partial.append(owner)
        if isinstance(value, dict):
            self._partial.append(value)
        owner[key] = value

    def _key(self, owner: Any, name: str, path: str) -> str | int:
        """The key of a part of a path in its owner."""
        if isinstance(owner, dict):
            if name in owner or any(owner is known for known in self._partial):
                return name
        elif isinstance(owner, list) and name.isdecimal() and int(name) < len(owner):
            return int(name)
        raise InputError(f"there is no field {path}{closest(path, list(_paths(self.fields)))}")


def _paths(node: Any, path: str = "") -> Iterator[str]:
    """Every path below a node, parents included."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for name, below in items:
        here = f"{path}.{name}" if path else str(name)
        yield here
        if isinstance(below, dict | list):
            yield from _paths(below, here)
