"""Drivers that join a study in a database: with what, and what is refused or kept secret."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from launch.searches import report, resume, search
from launch.study.opening import open_study, read_records
from launch.study.search_settings import SearchSettings
from launch.study.settings import StudyError, StudySettings
from launch.trial.errors import SettingsError
from searchspace import Space, load_space
from tests.launch.made_up import altered, settings_for
from tests.launch.study.sharing import anywhere, run
from tests.postgres import PASSWORD


def test_a_driver_with_other_settings_is_told_which_and_how_to_join(
    settings: StudySettings, address: str, tmp_path: Path
) -> None:
    with open_study(tmp_path / "a", settings):
        pass
    for changes, message in {
        ("trials", 9): "the study's trials is 6, and here it is 9: give the same, or begin",
        ("seed", 3): "the study's seed is 0, and here it is 3",
        ("fingerprint", "other"): "other data: give a copy of the same",
    }.items():
        other = altered(settings, **dict([changes]))
        with pytest.raises(StudyError, match=message) as error:
            begin(tmp_path / "b", other)
        assert PASSWORD not in str(error.value)
        assert not (tmp_path / "b" / "study.json").exists()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            "mysql://me:correct-horse@localhost/x",
            r"mysql://\*\*\*@localhost/x: give the address of",
        ),
        ("postgresql://me:correct-horse@127.0.0.1:9/x", r"\*\*\*@127.0.0.1:9/x: .*[Cc]onnection"),
    ],
)
def test_an_address_that_does_not_do_is_refused_without_its_password(
    bad: str, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg")
    settings = settings_for(load_space("quick"), storage=bad)
    with pytest.raises(StudyError, match=message) as error:
        begin(tmp_path / "a", settings)
    assert "correct-horse" not in str(error.value)


def test_the_address_is_stored_nowhere(
    settings: StudySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with open_study(tmp_path / "a", settings) as study:
        run(study)
    front = report(tmp_path / "a")
    assert front.members
    texts = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert any(settings.shared.name in text for text in texts)
    assert not any(PASSWORD in text or "127.0.0.1" in text for text in texts)
    assert PASSWORD not in caplog.text


def test_what_cannot_be_shared_is_refused_before_anything_is_stored(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match=r"--inherit, .* give --stages"):
        begin(tmp_path / "a", altered(settings, inherit=True))
    with pytest.raises(SettingsError, match=r"stages: .* give --storage, too"):
        SearchSettings.of(stages=tmp_path)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyError, match=r"psycopg, .* pip install 'sparrow-search\[postgres\]'"):
        begin(tmp_path / "a", settings)
    assert not (tmp_path / "a" / "study.json").exists()


def begin(folder: Path, settings: StudySettings) -> None:
    with open_study(folder, settings):
        pass


@pytest.mark.slow
def test_a_second_driver_joins_a_search_and_shares_its_trainings(
    address: str, space: Space, shapes_folder: Path, tmp_path: Path
) -> None:
    options = {"storage": address, "driver": "local", "device": "cpu", "papers": False}
    shared = {"stages": tmp_path / "stages", "trials": 2}
    first = search(space, shapes_folder, tmp_path / "a", **options, **shared)
    second = search(space, shapes_folder, tmp_path / "b", **options, **shared)
    assert [m.figures for m in first.members] == [m.figures for m in second.members]
    assert not (tmp_path / "b" / "trials").exists(), "the first has run all of them"
    assert (tmp_path / "b" / "stages").samefile(tmp_path / "a" / "stages")
    resume(tmp_path / "b", trials=3, storage=address)
    assert [record.state for record in read_records(tmp_path / "b")] == ["finished"] * 3
    assert len(read_records(tmp_path / "a")) == 2
    resume(tmp_path / "a", storage=address)
    own, others = read_records(tmp_path / "a"), read_records(tmp_path / "b")
    assert list(map(anywhere, own)) == list(map(anywhere, others))
    for folder, records in ((tmp_path / "a", own), (tmp_path / "b", others)):
        assert all((folder / record.folder / "result.json").exists() for record in records)
