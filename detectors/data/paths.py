"""Image files by the names that annotation files give them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from detectors.data.image_files import folded
from searchspace.reading import shown

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"[a-z]:[/\\]", re.IGNORECASE)

ONE_FORM = "write the name as it is on disk; it differs in case or Unicode form"


class NotFound(ValueError):
    """A name without a file; `what` says why and `fix` what to do about it."""

    def __init__(self, what: str, fix: str, cause: str) -> None:
        self.what, self.fix, self.cause = what, fix, cause
        super().__init__(what)


@dataclass(frozen=True)
class Found:
    """The file of a name, and what was done to find it where it has another name on disk."""

    path: Path
    other: tuple[str, str, str] | None = None
    """What, fix and cause of a warning."""


class ImageFolder:
    """The files of a folder and those below it.

    A name that no file has exactly may be written with backslashes, have a prefix of another
    machine (a folder, a server's path, a URL), or differ in case or Unicode form, or its file may
    lie in a folder below. It is taken for the one file that it can mean. Names never leave the
    folder; a link in it may.

    Args:
        folder: resolved.
        links: whether links out of the folder are followed.
    """

    def __init__(self, folder: Path, links: bool = True) -> None:
        self.folder = folder
        self._links = links

    def find(self, name: str) -> Found:
        """The file of a name, which may not exist; raises `NotFound` for a name that may not be."""
        if "\0" in name:
            raise NotFound(f"file_name {shown(name)} is not a path", "rename the file", "NUL")
        away = _is_absolute(name)
        parts = _parts(name)
        if ".." in parts or (away and not parts):
            raise self._leaves(name)
        path = self.folder / name
        if not away and (not parts or _may_exist(path)):
            return Found(self._followed(name, path))
        other = self._alike(name, parts, away)
        if other is None and away:
            raise self._leaves(name)
        if other is None:
            return Found(path)
        return Found(self._followed(name, self.folder / other), _renamed(name, other))

    def _leaves(self, name: str) -> NotFound:
        return NotFound(
            f"file_name {shown(name)} leaves the image folder {str(self.folder)!r}",
            "put the file there and name it relative to the folder, without '..'",
            "a name leaves the image folder",
        )

    def _followed(self, name: str, path: Path) -> Path:
        """A path that may be a link; raises `NotFound` if it may not."""
        if self._links:
            return path
        try:
            inside = path.resolve().is_relative_to(self.folder)
        except (OSError, RuntimeError):  # a loop of links
            inside = False
        if not inside:
            raise NotFound(
                f"file_name {shown(name)} leaves the image folder {str(self.folder)!r} by a link",
                "allow links, or put the file itself there",
                "a link leaves the image folder",
            )
        return path

    def _alike(self, name: str, parts: Sequence[str], away: bool) -> str | None:
        """The one file, relative to the folder, that a name can mean; None if there is none.

        Raises:
            NotFound: several files could be meant.
        """
        own = [folded(part) for part in parts]
        found: dict[int, list[str]] = defaultdict(list)
        for file in self._files.get(own[-1], ()):
            found[_common(own, [folded(part) for part in file.split("/")])].append(file)
        if not found:
            return None
        common = max(found)
        if common < len(parts) and not away and (self.folder / parts[0]).is_dir():
            return None  # Its own folder is there, and another file of that name is another image.
        files = found[common]
        written = "/".join(parts[-common:])
        for best in (
            [file for file in files if file == written],
            [file for file in files if file.count("/") + 1 == common],
            files,
        ):
            if len(best) == 1:
                return best[0]
            if best:
                raise NotFound(
                    f"file_name {shown(name)} does not exist, and could mean "
                    f"{' or '.join(map(shown, sorted(best)[:3]))}",
                    "write the name as it is on disk",
                    "a name could mean several files",
                )
        return None

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """All files, relative to the folder, by their own names without regard to case and form."""
        found: dict[str, list[str]] = defaultdict(list)
        seen: set[str] = set()
        for folder, below, names in os.walk(self.folder, followlinks=self._links):
            real = os.path.realpath(folder)
            if real in seen:
                below.clear()  # a loop of links
                continue
            seen.add(real)
            start = Path(folder).relative_to(self.folder)
            for name in names:
                found[folded(name)].append((start / name).as_posix())
        return found


def _may_exist(path: Path) -> bool:
    """False if there is nothing of that name; what else is wrong shows when it is opened."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _is_absolute(name: str) -> bool:
    return name.startswith(("/", "\\")) or bool(_URL.match(name) or _DRIVE.match(name))


def _parts(name: str) -> list[str]:
    """The folders and the file of a name, which may be a path of Windows or a URL."""
    if _URL.match(name) or "?d=" in name:
        url = urlsplit(name)
        name = parse_qs(url.query).get("d", [unquote(url.path)])[0]
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]


def _common(own: Sequence[str], theirs: Sequence[str]) -> int:
    """How many parts at the end of two paths are equal."""
    pairs = zip(reversed(own), reversed(theirs), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(own), len(theirs)))


def _renamed(name: str, other: str) -> tuple[str, str, str]:
    """What differs between a name and its file."""
    what = f"file_name {shown(name)} is read as {shown(other)}"
    if name.replace("\\", "/") == other:
        return what, "write '/' between folders", "backslashes"
    if name.replace("\\", "/").endswith(f"/{other}"):
        prefix = name[: -len(other)]
        return what, f"strip {shown(prefix)} from the names", "a prefix"
    if other.endswith(f"/{name}"):
        return what, "write the folder before the name", "a folder below"
    if folded(name) == folded(other):
        return what, ONE_FORM, "case or Unicode form"
    return what, "write the name as it is on disk", "a path of another machine"
