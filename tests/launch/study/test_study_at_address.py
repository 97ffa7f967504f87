"""A study at an address, with made-up results: nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.remote import RemoteError
from launch.records import TrialRecord
from launch.report import load_front
from launch.searches import report
from launch.study.opening import open_study, read_records, worked_on
from launch.study.settings import StudyError, StudySettings, resume_command
from launch.study.study import Study
from launch.trial.copies import kept, study_place
from launch.trial.remote_study import RemoteStudy
from searchspace import Space
from tests.launch.conftest import Node, Run
from tests.launch.made_up import result, settings_for


@pytest.fixture
def settings(space: Space) -> StudySettings:
    return settings_for(space, trials=3)


def finish(study: Study, ap_small: float = 0.1) -> TrialRecord:
    """One trial, as if a node had run it and left its detector."""
    record = study.propose()
    folder = study.trial_folder(record)
    with kept(folder):
        (folder / "dense").mkdir(parents=True)
        (folder / "result.json").write_text(result(record, ap_small).model_dump_json())
    study.end(record.number, result(record, ap_small))
    return study.record(record.number)


def test_a_study_goes_on_on_another_machine(
    node: Node, settings: StudySettings, run: Run, place: Path
) -> None:
    here = node("a")
    with open_study(here.copy, settings) as study:
        records = [finish(study, 0.2), finish(study, 0.1)]
        there = node("b")
        folder = study_place("study", there.address)
        assert list(read_records(folder)) == records
        assert worked_on(folder) is not None
        with (
            pytest.raises(StudyError, match="another process works on this study"),
            open_study(folder),
        ):
            pass
        node("a")
    node("b")
    assert worked_on(folder) is None
    assert there.address in resume_command(folder)
    with open_study(folder) as study:
        assert list(study.records) == records
        third = finish(study)
    assert third.number == 2
    node("c")
    status, printed = run("trials", there.address, "--json")
    assert status == 0
    assert printed.count('"number"') == 3
    status, printed = run("eval", f"{there.address}:7", "--data", place)
    assert status != 0
    assert "has no trial 0007" in printed


def test_what_a_journal_lost_is_restored_from_the_address(
    node: Node, settings: StudySettings, place: Path
) -> None:
    here = node("a")
    with open_study(here.copy, settings) as study:
        finished = [finish(study, 0.2).number, finish(study).number]
    (place / "journal.jsonl.pieces" / "000000").write_bytes(b"")
    there = node("b")
    with open_study(study_place("study", there.address)) as study:
        assert [r.number for r in study.records if r.result] == finished


def test_a_report_is_sent_and_its_front_read_anywhere(node: Node, settings: StudySettings) -> None:
    here = node("a")
    with open_study(here.copy, settings) as study:
        best = finish(study, 0.3)
        finish(study, 0.1)
    report(here.copy, seconds=0)
    assert {"report.html", "front.json", "front.csv"} <= here.listing().keys()
    there = node("b")
    (member,) = load_front(there.address).members
    assert member.number == best.number
    assert member.folder.is_relative_to(there.copy)


def test_nothing_is_told_the_sampler_that_is_not_at_the_address(
    node: Node, settings: StudySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = node("a")

    def away(study: RemoteStudy, name: str, content: bytes, patience: float = 0) -> None:
        raise RemoteError(f"{study}: away")

    with open_study(here.copy, settings) as study:
        record = study.propose()
        with monkeypatch.context() as patch:
            patch.setattr(RemoteStudy, "write", away)
            with pytest.raises(RemoteError):
                study.end(record.number, result(record))
        assert study.record(record.number).result is None
