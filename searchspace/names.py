"""Names that a field of a configuration may hold, each with what stands for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

LOAD_PLUGIN = (
    "; if a plugin defines it, load that first (--plugin, or searchspace.load_plugins in Python)"
)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a name that is not among those known; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def most_like(name: str, known: Iterable[str]) -> str | None:
    """The one of the names known that is most like a name, however far; None where there are
    none."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)), None)


def closest(name: str, known: Iterable[str]) -> str:
    """`; the nearest one is x` for a name that is not among those known; empty where there are
    none."""
    near = most_like(name, known)
    return f"; the nearest one is {near}" if near else ""


def unknown(name: str, known: Iterable[str]) -> str:
    """What to do about a name that is not among those known: take the nearest one, or load the
    plugin that defines it."""
    return nearest(name, known) or LOAD_PLUGIN


def check_implemented(what: str, member: type, attributes: Iterable[str] = ()) -> None:
    """Raise TypeError for a class that lacks attributes or methods of its contract.

    Args:
        what: what the class is, with its name, for the message.
        attributes: those of the class itself that it has to set.
    """
    missing = [name for name in attributes if not hasattr(member, name)]
    missing += sorted(getattr(member, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"{what}: implement {', '.join(missing)}")


class Names(Mapping[str, T], Generic[T]):
    """A registry of values by their names, in the order of their registration.

    `Annotated[str, AfterValidator(NAMES.check)]` is a field that holds one of the names.

    Attributes:
        what: what a value is, for messages: `runtime`.
    """

    def __init__(self, what: str, values: Mapping[str, T] | None = None) -> None:
        self.what = what
        self._values = dict(values or {})

    def register(self, name: str, value: T) -> T:
        """Add a value; raises ValueError where another one has its name."""
        if self._values.setdefault(name, value) != value:
            raise ValueError(f"there is a {self.what} {name!r} already; give yours another name")
        return value

    def check(self, name: str) -> str:
        """The name itself; raises ValueError, which lists all names, where there is none such."""
        if name not in self._values:
            hint = unknown(name, self._values)
            raise ValueError(
                f"there is no {self.what} {name!r}; choose from {', '.join(self._values)}{hint}"
            )
        return name

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
