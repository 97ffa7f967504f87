"""The README's figures and picture, from the study that `make search` leaves::

    make search && python -m benchmarks.readme runs/STUDY

Writes the sentences of the study's report between the README's markers, and a picture of the top of
its page to `docs/report.png`. Nothing is trained.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from textwrap import fill

from benchmarks.figures import screenshot
from launch.files import REPORT_HTML
from launch.report.facts import study_facts
from launch.report.study import StudyView
from launch.report.verdict import headline
from launch.report.words import show_seconds
from launch.study.opening import read_records
from launch.study.settings import read_settings

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- written by [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def paragraph(folder: Path) -> str:
    """What a study found, where, and how long its trials took."""
    settings, records = read_settings(folder), read_records(folder)
    facts = study_facts(settings, records)
    spent = show_seconds(sum(record.seconds for record in records))
    sentences = headline(StudyView.of(records, settings.goal.objectives))
    where = f"On {facts['Speed measured on']}; the trials took {spent} in sum."
    return fill(" ".join([*sentences, where]), 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of the study")
    folder = parser.parse_args().study
    readme = ROOT / "README.md"
    text = readme.read_text()
    readme.write_text(MARKED.sub(lambda m: f"{m[1]}{paragraph(folder)}\n{m[2]}", text))
    screenshot((folder / REPORT_HTML).resolve(), ROOT / "docs" / "report.png", 1100, 925)


if __name__ == "__main__":
    main()
