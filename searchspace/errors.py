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
