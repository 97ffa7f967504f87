"""The papers' tables as Markdown, published figures beside what is counted here::

    python -m benchmarks.papers [TABLE ...]

Each table names the command that runs its rows. Parameters and multiply-accumulates are those of
our detectors, built for the classes of the table's systems; nothing is trained. `docs/papers.md`
holds the output.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from detectors.describe import describe
from launch.figures import published_heading, show_published
from searchspace.papers import needed_system
from searchspace.papers.tables import TABLES, PaperTable, Row


def markdown(name: str, counted: bool = True) -> Iterator[str]:
    """The lines of one table.

    Args:
        counted: with the parameters and multiply-accumulates of our detectors, which are built for
            that.
    """
    table = TABLES[name]
    yield f"### {table.title}"
    yield ""
    yield f"{table.source}; {table.data}. `sparrow reproduce {name} --data FOLDER`"
    yield ""
    ours = ("parameters here", "MACs here") if counted else ()
    columns = ("system", *map(published_heading, table.figures), *ours)
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in table.rows:
        cells = [*published_cells(table, row), *(_counts(row.system) if counted else ())]
        yield f"| {' | '.join(cells)} |"


def published_cells(table: PaperTable, row: Row) -> list[str]:
    """The cells of a row that the paper gives, its name first."""
    figures = (show_published(figure, row.published(figure)) for figure in table.figures)
    return [f"`{row.system}`", *figures]


def _counts(system: str) -> tuple[str, str]:
    found = describe(needed_system(system).trial.detector)
    return f"{found.params / 1e6:.2f} M", f"{found.macs / 1e9:.2f} G"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=TABLES, metavar="TABLE")
    for name in parser.parse_args().tables or TABLES:
        print("\n".join(markdown(name)), end="\n\n")


if __name__ == "__main__":
    main()
