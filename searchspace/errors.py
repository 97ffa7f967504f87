"""Errors that a user can fix. Every other error is a bug in Sparrow."""

from __future__ import annotations


class SparrowError(Exception):
    """A run that cannot go on as it was asked for; the message says what is wrong and what to do.

    The base of all errors that a user can mend. The command line prints their message alone, and
    takes any other error, but for those of the operating system, for a bug.
    """


class InputError(SparrowError, ValueError):
    """A value, a name or a file that does not do; the message names it and what would do.

    A `ValueError` too, as callers expect of a bad argument. What a validator of a configuration
    raises becomes pydantic's `ValidationError` instead.
    """


def first_line(error: BaseException) -> str:
    """The first line with text of an error's message; the name of its class if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def named_line(error: BaseException) -> str:
    """The class of an error and the first line of its message: `KeyError: 'x'`."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


class UnknownName(InputError):
    """A name that stands for nothing, such as a misspelt one; a command ends with status 2."""
