"""Parameters of which the fast tests take a few, so that CI keeps within its time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def few(values: Iterable[object], *fast: object) -> list[object]:
    """All values for a test, which is slow with any but the given ones."""
    made = list(values)
    unknown = set(fast) - set(made)
    if unknown:
        raise ValueError(f"{unknown} are not among {made}")
    return [v if v in fast else pytest.param(v, marks=pytest.mark.slow) for v in made]
