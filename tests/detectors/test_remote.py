"""Files at an address: what is refused, what is waited for, and what is noticed."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from detectors import remote
from detectors.remote import Remote, RemoteError, checked
from tests.clock import Clock

HERE = Remote("s3://bucket/study")


def test_an_address_that_does_not_answer_is_tried_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "opened", lambda address: (None, "bucket/study"))
    answers = [OSError("curlCode: 7"), OSError("x"), None]

    def request(files: object, root: str) -> str:
        if (error := answers.pop(0)) is not None:
            raise error
        return root

    assert HERE._patiently(request) == "bucket/study"
    assert clock.slept == [1, 2]
    assert f"{HERE}: it does not answer (curlCode: 7); trying again in 1 s" in caplog.text


@pytest.mark.parametrize(
    ("words", "tries"),
    [("AWS Error NO_SUCH_BUCKET during", 1), ("AWS Error ACCESS_DENIED", 1), ("curlCode: 7", 16)],
)
def test_an_address_that_refuses_or_stays_away_is_an_error(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, words: str, tries: int
) -> None:
    monkeypatch.setattr(remote, "opened", lambda address: (None, "bucket/study"))
    done = list[int]()

    def request(files: object, root: str) -> None:
        done.append(1)
        raise OSError(words)

    with pytest.raises(RemoteError, match=r"study: .*keys are taken from the environment"):
        HERE._patiently(request)
    assert len(done) == tries
    assert clock.now == (0 if tries == 1 else remote.PATIENCE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://KEY:hidden/secret@bucket/study", r"s3://\*\*\*@bucket/study: .* may hold no key"),
        ("abfs://c@a/study?sas_token=hidden", r"abfs://c@a/study: .* no other arguments"),
        ("nowhere://bucket/study", "Unrecognized filesystem .*; give a path, or an address"),
    ],
)
def test_addresses_with_keys_or_of_nothing_known_are_refused(address: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        Remote(checked(address)).listing()
    assert "hidden" not in str(error.value)


def test_what_arrives_cut_short_is_noticed() -> None:
    class Cut(io.BytesIO):
        def size(self) -> int:
            return 9

    files = SimpleNamespace(open_input_file=lambda path: Cut(b"12345"))
    with pytest.raises(OSError, match="cut short, 4 bytes are missing"):
        list(remote._parts(files, "study/result.json"))


def test_names_at_an_address_cannot_leave_the_folder_that_they_are_fetched_into() -> None:
    with pytest.raises(RemoteError, match="may not be fetched"):
        remote._below("bucket/study", "bucket/study/../../.bashrc")
