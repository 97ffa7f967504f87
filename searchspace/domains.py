"""The domain of a field: a choice, a range, or a single value."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel


class OptunaTrial(Protocol):
    """The part of `optuna.Trial` that the walk needs (`optuna.trial.FixedTrial` has it too)."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values. Sequences are passed to Optuna as JSON text, which storages can
    keep."""

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        if not options:
            raise ValueError("a Choice needs at least one option")
        object.__setattr__(self, "options", options)

    def suggest(self, trial: OptunaTrial, path: str) -> Any:
        values = {_shown(option): option for option in self.options}
        return values[trial.suggest_categorical(path, list(values))]

    def param(self, value: Any) -> Any:
        """The Optuna parameter of a value; raises ValueError if it is not an option."""
        for option in self.options:
            if _same(value, option):
                return _shown(option)
        raise ValueError(f"{value!r} is not one of {list(self.options)}")

    def nearest(self, value: Any) -> Any:
        """The option with the least distance (`apart`) from `value`, the first if equal."""
        return min(self.options, key=lambda option: self.apart(value, option))

    def apart(self, value: Any, option: Any) -> float:
        """The distance of an option from a value; infinite if they cannot be compared."""
        if _same(value, option):
            return 0.0
        return _apart(value, option, (value, *self.options))

    def size(self) -> float:
        return len(self.options)

    def __str__(self) -> str:
        return "{" + ", ".join(str(_shown(option)) for option in self.options) + "}"


@dataclass(frozen=True)
class IntRange:
    """An integer between `low` and `high`, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        stepped = self.step >= 1 and (self.step == 1 or not self.log)
        low_enough = self.low >= 1 if self.log else True
        ordered = stepped and low_enough and self.low <= self.high
        if not ordered or (self.high - self.low) % self.step:
            raise ValueError(f"not a range of integers: {self}")

    def suggest(self, trial: OptunaTrial, path: str) -> int:
        return trial.suggest_int(path, self.low, self.high, step=self.step, log=self.log)

    def param(self, value: Any) -> int:
        if (
            not (is_number(value) and self.low <= value <= self.high)
            or (value - self.low) % self.step
        ):
            raise ValueError(f"{value!r} is not in {self}")
        return int(value)

    def nearest(self, value: Any) -> int:
        """The closest number in the range; the lowest if `value` is not a number."""
        number = _number_for(value)
        if number is None:
            return self.low
        steps = math.floor((min(max(number, self.low), self.high) - self.low) / self.step)
        below = self.low + steps * self.step
        return min((below, min(below + self.step, self.high)), key=lambda n: self.apart(value, n))

    def apart(self, value: Any, option: int) -> float:
        """How far a number of the range is from a value, on the scale of the range."""
        return _on_scale(value, option, self.log)

    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" + (f" step {self.step}" if self.step > 1 else "")


@dataclass(frozen=True)
class FloatRange:
    """A real number between `low` and `high`, both included; on a logarithmic scale with `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not (finite and self.low <= self.high) or (self.log and self.low <= 0):
            raise ValueError(f"not a range of numbers: {self}")

    def suggest(self, trial: OptunaTrial, path: str) -> float:
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def param(self, value: Any) -> float:
        if not (is_number(value) and self.low <= value <= self.high):
            raise ValueError(f"{value!r} is not in {self}")
        return float(value)

    def nearest(self, value: Any) -> float:
        """The closest number in the range; the lowest if `value` is not a number."""
        number = _number_for(value)
        return float(self.low if number is None else min(max(number, self.low), self.high))

    def apart(self, value: Any, option: float) -> float:
        """How far a number of the range is from a value, on the scale of the range."""
        return _on_scale(value, option, self.log)

    def size(self) -> float:
        return 1 if self.low == self.high else math.inf

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" + (" log" if self.log else "")


@dataclass(frozen=True)
class Fixed:
    """A single value, which is not searched."""

    value: Any

    def suggest(self, trial: OptunaTrial, path: str) -> Any:
        return self.value

    def param(self, value: Any) -> None:
        if not _same(value, self.value):
            raise ValueError(f"{value!r} is not {self.value!r}, the only value here")

    def nearest(self, value: Any) -> Any:
        return self.value

    def apart(self, value: Any, option: Any) -> float:
        """The distance of the only value from another one."""
        return Choice(option).apart(value, option)

    def size(self) -> float:
        return 1

    def __str__(self) -> str:
        return str(_shown(self.value))


Domain = Choice | IntRange | FloatRange | Fixed


def dump_domain(domain: Domain) -> Any:
    """The TOML form of a domain, which `parse_domain` reads."""
    match domain:
        case Choice(options):
            return {"choice": [_plain(option) for option in options]}
        case IntRange(low, high, step, log):
            return {"low": low, "high": high, "step": step, "log": log}
        case FloatRange(low, high, log):
            return {"low": low, "high": high, "log": log}
        case Fixed(value):
            return _plain(value)


def _shown(value: Any) -> Any:
    """A value as passed to Optuna: numbers, text and booleans unchanged, others as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _same(a: Any, b: Any) -> bool:
    return (type(a) is type(b) and a == b) or (is_number(a) and is_number(b) and a == b)


def options(domain: Domain) -> tuple[Any, ...]:
    """The values of a choice, or the only value.

    Raises:
        TypeError: the domain is a range.
    """
    match domain:
        case Choice(values):
            return values
        case Fixed(value):
            return (value,)
    raise TypeError(f"{domain} is a range: its values cannot be listed")


def spread(domain: Domain) -> tuple[Any, ...]:
    """The values of a choice, the only value, or both ends of a range."""
    match domain:
        case IntRange() | FloatRange():
            return tuple(dict.fromkeys((domain.low, domain.high)))
    return options(domain)


def holds(domain: Domain, value: Any) -> bool:
    """Whether a value may be drawn from a domain."""
    try:
        domain.param(value)
    except ValueError:
        return False
    return True


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(a: Any, b: Any, among: tuple[Any, ...]) -> float:
    """The distance of two values; `among` decides which kind of values they are.

    The distance of numbers is their difference. A mixture of numbers and tuples of numbers (a side,
    or height and width), and tuples of equal length, are points (`_points`). The distance of other
    sequences is the number of items to remove and to add, that of configurations the number of
    differing fields.
    """
    if is_number(a) and is_number(b) and not any(isinstance(v, list | tuple) for v in among):
        return abs(a - b)
    if (points := _points(a, b, among)) is not None:
        return points
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) + len(b) - 2 * _in_common(a, b)
    if isinstance(a, BaseModel) and isinstance(b, BaseModel):
        one, two = dict(a), dict(b)
        return sum(one.get(name, ...) != two.get(name, ...) for name in one.keys() | two.keys())
    return math.inf


def _points(a: Any, b: Any, among: tuple[Any, ...]) -> float | None:
    """The distance of two points, on a logarithmic scale if positive; None if they are not points.

    A single number is a point with that number on all axes.
    """
    rows = [value for value in among if isinstance(value, list | tuple)]
    lengths = {len(row) for row in rows}
    alone = [value for value in among if is_number(value)]
    whole = len(rows) + len(alone) == len(among) and all(is_number(n) for row in rows for n in row)
    if not (whole and len(lengths) == 1 and lengths != {0}):
        return None
    [axes] = lengths
    one, two = ((value,) * axes if is_number(value) else value for value in (a, b))
    scale = math.log if min(*one, *two) > 0 else float
    return math.dist([scale(n) for n in one], [scale(n) for n in two])


def _in_common(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(b) + 1)
    for item in a:
        before = lengths
        lengths = [0]
        for k, other in enumerate(b):
            longest = before[k] + 1 if item == other else max(before[k + 1], lengths[k])
            lengths.append(longest)
    return lengths[-1]


def _number_for(value: Any) -> float | None:
    """A value as a number in a range; two sides become the side of a square of the same area."""
    if is_number(value):
        return value
    sides = isinstance(value, list | tuple) and bool(value) and all(map(is_number, value))
    if not sides or min(value) <= 0:
        return None
    return math.prod(value) ** (1 / len(value))


def _on_scale(value: Any, option: float, log: bool) -> float:
    number = _number_for(value)
    if number is None:
        return math.inf
    if log:
        # Their ratio may be too small for a number.
        return abs(math.log(number) - math.log(option)) if number > 0 else math.inf
    return abs(number - option)
