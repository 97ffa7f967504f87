"""What a user can get wrong in calling a trial or a search."""

from __future__ import annotations

from searchspace.errors import InputError


class SettingsError(InputError):
    """An argument that cannot be used as given; the message names it and the fix."""
