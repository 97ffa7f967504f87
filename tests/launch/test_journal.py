from __future__ import annotations

from pathlib import Path

import pytest

from launch.journal import Journal, JournalError
from launch.records import TrialRecord
from searchspace import TrialConfig


def record(number: int, **changes: object) -> TrialRecord:
    fields = {"folder": f"trials/{number}", "origin": "sampler", "params": {"a": 1}}
    return TrialRecord(number=number, config=TrialConfig(), **(fields | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_last_line_about_a_trial_counts(path: Path) -> None:
    journal = Journal(path)
    journal.append(record(1))
    journal.append(record(0))
    journal.append(record(1, state="failed", reason="out of memory"))
    for seen in (journal, Journal(path)):
        assert [(r.number, r.state) for r in seen.records] == [(0, "running"), (1, "failed")]
    assert Journal(path).get(1).reason == "out of memory"


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_dropped_and_writing_goes_on(path: Path, cut: int) -> None:
    journal = Journal(path)
    journal.append(record(0))
    journal.append(record(1))
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert [r.number for r in again.records] == [0]
    again.append(record(2))
    assert [r.number for r in Journal(path).records] == [0, 2]


def test_a_damaged_line_is_named(path: Path) -> None:
    Journal(path).append(record(0))
    path.write_text('{"number": "x"}\n' + path.read_text())
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 1"):
        Journal(path)


def test_no_journal_is_an_empty_one(path: Path) -> None:
    assert Journal(path).records == ()
