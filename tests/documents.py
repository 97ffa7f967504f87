"""The examples in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

EXTENDING = Path(__file__).parents[1] / "docs" / "extending.md"


def example(heading: str) -> str:
    """The Python code below a heading of docs/extending.md."""
    section = EXTENDING.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    return code
