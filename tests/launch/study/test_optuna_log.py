"""A damaged `optuna.log` is repaired from the journal at once."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from launch.study.opening import open_study
from launch.study.optuna_log import LogDamaged, LogStorage, OptunaLog
from launch.study.settings import StudySettings
from tests.launch.made_up import result, told
from tests.launch.study.test_study import settings

__all__ = ["settings"]

Damage = Callable[[bytes], bytes]


def operations(log: OptunaLog) -> list[dict]:
    return list(log.read_logs(0))


@pytest.fixture
def small(tmp_path: Path) -> bytes:
    """The content of a log of three trials, which Optuna's own backend wrote to `log`."""
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "log")))
    study = optuna.create_study(storage=storage, study_name="sparrow")
    for value in (0.1, 0.2, 0.3):
        trial = study.ask()
        trial.set_user_attr("name", "a line \u2028 end")
        study.tell(trial, value)
    return (tmp_path / "log").read_bytes()


def test_optuna_reads_what_we_write_and_we_read_what_it_writes(
    tmp_path: Path, small: bytes
) -> None:
    ours = optuna.load_study(
        storage=JournalStorage(OptunaLog(tmp_path / "log")), study_name="sparrow"
    )
    trial = ours.ask()
    trial.suggest_float("x", 0, 1)
    ours.tell(trial, 0.4)
    theirs = JournalStorage(JournalFileBackend(str(tmp_path / "log")))
    again = optuna.load_study(storage=theirs, study_name="sparrow")
    for study in (ours, again):
        assert [t.value for t in study.trials] == [0.1, 0.2, 0.3, 0.4]
    assert again.trials[3].params == trial.params


def test_wherever_a_log_is_cut_its_whole_operations_are_kept(tmp_path: Path, small: bytes) -> None:
    lines = small.splitlines(keepends=True)
    for cut in range(len(lines[0]), len(small)):
        (tmp_path / "log").write_bytes(small[:cut])
        log = OptunaLog(tmp_path / "log")
        whole = lines[: small[:cut].count(b"\n")]
        assert operations(log) == [json.loads(line) for line in whole]
        assert (tmp_path / "log").read_bytes() == b"".join(whole)


def test_wherever_an_operation_is_torn_before_others_it_is_noticed_at_once(
    tmp_path: Path, small: bytes
) -> None:
    lines = small.splitlines(keepends=True)
    for cut in range(1, len(lines[1]) - 1):
        (tmp_path / "log").write_bytes(b"".join([lines[0], lines[1][:cut], *lines[2:]]))
        with pytest.raises(LogDamaged, match=r"log, line 2 is damaged"):
            OptunaLog(tmp_path / "log")


def test_a_failed_write_on_a_full_disk_leaves_nothing(tmp_path: Path, small: bytes) -> None:
    log = OptunaLog(tmp_path / "log")
    more = [{"op_code": 8, "worker_id": "w", "trial_id": 9, "user_attr": {"a": "b" * 50}}] * 3
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(small) + 150, hard))
    try:
        with pytest.raises(OSError, match=r"/log'"):
            log.append_logs(more)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "log").read_bytes() == small
    log.append_logs(more)
    assert operations(log)[-3:] == more
    assert operations(OptunaLog(tmp_path / "log")) == operations(log)


def test_what_is_written_together_is_a_line_for_each_trial(tmp_path: Path) -> None:
    storage = LogStorage(tmp_path / "log")
    study = optuna.create_study(storage=storage, study_name="sparrow", directions=["maximize"] * 2)
    with storage.together():
        first = study.ask()
        study.enqueue_trial({"x": 0.5, "kind": "a"})
        trials = [first, study.ask(), study.ask()]
        for trial in trials:
            trial.suggest_categorical("kind", ["a", None])
            trial.suggest_float("x", 0, 1)
            trial.set_user_attr("number", trial.number)
        trials[2].set_constraint("params <= 1", 0.5)
        study.tell(trials[2], [1.0, 2.0])
    assert len((tmp_path / "log").read_bytes().splitlines()) == 1 + 3
    study.tell(first, state=TrialState.PRUNED)
    for again in (
        LogStorage(tmp_path / "log"),
        JournalStorage(JournalFileBackend(str(tmp_path / "log"))),
    ):
        found = optuna.load_study(storage=again, study_name="sparrow").trials
        assert found == study.trials
    assert [trial.state.name for trial in found] == ["PRUNED", "RUNNING", "COMPLETE"]
    assert found[1].params == {"x": 0.5, "kind": "a"}


def test_what_could_not_be_written_together_is_written_with_what_follows(tmp_path: Path) -> None:
    storage = LogStorage(tmp_path / "log")
    study = optuna.create_study(storage=storage, study_name="sparrow")
    size = (tmp_path / "log").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(OSError, match=r"/log'"), storage.together():
            trial = study.ask()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    study.tell(trial, 0.5)
    again = optuna.load_study(storage=LogStorage(tmp_path / "log"), study_name="sparrow")
    assert again.trials == study.trials


def of_another_space(log: bytes) -> bytes:
    return log.replace(b"[2.0, 2.8]", b"[2.0, 3.0]")


def torn_and_written_on(log: bytes) -> bytes:
    lines = log.splitlines(keepends=True)
    return b"".join([*lines[:-3], lines[-3][:20], *lines[-2:]])


MENDED = [
    lambda log: log[:-20],
    lambda log: log[: log.rindex(b"\n", 0, -1) + 3],
    lambda log: log + b"\0" * 4096,
    lambda log: b"",
    lambda log: b"".join(log.splitlines(keepends=True)[1:]),
]
PUT_ASIDE = {
    "torn and written on": torn_and_written_on,
    "torn in the middle": lambda log: log[: len(log) // 2] + b"\n" + log[len(log) // 2 :],
    "cut in its first line": lambda log: log[:15],
    "zeros": lambda log: b"\0" * 4096,
    "bytes": lambda log: bytes(range(256)) * 10,
    "no operation": lambda log: b"[]\n" + log,
    "deep": lambda log: log + b"[" * 100_000 + b"\n",
    "unknown operation": lambda log: log + b'{"op_code": 99, "worker_id": "w"}\n',
    "operation without its fields": lambda log: log + b'{"op_code": 4, "worker_id": "w"}\n',
    "other directions": lambda log: log.replace(b"[2,2]", b"[1,2]", 1),
    "three objectives": lambda log: log.replace(b"[2,2]", b"[2,2,2]", 1),
    "other space": of_another_space,
    "other trials": lambda log: log.replace(b'"number":0', b'"number":1'),
}


def open_damaged(settings: StudySettings, folder: Path, damage: Damage) -> list[Path]:
    """A study whose log was damaged, opened again and gone on with; gives the files put aside."""
    with open_study(folder, settings) as study:
        for _ in range(2):
            record = study.propose()
            study.end(record.number, result(record, ap_small=0.5))
        left = study.propose()
    file = folder / "optuna.log"
    damaged = damage(file.read_bytes())
    assert damaged != file.read_bytes()
    file.write_bytes(damaged)
    with open_study(folder) as study:
        assert study.propose() == left
        study.end(left.number, result(left))
        record = study.propose()
        study.end(record.number, result(record))
        records = study.records
    trials = {t.user_attrs["number"]: t for t in told(folder) if t.state == TrialState.COMPLETE}
    assert {n: t.params for n, t in trials.items()} == {r.number: r.params for r in records}
    assert not any(t.state == TrialState.RUNNING for t in told(folder))
    return list(folder.glob("optuna.log.damaged-*"))


@pytest.mark.parametrize("damage", MENDED)
def test_a_torn_last_operation_is_made_again_from_the_journal(
    settings: StudySettings, tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_damaged(settings, tmp_path, damage) == []
    assert caplog.records == []


@pytest.mark.parametrize("damage", PUT_ASIDE.values(), ids=PUT_ASIDE)
def test_a_damaged_log_is_renamed_and_rebuilt_from_the_journal(
    settings: StudySettings, tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    [aside] = open_damaged(settings, tmp_path, damage)
    [message] = [r.getMessage() for r in caplog.records]
    assert (
        f"{tmp_path}/optuna.log is rebuilt from the journal, old one kept as {aside.name}"
        in message
    )
