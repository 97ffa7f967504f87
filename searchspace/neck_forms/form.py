"""What the searchable form of a neck is."""

from __future__ import annotations

from searchspace.config import Config


class NeckForm(Config):
    """How necks of one kind are drawn."""

    kind: str
