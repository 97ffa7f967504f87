"""What is wrong with a data set, and what is odd about it: each with its place, cause and fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from searchspace.errors import InputError
from searchspace.reading import Unreadable, shown, visible

__all__ = ["DataError", "Findings", "Problem", "by_cause", "listed", "shown"]

MAX_SHOWN = 50


@dataclass(frozen=True)
class Problem:
    """A finding about data: its file, its entry, what is the matter, and how to fix it.

    A problem makes an entry unusable; a warning is of the same form, and its entry is used.

    Attributes:
        cause: what findings of one kind have in common; by default their fix.
        count: how many entries have it, of which this one is an example.
    """

    file: str
    entry: str
    what: str
    fix: str
    cause: str = ""
    count: int = 1

    @classmethod
    def of(cls, error: Unreadable) -> Problem:
        """The problem of a file that cannot be read."""
        return cls(error.file, error.place or "file", error.what, error.fix)

    def __str__(self) -> str:
        said = (
            f"{self.entry}: {self.what}; {self.fix}" if self.fix else f"{self.entry}: {self.what}"
        )
        return said if self.count == 1 else f"{self.count} entries, such as {said}"


def by_cause(problems: Iterable[Problem]) -> list[Problem]:
    """One finding for each cause, the first, with the number of all."""
    found: dict[str, Problem] = {}
    for problem in problems:
        cause = problem.cause or problem.fix or problem.what
        first = found.get(cause)
        count = problem.count + (first.count if first else 0)
        found[cause] = replace(first or problem, count=count)
    return list(found.values())


def listed(problems: Iterable[Problem]) -> list[str]:
    """A line for each cause, below the file of its example; at most 50 causes."""
    causes = by_cause(problems)
    shown_ones = causes[:MAX_SHOWN]
    lines = []
    for file in dict.fromkeys(problem.file for problem in shown_ones):
        lines.append(f"{visible(file)}:")
        lines += [f"  {visible(str(p))}" for p in shown_ones if p.file == file]
    left_out = len(causes) - len(shown_ones)
    if left_out:
        lines.append(f"and {left_out} more causes")
    return lines


class DataError(InputError):
    """A data set that cannot be used; `problems` has all that were found.

    The text has one line for each cause, with a count and an example.

    Attributes:
        warnings: what is suspicious beside them.
    """

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        self.problems, self.warnings = tuple(problems), tuple(warnings)
        super().__init__(self.problems, self.warnings)

    def __str__(self) -> str:
        return "\n".join(listed(self.problems))


@dataclass
class Findings:
    """What readers and checks of a split find: problems make entries unusable, while warnings say
    what is suspicious or was mended."""

    problems: list[Problem] = field(default_factory=list)
    _examples: dict[str, Problem] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def reject(self, file: Path | str, entry: str, what: str, fix: str, cause: str = "") -> None:
        """Enter a problem."""
        self.problems.append(Problem(str(file), entry, what, fix, cause))

    def warn(
        self, file: Path | str, entry: str, what: str, fix: str, cause: str, count: int = 1
    ) -> None:
        """Enter a warning; of each cause, the first stays as the example."""
        self._counts[cause] += count
        if cause not in self._examples:
            self._examples[cause] = Problem(str(file), entry, what, fix, cause)

    def restore(self, earlier: Findings) -> None:
        """Forget what has been entered since a copy was made."""
        vars(self).update(vars(earlier))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """One for each cause, with the number of entries."""
        return tuple(
            replace(example, count=self._counts[cause]) for cause, example in self._examples.items()
        )
