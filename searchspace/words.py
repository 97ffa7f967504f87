"""How configurations are put into words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import PurePath

TIMES = "\N{MULTIPLICATION SIGN}"


def joined(*parts: str) -> str:
    """The parts that say something, e.g. `width 0.25, 160 px`."""
    return ", ".join(part for part in parts if part)


def on_axes(number: float | tuple[float, float]) -> str:
    """One number for both axes, or one for each: `300` or `800×1280`."""
    numbers = number if isinstance(number, tuple) else (number,)
    return TIMES.join(f"{x:g}" for x in numbers)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 image`, `1,200 images`, `2 categories`."""
    if number == 1:
        return f"1 {noun}"
    ends = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
    return f"{number:,} {plural or ends}"


def numbered(noun: str, numbers: Iterable[object]) -> str:
    """A noun with the numbers of some: `trial 3` or `trials 1, 2`."""
    shown = [str(number) for number in numbers]
    return f"{noun}{'' if len(shown) == 1 else 's'} {', '.join(shown)}"


def command(*words: object) -> str:
    """A command that can be copied into a shell, whatever its paths hold:
    `sparrow report 'my runs/first'`."""
    return shlex.join(map(str, ("sparrow", *words)))


def install(extra: str) -> str:
    """The command that installs what an extra of this package has."""
    return f"pip install 'sparrow-search[{extra}]'"


def percent(share: float) -> str:
    """A share as a whole number of percent: `40 %`."""
    return f"{100 * share:.0f} %"


def end_of_path(path: str) -> str:
    """The last two parts of a path, which tell saved detectors apart."""
    return "/".join(PurePath(path).parts[-2:])
