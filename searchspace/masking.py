"""Passwords and keys in texts that are shown, logged or stored."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

MASK = "***"

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
LOGIN = re.compile(r"//[^/@\s]+@")
ARGUMENT = re.compile(r"([?&][^=&\s]*=)[^&\s'\")\]]+")

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

SECRET = re.compile("(KEY|PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS)$")
"""The ends of names of environment variables whose values are not shown."""

SHORTEST = 8
"""Characters of such a value; a shorter one may be part of any word."""


def is_address(place: object) -> bool:
    """Whether a place is given by an address, such as `s3://BUCKET/PATH`, and not by a path."""
    return isinstance(place, str) and bool(SCHEME.match(place))


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text without the logins and arguments of addresses, and without values of environment
    variables that hold keys.

    Args:
        environment: by default this process's.
    """
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= SHORTEST and SECRET.search(name.upper()) and value in text:
            text = text.replace(value, MASK)
    return ADDRESS.sub(_masked, text) if "://" in text else text


def _masked(address: re.Match[str]) -> str:
    return ARGUMENT.sub(rf"\1{MASK}", LOGIN.sub(f"//{MASK}@", address[0]))
