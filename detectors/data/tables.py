"""Entries of images and classes by id, and what becomes of ids that are no numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from detectors.data.entries import CategoryEntry, Entry, ImageEntry, Key
from detectors.data.validation import Findings, shown

E = TypeVar("E", ImageEntry, CategoryEntry)


@dataclass
class Table(Generic[E]):
    """Entries by id.

    An entry that refers to a broken id is dropped with it, and is not a further problem.

    Attributes:
        entries: the first of each id.
        broken: ids whose entries must not be used.
        numbers: the number of each id.
    """

    entries: dict[Key, E]
    broken: set[Key] = field(default_factory=set)
    numbers: dict[Key, int] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[E], findings: Findings) -> Table[E]:
        """The entries that have an id. Of two equal ones with one id, the first is kept; if they
        differ, it is ambiguous which one is referred to, and the id is broken."""
        table = cls({})
        for entry in entries:
            key = entry.id
            if key is None:
                continue
            first = table.entries.setdefault(key, entry)
            if first is not entry:
                taken(entry, "id", key, first.label)
                if first.fields() != entry.fields():
                    table.broken.add(key)
            elif not entry.ok:
                table.broken.add(key)
        table.numbers = numbered(table.entries)
        _say_numbered(table.entries, findings)
        return table

    def reject(self, key: Key, what: str, fix: str, cause: str) -> None:
        """Enter a problem of an entry, which breaks its id."""
        self.entries[key].reject(what, fix, cause)
        self.broken.add(key)

    def usable(self) -> list[E]:
        """The entries that are not broken, by ascending number."""
        keys = self.entries.keys() - self.broken
        return [self.entries[key] for key in sorted(keys, key=self.numbers.__getitem__)]


def numbered(keys: Iterable[Key]) -> dict[Key, int]:
    """A number for each id: its own, or for a text the next one in alphabetical order."""
    found = {key: key for key in keys if isinstance(key, int)}
    texts = sorted({key for key in keys if isinstance(key, str)})
    first = max(found, default=0) + 1
    return found | {text: number for number, text in enumerate(texts, first)}


def taken(entry: Entry, key: str, value: object, owner: str) -> None:
    """Reject an entry for what another one has already."""
    entry.reject(
        f"{key} {shown(value)} is taken already by {owner}",
        f"give every entry of the list its own {key}, or remove this one",
    )


def _say_numbered(entries: dict[Key, E], findings: Findings) -> None:
    texts = [key for key in entries if isinstance(key, str)]
    if texts:
        entry = entries[texts[0]]
        what = f"id is {shown(texts[0])}: ids that are texts are numbered in alphabetical order"
        fix = "write numbers to choose them"
        findings.warn(entry.file, entry.label, what, fix, f"{type(entry)} id", count=len(texts))
