"""Metadata beside files whose format has no place for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def texts_file(path: Path) -> Path:
    """Where the metadata of an exported file lie: `detector.pte.json`."""
    return path.with_name(f"{path.name}.json")


def write_texts(path: Path, texts: Mapping[str, str]) -> None:
    texts_file(path).write_text(json.dumps(dict(texts), indent=1), encoding="utf-8")


def read_texts(path: Path) -> dict[str, str]:
    """What `write_texts` wrote; empty if there is nothing."""
    file = texts_file(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
