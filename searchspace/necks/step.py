"""What a neck step is."""

from __future__ import annotations

from searchspace.config import Config


class NeckStep(Config):
    """One step of a neck."""

    kind: str
