"""A picture of the live view of a search, taken from another terminal while it runs::

    make search & sleep 120; python -m benchmarks.live_view runs/STUDY

Writes what `sparrow watch` shows on a terminal of 80 columns to `docs/live.svg`.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from launch.cli.view import rendered
from launch.report.progress import StudyFollower

PICTURE = Path(__file__).parents[1] / "docs" / "live.svg"

COLUMNS, LINES = 80, 24

FONT_FILES = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Rich lets its pictures load a font from elsewhere; ours take what the reader has."""


def picture(folder: Path) -> str:
    """The view of a study as SVG."""
    seen, drawn = (
        Console(record=True, width=COLUMNS, height=LINES, file=io.StringIO(), force_terminal=True)
        for _ in range(2)
    )
    seen.print(rendered(StudyFollower(folder).look(), seen.size))
    shown = seen.export_text(styles=True).replace(f"{Path.cwd()}/", "")
    drawn.print(Text.from_ansi(shown))
    svg = drawn.export_svg(title=f"sparrow watch {folder}", theme=DIMMED_MONOKAI)
    return FONT_FILES.sub("", svg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of the study, whose search runs")
    PICTURE.write_text(picture(parser.parse_args().study))


if __name__ == "__main__":
    main()
