"""Lists of a large JSON object, element by element."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, TextIO

from pydantic_core import from_json

_SPACE = re.compile(r"[ \t\n\r]*")
_AFTER = " \t\n\r,:]}"
"""What may follow after a value."""


class Irregular(ValueError):
    """A text that is not a JSON object with each of the lists once."""


CHUNK = 2**20
"""Characters that are read at a time."""


class JsonLists:
    """A file that is read from its start, one JSON value after the other."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._at_once = True
        self._decode = json.JSONDecoder().raw_decode

    def elements(self, names: Collection[str]) -> Iterator[tuple[str, Any]]:
        """The elements of the lists with these names, each after the name of its list.

        Only few elements at a time exist as Python objects: those of an annotation file of COCO's
        size take gigabytes together.

        Raises:
            Irregular: it is another text; elements before the flaw have been yielded.
        """
        missing = set(names)
        try:
            for name in self._items("{", "}"):
                self._take(":")
                if name not in names:
                    self._value()
                    continue
                missing.remove(name)
                for element in self._items("[", "]"):
                    yield name, element
                    for further in self._further():
                        yield name, further
            if self._next() != "":
                raise Irregular("something follows")
        except (IndexError, KeyError, RecursionError, ValueError) as error:
            raise Irregular(str(error)) from None
        if missing:
            raise Irregular("a list is missing")

    def _items(self, start: str, end: str) -> Iterator[Any]:
        """What stands between brackets and commas; of an object, each key."""
        self._take(start)
        if self._next() == end:
            self._at += 1
            return
        while True:
            yield self._value()
            if self._next() == end:
                self._at += 1
                return
            self._take(",")

    def _further(self) -> list[Any]:
        """The elements that follow after a comma, as many as what was read has whole: the faster
        parser takes them at once, in half the time. None if it does not, as at the end of a list;
        then they are parsed one by one until more is read."""
        end = self._text.rfind("},", self._at) + 1
        if not self._at_once or end <= self._at or self._text[self._at] != ",":
            return []
        try:  # What ends inside an element or a text is not JSON.
            found = from_json(f"[{self._text[self._at + 1 : end]}]")
        except ValueError:
            self._at_once = False
            return []
        self._at = end
        return found

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if not self._more():
                    raise
                continue
            after = self._text[end : end + 1]
            if (after and after in _AFTER) or not self._more():  # else, a number may go on
                self._at = end
                return value

    def _take(self, mark: str) -> None:
        if self._next() != mark:
            raise Irregular(f"no {mark!r}")
        self._at += 1

    def _next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _more(self) -> bool:
        """Read on, and forget what has been used; False at the end of the file."""
        # Twice as much each time: a value that is longer than a chunk is parsed anew after each.
        read = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._text = self._text[self._at :] + read
        self._at = 0
        self._at_once = True
        return bool(read)
