from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from launch.records import Failed, Finished, TrialRecord
from launch.study.journal import Journal, read_journal
from searchspace import DetectorConfig, TrialConfig
from searchspace.geometry import Levels
from tests.launch.made_up import result
from tests.processes import FORK


def record(number: int, **changes: object) -> TrialRecord:
    fields = {"folder": f"trials/{number}", "origin": "sampler", "params": {"a": 1}}
    return TrialRecord(number=number, config=TrialConfig(), **(fields | changes))


def numbers(path: Path) -> list[int]:
    return [r.number for r in read_journal(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def three(path: Path) -> bytes:
    """The content of a journal with the trials 0, 1 and 2, which lies at `path`."""
    journal = Journal(path)
    for number in range(3):
        journal.append(record(number))
    return path.read_bytes()


def test_the_last_line_about_a_trial_counts(path: Path) -> None:
    journal = Journal(path)
    journal.append(record(1))
    journal.append(record(0))
    journal.append(record(1, ending=Failed(reason="out of memory")))
    for seen in (journal.records, Journal(path).records, read_journal(path)):
        assert [(r.number, r.state) for r in seen] == [(0, "running"), (1, "failed")]
    assert Journal(path).get(1).reason == "out of memory"


def test_the_configuration_of_a_finished_trial_is_validated_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = TrialConfig(seed=1)
    journal, begun = Journal(path), record(0, drawn=drawn)
    ended = begun.ended(Finished(result=result(begun)), 1.0)
    for one in (begun, ended):
        journal.append(one)
    count = 0
    built = DetectorConfig.stages

    def counted(detector: DetectorConfig) -> tuple[Levels, ...]:
        nonlocal count
        count += 1
        return built(detector)

    monkeypatch.setattr(DetectorConfig, "stages", counted)
    TrialConfig.model_validate(drawn.model_dump())
    each, count = count, 0
    [found] = read_journal(path)
    assert count == 2 * each  # once for what was drawn, of which nothing else is known
    assert found == ended == TrialRecord.model_validate_json(ended.model_dump_json())
    assert found.finished.config is found.config


@pytest.mark.parametrize("cut", [2, 10, 200])
def test_a_torn_last_line_is_dropped_and_writing_goes_on(
    path: Path, three: bytes, cut: int
) -> None:
    path.write_bytes(three[:-cut])
    again = Journal(path)
    assert [r.number for r in again.records] == [0, 1]
    again.append(record(3))
    assert numbers(path) == [0, 1, 3]


def test_a_record_without_a_newline_is_not_a_torn_line(path: Path, three: bytes) -> None:
    path.write_bytes(three[:-1])
    assert numbers(path) == [0, 1, 2]
    Journal(path).append(record(3))
    assert numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "edited",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\n\n") + b"  ",
    ],
    ids=["carriage returns", "byte order mark", "blank lines"],
)
def test_what_editors_leave_does_no_harm(path: Path, three: bytes, edited) -> None:
    path.write_bytes(edited(three))
    assert numbers(path) == [0, 1, 2]
    Journal(path).append(record(3))
    assert numbers(path) == [0, 1, 2, 3]


def test_names_with_ends_of_lines_of_other_alphabets_are_kept(path: Path) -> None:
    reason = "category \u2028 of \x85 \x0b \x0c \x1e"
    Journal(path).append(record(0, ending=Failed(reason=reason)))
    Journal(path).append(record(1))
    assert [r.reason for r in read_journal(path)] == [reason, None]


def test_wherever_a_journal_is_cut_readers_and_the_next_writer_see_whole_records(
    path: Path, three: bytes
) -> None:
    first, second, third = three.splitlines(keepends=True)
    torn = [(b"", first[:cut]) for cut in range(len(first) - 1)]
    torn += [(first, second[:cut]) for cut in range(0, len(second) - 1, 50)]
    torn += [(first + second, third[:cut]) for cut in (0, 1, len(third) - 2)]
    for whole, rest in torn:
        path.write_bytes(whole + rest)
        assert numbers(path) == list(range(whole.count(b"\n")))
        assert path.read_bytes() == whole + rest, "a reader wrote"
        assert len(Journal(path).records) == whole.count(b"\n")
        assert path.read_bytes() == whole


def write(path: Path, many: int) -> None:
    journal = Journal(path)
    for number in range(1, many):
        journal.append(journal.get(0).model_copy(update={"number": number}))
        time.sleep(0.002)


def read(path: Path, many: int) -> None:
    """Read until all is there; fails where what was seen vanishes."""
    seen: list[int] = []
    while len(seen) < many:
        before, seen = seen, numbers(path)
        assert seen == list(range(len(seen)))
        assert len(seen) >= len(before)


def test_readers_lose_nothing_of_a_journal_that_is_written(path: Path) -> None:
    many = 100
    Journal(path).append(record(0))
    processes = [FORK.Process(target=task, args=(path, many)) for task in (read, read, write)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
        assert process.exitcode == 0
    assert numbers(path) == list(range(many))


@pytest.mark.parametrize(
    "garbage",
    [
        b'{"number": "x"}',
        b"[]",
        b"null",
        b"\0" * 512,
        b"\xff\xfe\xfa",
        b'{"number": 1, "fol',
        b"\x1b",
    ],
    ids=["fields", "list", "null", "zeros", "bytes", "torn", "control"],
)
@pytest.mark.parametrize("line", [1, 3, 4])
def test_a_damaged_line_is_left_out_by_readers_and_set_aside_by_the_next_writer(
    path: Path, three: bytes, garbage: bytes, line: int, caplog: pytest.LogCaptureFixture
) -> None:
    lines = three.splitlines(keepends=True)
    damaged = b"".join([*lines[: line - 1], garbage + b"\n", *lines[line - 1 :]])
    path.write_bytes(damaged)
    said = f"journal.jsonl: 1 damaged line left out, as no trial record ({line})"
    assert numbers(path) == [0, 1, 2]
    assert said in caplog.text
    assert path.read_bytes() == damaged, "a reader wrote"
    caplog.clear()
    Journal(path).append(record(3))
    assert said in caplog.text
    assert path.with_name("journal.damaged.jsonl").read_bytes() == garbage + b"\n"
    assert path.read_bytes().startswith(three)
    caplog.clear()
    assert numbers(path) == [0, 1, 2, 3]
    assert caplog.text == ""


def test_damaged_lines_of_a_torn_journal_are_kept_in_their_order(path: Path, three: bytes) -> None:
    path.write_bytes(b"a\n" + three.replace(b"\n", b"\nb\n", 1) + b"torn")
    Journal(path)
    path.write_bytes(b"c\n" + path.read_bytes())
    Journal(path)
    assert path.with_name("journal.damaged.jsonl").read_bytes() == b"a\nb\nc\n"
    assert path.read_bytes() == three


def test_zeros_that_a_power_loss_left_at_the_end_are_dropped(path: Path, three: bytes) -> None:
    path.write_bytes(three + b"\0" * 3000)
    assert numbers(path) == [0, 1, 2]
    Journal(path).append(record(3))
    assert numbers(path) == [0, 1, 2, 3]


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing_of_itself(path: Path) -> None:
    journal = Journal(path)
    journal.append(record(0))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(OSError, match=r"journal\.jsonl"):
            journal.append(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [r.number for r in journal.records] == [0]
    journal.append(record(2))
    assert numbers(path) == [0, 2]


def test_a_new_journal_is_empty_and_there(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_journal(path)
    assert Journal(path).records == ()
    assert read_journal(path) == ()


def test_a_damaged_latest_line_leaves_what_was_known_of_its_trial_before(
    path: Path, three: bytes
) -> None:
    damaged = b'{"number":1,"folder":'
    path.write_bytes(three + damaged + b"\n")
    assert numbers(path) == [0, 1, 2]
    assert len(Journal(path).records) == 3
    assert path.with_name("journal.damaged.jsonl").read_bytes() == damaged + b"\n"
